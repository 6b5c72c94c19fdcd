"""The thin layer between a connection and the kernel.

A connection needs four things that trio's own streams do not give: how many octets the kernel really took
(the line between "still pending" and "in doubt"), a `close` that does not wait, a look at whether something
arrived that nobody asked for, and TCP options for a conversation of short lines. `TcpStream` has them for
sockets; `Metered` puts them, as far as they can be had, around any other trio stream, so that connections
also run over streams in memory.
"""

from __future__ import annotations

import abc
import select
import socket
from contextlib import suppress

import trio

# Where the platform has it: without it a peer that waits for our ACK before it writes its next reply
# (Nagle's algorithm there, delayed acknowledgement here) costs 40 ms a reply.
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
RECEIVE = 65536


class Transport(trio.abc.Stream):
    """What a Connection talks over: a trio stream with the four things above."""

    handed = 0  # octets that the kernel has taken, ever
    local_address = ""

    @abc.abstractmethod
    def close(self) -> None:
        """Close now, without a word and without waiting. Any number of times."""

    @abc.abstractmethod
    def quiet(self) -> bool:
        """Nothing waits to be read: neither octets nor an end of file."""


class TcpStream(Transport):
    """A connected TCP socket. Raises what trio's streams raise; `__cause__` then has the OSError."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock
        # Our writes are whole groups of commands already; waiting for more only adds a delay.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_address = str(sock.getsockname()[0]) if sock.family != socket.AF_UNIX else ""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Return when the kernel has taken everything; on any exception `handed` says how much it took."""
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError
        with memoryview(data) as view:
            sent = 0
            if not view:
                await trio.lowlevel.checkpoint()
            try:
                while sent < len(view):
                    with view[sent:] as rest:
                        taken = await self._socket.send(rest)
                    sent += taken
                    self.handed += taken
            except OSError as error:
                raise trio.BrokenResourceError(error.strerror) from error

    async def wait_send_all_might_not_block(self) -> None:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self._socket.fileno())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError
        try:
            data = await self._socket.recv(max_bytes or RECEIVE)
        except OSError as error:
            raise trio.BrokenResourceError(error.strerror) from error
        if QUICKACK is not None:
            # The kernel forgets it again after a while, so it is said after each receive. The peer may
            # have reset the connection meanwhile, in which case nothing depends on it.
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        return data

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self._socket.close()

    def quiet(self) -> bool:
        if self._socket.fileno() == -1:
            return False
        poll = select.poll()  # not select(): it cannot look at descriptors over 1023
        poll.register(self._socket.fileno(), select.POLLIN)
        return not poll.poll(0)


class Metered(Transport):
    """Any trio stream, with octets counted as taken once the inner `send_all` has returned."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self._closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)
        self.handed += len(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        self._closed = True
        await self._inner.aclose()

    def close(self) -> None:
        self._closed = True
        halves: list[object] = [self._inner]
        if isinstance(self._inner, trio.StapledStream):
            halves = [self._inner.send_stream, self._inner.receive_stream]
        for half in halves:
            close = getattr(half, "close", None)  # memory streams have one; trio's interface does not
            if close is not None:
                close()

    def quiet(self) -> bool:
        return not self._closed


def transport(stream: trio.abc.Stream) -> Transport:
    """`stream` itself if it is a Transport already, else Metered around it."""
    return stream if isinstance(stream, Transport) else Metered(stream)
