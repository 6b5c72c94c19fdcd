"""TLS over a Transport, as a Transport: `ssl` on two memory buffers, and nothing hidden in between.

trio.SSLStream would do but for two things: a connection must know whether anything came that it did not ask
for (G8), and what sits undecrypted in an SSLStream cannot be seen; and it costs three times as much, for it
waits, locks and asks the kernel for each record.

OpenSSL's buffers keep the size of the most that was ever in them, which for a thousand connections is more
than all else that they take. So there is one pair of buffers for all streams of an event loop, lent to one
of them for a single step of its session (`_step`), and empty before and after it.
"""

from __future__ import annotations

import contextlib
import math
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import trio

from bulkmail.transport.stream import RECEIVE, Transport

T = TypeVar("T")


class Buffers:
    """What sessions read records from, and write them to. Nothing stays in them between two steps."""

    def __init__(self) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()


_lent: trio.lowlevel.RunVar[Buffers] = trio.lowlevel.RunVar("buffers of TLS streams")


def buffers() -> Buffers:
    """Those of this event loop: while one task makes a step, no other does."""
    try:
        return _lent.get()
    except LookupError:
        _lent.set(made := Buffers())
        return made


class TlsStream(Transport):
    """The client's side. One task may write while another reads."""

    def __init__(self, below: Transport, context: ssl.SSLContext, host: str) -> None:
        self._below = below
        self._buffers = lent = buffers()
        self.session = context.wrap_bio(lent.incoming, lent.outgoing, server_hostname=host)
        self._unread = b""  # records that came, and were not looked at
        self._behind = False  # there were some behind the handshake, and nobody has looked at them
        self._ended = False  # close_notify was read, or something that is wrong
        self._handed = 0  # octets of text whose records have left
        self._text = 0  # octets of text ever put,
        self._records = below.handed  # and what has to have left for all of them
        self._ends: list[tuple[int, int]] = []  # both, after each put that has not left yet
        self.local_address = below.local_address

    async def handshake(self, until: float = math.inf, *, speaks: bool = False) -> bool:
        """False when it was not finished by then, on trio's clock.

        `speaks`: the caller writes next, and with that goes what the handshake still has to say.
        """
        while True:
            try:
                self._step(self.session.do_handshake)
            except ssl.SSLWantReadError:
                arrived = await self._below.arrival(until) if await self._flush(until) else None
                if arrived is None:
                    return False
                if not arrived:
                    raise trio.BrokenResourceError("closed within the handshake") from None
                self._unread = arrived
            except (ssl.SSLError, ssl.CertificateError) as error:
                with trio.move_on_after(1):  # tell them why, if they listen
                    await self._flush()
                raise trio.BrokenResourceError("handshake") from error
            else:
                self._behind = bool(self._unread)
                return speaks or await self._flush(until)

    @property
    def handed(self) -> int:
        left, ends = self._below.handed, self._ends
        if ends and ends[0][0] <= left:
            whole = 1
            while whole < len(ends) and ends[whole][0] <= left:
                whole += 1
            self._handed = ends[whole - 1][1]
            del ends[:whole]
        return self._handed

    def put(self, data: bytes) -> None:
        """Encrypted at once."""
        try:
            if data:
                self._step(self.session.write, data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError("write") from error
        self._text += len(data)
        self._ends.append((self._records, self._text))

    def push(self) -> bool:
        return self._below.push()

    def push_last(self) -> bool:
        """With close_notify, and without waiting for theirs."""
        with contextlib.suppress(ssl.SSLError):  # it wants to read theirs, or is broken: no reason to stay
            self._step(self.session.unwrap)
        return self.push()

    async def push_on(self) -> None:
        await self._below.push_on()

    def receive_nowait(self) -> bytes | None:
        parts: list[bytes] = []
        while not ((self._unread or self._ended) and self._step(self._read, parts)):
            # The answer to a KeyUpdate; what it does not take now goes with the next push. That the peer has
            # closed is for who writes to find out: its last words are still to be read (X7).
            with contextlib.suppress(trio.BrokenResourceError):
                self._below.push()
            data = self._below.receive_nowait()
            if not data:
                # SMTP says itself where it ends (QUIT and 221), so an end without close_notify cuts nothing
                # off that would not be missed.
                return data
            self._unread += data
        return b"".join(parts)

    async def readable(self, until: float = math.inf) -> bool:
        if self._behind:  # the socket will not tell of them again
            self._behind = False
            await trio.lowlevel.checkpoint()
            return True
        return await self._below.readable(until)

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

    def expect(self) -> None:
        self._below.expect()

    def quiet(self) -> bool:
        return not self.session.pending() and not self._unread and self._below.quiet()

    def _read(self, parts: list[bytes]) -> bool:
        """Every whole record that is here; b"" for close_notify. False if there is none."""
        incoming, read = self._buffers.incoming, self.session.read
        try:
            while not parts or incoming.pending:
                parts.append(read(RECEIVE))
                if not parts[-1]:
                    self._ended = True
                    break
        except ssl.SSLWantReadError:
            return bool(parts)
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._ended = True  # it will say so again
            if not parts:
                raise trio.BrokenResourceError("read") from error
        return True

    def _step(self, step: Callable[..., T], *arguments: Any) -> T:
        """Lend the session the buffers for one step, and take out again what is left in them."""
        incoming, outgoing = self._buffers.incoming, self._buffers.outgoing
        if self._unread:
            incoming.write(self._unread)
            self._unread = b""
        try:
            return step(*arguments)
        finally:
            if incoming.pending:
                self._unread = incoming.read()
            if outgoing.pending:
                records = outgoing.read()
                self._records += len(records)
                self._below.put(records)

    async def _flush(self, until: float = math.inf) -> bool:
        """False where the kernel had no room for all of it until then."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.push():
            return True
        with trio.CancelScope(deadline=until):
            while not self.push():
                await self.push_on()
            return True
        return False
