"""TLS over a Transport, as a Transport: `ssl` on two memory buffers, and nothing hidden in between.

trio.SSLStream would do but for one thing: a connection must know whether anything came that it did not ask
for (G8), and what sits undecrypted in an SSLStream cannot be seen. One task may send while another receives.
"""

from __future__ import annotations

import contextlib
import ssl

import trio

from bulkmail.transport.stream import RECEIVE, Transport


class TlsStream(Transport):
    """The client's side. Its errors are trio's; `__cause__` then has the ssl.SSLError or OSError."""

    def __init__(self, below: Transport, context: ssl.SSLContext, host: str) -> None:
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._flushing = trio.Lock()  # records must leave in the order in which they were made
        self.local_address = below.local_address

    async def handshake(self) -> None:
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLError, ssl.CertificateError) as error:
                with trio.move_on_after(1):  # tell them why, if they listen
                    await self._flush()
                raise trio.BrokenResourceError("handshake") from error
            else:
                return await self._flush()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Return when the kernel has taken every record of it."""
        try:
            if data:
                self.session.write(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError("write") from error
        await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        await self._below.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                data = self.session.read(max_bytes or RECEIVE)
            except ssl.SSLWantReadError:
                if self._outgoing.pending:  # the answer to a KeyUpdate
                    await self._flush()
                if not await self._fill():
                    # SMTP says itself where it ends (QUIT and 221), so an end without close_notify cuts
                    # nothing off that would not be missed.
                    return b""
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise trio.BrokenResourceError("read") from error
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return data

    async def aclose(self) -> None:
        """close_notify, without waiting for theirs, then close."""
        try:
            with contextlib.suppress(
                ssl.SSLError
            ):  # it wants to read theirs, or is broken: no reason to stay
                self.session.unwrap()
            await self._flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        self._below.close()

    def quiet(self) -> bool:
        return not self.session.pending() and not self._incoming.pending and self._below.quiet()

    @property
    def handed(self) -> int:  # type: ignore[override]  # of records, not of text
        return self._below.handed

    async def _flush(self) -> None:
        async with self._flushing:
            await self._below.send_all(self._outgoing.read())

    async def _fill(self) -> bool:
        data = await self._below.receive_some(RECEIVE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)
