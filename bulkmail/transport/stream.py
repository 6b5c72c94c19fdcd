"""The thin layer between a connection and the kernel.

A connection needs what trio's own streams do not give: how many octets have surely left (the line between
"still pending" and "in doubt"), a `close` that does not wait, a look at whether something arrived that nobody
asked for, TCP options for a conversation of short lines; and that nothing is waited for which need not be.
So what is written is `put` and then `push`ed, and what has come is had by `receive_nowait`, all without an
`await`; `push_on` and `readable` are for when the kernel has no room, or nothing, and are the only waits.
`TcpStream` does this for sockets; `Metered` does it, as far as it can be had, around any trio stream, so that
connections also run over streams in memory.
"""

from __future__ import annotations

import abc
import math
import socket
from contextlib import suppress

import trio

from bulkmail.dns import patrol
from bulkmail.transport.lookout import Lookout, lookout

# Where the platform has it: without it a peer that waits for our ACK before it writes its next reply
# (Nagle's algorithm there, delayed acknowledgement here) costs 40 ms a reply.
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
RECEIVE = 65536


class Transport(abc.ABC):
    """What a Connection talks over. One task may write while another reads.

    Errors are trio's BrokenResourceError, whose `__cause__` has the OSError or ssl.SSLError, and
    ClosedResourceError.
    """

    local_address = ""

    @property
    @abc.abstractmethod
    def handed(self) -> int:
        """Octets of what was put that have surely left, ever. Of a TLS record all or nothing."""

    @abc.abstractmethod
    def put(self, data: bytes) -> None:
        """Queue `data` behind what was put before; nothing leaves until it is pushed."""

    @abc.abstractmethod
    def push(self) -> bool:
        """Give the kernel what it takes at this moment; True if nothing is left."""

    def push_last(self) -> bool:
        """`push`, and nothing will be put after it."""
        return self.push()

    @abc.abstractmethod
    async def push_on(self) -> None:
        """Wait until the kernel takes more, and give it that."""

    @abc.abstractmethod
    def receive_nowait(self) -> bytes | None:
        """What has come, b"" at the end of file; None where nothing has."""

    @abc.abstractmethod
    async def readable(self, until: float = math.inf) -> bool:
        """Wait until `receive_nowait` may have something; False when `until` has come, on trio's clock."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close now, without a word and without waiting. Any number of times."""

    @abc.abstractmethod
    def quiet(self) -> bool:
        """Nothing waits to be read: neither octets nor an end of file."""

    def expect(self) -> None:  # noqa: B027 what is not looked at costs nothing to look at
        """Soon `quiet` will be asked: who says so beforehand can be looked at with others."""

    async def send_all(self, data: bytes) -> None:
        """Return when the kernel has taken everything."""
        await trio.lowlevel.checkpoint()
        self.put(data)
        while not self.push():
            await self.push_on()

    async def receive_some(self) -> bytes:
        """What comes next; b"" at the end of file."""
        await trio.lowlevel.checkpoint()
        return await self.receive()

    async def receive(self) -> bytes:
        """The same, without a checkpoint where there is something."""
        data: bytes | None = None
        while data is None and (data := self.receive_nowait()) is None:
            data = await self.arrival()
        return data

    async def arrival(self, until: float = math.inf) -> bytes | None:
        """The same, where nothing has come until now; None when nothing has until then."""
        while await self.readable(until):
            if (data := self.receive_nowait()) is not None:
                return data
        return None

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


class TcpStream(Transport):
    """A connected TCP socket, which is ours from now on."""

    def __init__(self, sock: socket.socket) -> None:
        # Our writes are whole groups of commands already; waiting for more only adds a delay.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_address = str(sock.getsockname()[0]) if sock.family != socket.AF_UNIX else ""
        # Not trio's kind: a try that does not wait costs no more than the system call.
        sock.setblocking(False)
        self._socket = sock
        self._parts: list[bytes | memoryview] = []
        self._handed = 0
        self._unacknowledged = False  # octets came, and nothing of ours has carried an ACK for them
        self._lookout: Lookout | None = None

    @property
    def handed(self) -> int:
        return self._handed

    def put(self, data: bytes) -> None:
        self._parts.append(data)

    def push(self) -> bool:
        parts = self._parts
        if not parts:
            return True
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        try:
            taken = self._socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            raise self._broken(error) from error
        self._handed += taken
        if taken == len(data):
            parts.clear()
            self._unacknowledged = False
            return True
        parts[:] = [memoryview(data)[taken:]]
        return False

    async def push_on(self) -> None:
        self._demand_open()
        await trio.lowlevel.wait_writable(self._socket)
        self.push()

    def receive_nowait(self) -> bytes | None:
        try:
            data = self._socket.recv(RECEIVE)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._broken(error) from error
        self._unacknowledged = True
        return data

    async def readable(self, until: float = math.inf) -> bool:
        self._demand_open()
        if self._unacknowledged and QUICKACK is not None:
            # More is to come, and the peer may be waiting for our ACK. The kernel forgets it again after a
            # while, so it is said each time; the next write of ours would carry the ACK by itself.
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
            self._unacknowledged = False
        return await patrol.readable(self._socket, until)

    def close(self) -> None:
        if self._socket.fileno() != -1:
            if self._lookout is not None:
                self._lookout.forget(self._socket.fileno())
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def expect(self) -> None:
        if self._socket.fileno() != -1:
            self._on_watch().expect(self._socket.fileno())

    def quiet(self) -> bool:
        return self._socket.fileno() != -1 and self._on_watch().quiet(self._socket.fileno())

    def _on_watch(self) -> Lookout:
        if self._lookout is None:
            self._lookout = lookout()
        return self._lookout

    def _demand_open(self) -> None:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError

    def _broken(self, error: OSError) -> Exception:
        if self._socket.fileno() == -1:
            return trio.ClosedResourceError()
        return trio.BrokenResourceError(error.strerror)


class Metered(Transport):
    """Any trio stream, with octets counted as handed over once its `send_all` has returned."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self._out: list[bytes] = []
        self._in: bytes | None = None
        self._handed = 0
        self._closed = False

    @property
    def handed(self) -> int:
        return self._handed

    def put(self, data: bytes) -> None:
        self._out.append(data)

    def push(self) -> bool:
        return not self._out

    async def push_on(self) -> None:
        data = b"".join(self._out)
        self._out.clear()
        await self._inner.send_all(data)
        self._handed += len(data)

    def receive_nowait(self) -> bytes | None:
        data, self._in = self._in, None
        return data

    async def readable(self, until: float = math.inf) -> bool:
        with trio.CancelScope(deadline=until):
            if self._in is None:
                self._in = bytes(await self._inner.receive_some(RECEIVE))
        return self._in is not None

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
        return not self._closed and self._in is None


def transport(stream: trio.abc.Stream | Transport) -> Transport:
    """`stream` itself if it is a Transport already, else Metered around it."""
    return stream if isinstance(stream, Transport) else Metered(stream)
