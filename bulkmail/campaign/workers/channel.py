"""Messages between the parent and one worker: in order, both ways, over a pair of connected sockets.

    frame  =  length (4 octets, big-endian)  messages (a pickled list)

Telling is synchronous and never waits; what is told until the writer gets its turn travels as one frame, so
a thousand small messages cost one system call. Both ends are the same program, forked from one process, and
nobody else can have the sockets: that is why pickle is safe here, and needs no version.

Nothing bounds what waits to be sent but its use: the parent has a bounded number of parcels out, and a
worker tells little more than what became of each.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Sequence

import trio

LENGTH = struct.Struct(">I")
READ = 1 << 16


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends, to be made before the fork. Neither survives an exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class Channel:
    """One end. `write` is a task of its owner's; one task at a time may `read`."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = trio.socket.from_stdlib_socket(end)
        self._told: list[object] = []
        self._news = trio.Event()
        self._unsent = b""  # what is left of a frame whose writer was cancelled
        self._unread = bytearray()
        self._writing = trio.Lock()

    def tell(self, message: object) -> None:
        """Send it with the next frame. Nobody is told of a peer that has gone: `read` says that."""
        self._told.append(message)
        self._news.set()

    async def write(self) -> None:
        """Send what is told, until it is cancelled or the peer has gone."""
        while await self.flush():
            await self._news.wait()
            self._news = trio.Event()

    async def flush(self) -> bool:
        """Send all that was told before the call; whether the peer was there. What is cancelled goes on."""
        async with self._writing:
            told, self._told = self._told, []
            if told:
                body = pickle.dumps(told, pickle.HIGHEST_PROTOCOL)
                self._unsent += LENGTH.pack(len(body)) + body
            try:
                while self._unsent:
                    self._unsent = self._unsent[await self._socket.send(self._unsent) :]
            except OSError:
                return False
        return True

    async def read(self) -> Sequence[object]:
        """The messages of the next frame; none of them once the peer has closed its end, or died."""
        while (frame := self._frame()) is None:
            try:
                data = await self._socket.recv(READ)
            except ConnectionResetError:  # it died with something of ours unread
                return ()
            if not data:
                return ()  # the rest of a frame that was never finished says nothing
            self._unread += data
        messages: list[object] = pickle.loads(frame)  # our own, see above
        return messages

    def _frame(self) -> bytes | None:
        if len(self._unread) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._unread)
        end = LENGTH.size + length
        if len(self._unread) < end:
            return None
        frame = bytes(self._unread[LENGTH.size : end])
        del self._unread[:end]
        return frame

    def close(self) -> None:
        self._socket.close()
