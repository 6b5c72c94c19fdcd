"""A plain SMTP client on trio: raw words out, replies in. It shares only the reply reader with what is
under test."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from bulkmail.sandbox import Running
from bulkmail.smtp import Reply, ReplyReader

MESSAGE = b"Subject: x\r\n\r\n.leading dot\r\n\r\n..two\r\nend\r\n"


class Client:
    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._reader = ReplyReader()
        self._replies: list[Reply] = []

    async def said(self) -> Reply:
        """The next reply; EOFError when the server has closed."""
        while not self._replies:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError
            self._replies += self._reader.feed(bytes(data))
        return self._replies.pop(0)

    async def ask(self, *lines: str) -> list[int]:
        """Commands in one write; the codes of as many replies."""
        await self.stream.send_all("".join(f"{line}\r\n" for line in lines).encode())
        return [(await self.said()).code for _ in lines]

    async def raw(self) -> bytes:
        """Whatever comes next, unread by any parser."""
        return bytes(await self.stream.receive_some())

    async def rest(self) -> bytes:
        """Everything until the server closes, or resets."""
        data = bytearray()
        while True:
            try:
                part = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return bytes(data)
            if not part:
                return bytes(data)
            data += part

    async def deliver(self, *recipients: str, content: bytes = b"Subject: x\r\n\r\nhello\r\n") -> list[int]:
        """One transaction in two flights."""
        codes = await self.ask("MAIL FROM:<a@out.test>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA")
        if codes[-1] == 354:
            await self.stream.send_all(content + b".\r\n")
            codes.append((await self.said()).code)
        return codes

    async def start_tls(self, running: Running, host: str) -> None:
        assert await self.ask("STARTTLS") == [220]
        context = ssl.create_default_context(cafile=running.ca_pem_path)
        stream = trio.SSLStream(self.stream, context, server_hostname=host, https_compatible=True)
        await stream.do_handshake()
        self.stream = stream


@asynccontextmanager
async def connect(running: Running, host: str, *, raw: bool = False) -> AsyncIterator[Client]:
    """A connection to a host of the sandbox: greeted, and EHLO said, unless `raw`."""
    with trio.fail_after(30):
        client = Client(await trio.open_tcp_stream(running.address(host), running.smtp_port))
        try:
            if not raw:
                assert (await client.said()).code == 220
                assert await client.ask("EHLO out.test") == [250]
            yield client
        finally:
            await trio.aclose_forcefully(client.stream)


async def with_smtplib(running: Running, host: str, work: Callable[[smtplib.SMTP], object]) -> None:
    """`work` in a thread, with a connection of the standard library that asks for `host` by SNI."""
    address = running.address(host)

    def session() -> None:
        with smtplib.SMTP(address, running.smtp_port, "out.test", timeout=30) as client:
            client._host = host  # type: ignore[attr-defined]
            work(client)

    await trio.to_thread.run_sync(session)
