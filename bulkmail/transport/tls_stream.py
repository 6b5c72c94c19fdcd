"""TLS over a Transport, as a Transport: `ssl` on two memory buffers, and nothing hidden in between.

trio.SSLStream would do but for two things: a connection must know whether anything came that it did not ask
for (G8), and what sits undecrypted in an SSLStream cannot be seen; and it costs three times as much, for it
waits, locks and asks the kernel for each record.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import deque

import trio

from bulkmail.transport.stream import RECEIVE, Transport


class TlsStream(Transport):
    """The client's side. One task may write while another reads."""

    def __init__(self, below: Transport, context: ssl.SSLContext, host: str) -> None:
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._pushing = trio.Lock()  # one task at a time waits for the kernel's room
        self._handed = 0  # octets of text whose records have left
        self._text = 0  # octets of text ever put,
        self._records = below.handed  # and what has to have left for all of them
        self._ends: deque[tuple[int, int]] = deque()  # both, after each put that has not left yet
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

    @property
    def handed(self) -> int:
        left = self._below.handed
        while self._ends and self._ends[0][0] <= left:
            self._handed = self._ends.popleft()[1]
        return self._handed

    def put(self, data: bytes) -> None:
        """Encrypted at once."""
        try:
            if data:
                self.session.write(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError("write") from error
        self._text += len(data)
        self._put_records()
        self._ends.append((self._records, self._text))

    def push(self) -> bool:
        return self._below.push()

    def push_last(self) -> bool:
        """With close_notify, and without waiting for theirs."""
        with contextlib.suppress(ssl.SSLError):  # it wants to read theirs, or is broken: no reason to stay
            self.session.unwrap()
        self._put_records()
        return self.push()

    async def push_on(self) -> None:
        async with self._pushing:
            if not self._below.push():
                await self._below.push_on()

    def receive_nowait(self) -> bytes | None:
        parts: list[bytes] = []
        while not parts or self._incoming.pending:
            try:
                parts.append(self.session.read(RECEIVE))
            except ssl.SSLWantReadError:
                if parts:
                    break
                self._put_records()  # the answer to a KeyUpdate
                self._below.push()  # what it does not take now goes with the next push
                data = self._below.receive_nowait()
                if data is None:
                    return None
                if not data:
                    # SMTP says itself where it ends (QUIT and 221), so an end without close_notify cuts
                    # nothing off that would not be missed.
                    return b""
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                break
            except ssl.SSLError as error:
                if parts:
                    break  # it will say so again
                raise trio.BrokenResourceError("read") from error
        return b"".join(parts)

    async def readable(self) -> None:
        await self._below.readable()

    async def aclose(self) -> None:
        """close_notify, without waiting for theirs, then close."""
        try:
            self.push_last()
            await self._flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        self._below.close()

    def quiet(self) -> bool:
        return not self.session.pending() and not self._incoming.pending and self._below.quiet()

    def _put_records(self) -> None:
        if self._outgoing.pending:
            records = self._outgoing.read()
            self._records += len(records)
            self._below.put(records)

    async def _flush(self) -> None:
        self._put_records()
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self.push():
            await self.push_on()

    async def _fill(self) -> None:
        data = await self._below.receive_some()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
