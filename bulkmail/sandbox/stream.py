"""One accepted connection: octets in and out, in clear text or TLS, with the faults a socket can have.

TLS is an `ssl.MemoryBIO` pair over the raw socket, so that one `receive` returns everything that has come:
what a flight was (RFC 2920) must not depend on how TLS cuts it into records.
"""

from __future__ import annotations

import abc
import socket
import ssl
import struct

import trio

_RECEIVE = 262_144
_LINUX_TCP_INFO = getattr(socket, "TCP_INFO", None)
_ESTABLISHED = 1


class Wire(abc.ABC):
    """`receive` returns b"" at the end of the stream; `send` raises `trio.BrokenResourceError`.

    `client` is the address of the peer.
    """

    def __init__(self, client: str) -> None:
        self.client = client
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None

    @abc.abstractmethod
    async def _octets(self) -> bytes:
        """What comes next; b"" at the end. OSError where the connection was reset."""

    @abc.abstractmethod
    async def _raw(self, data: bytes) -> None:
        """All of it. BrokenResourceError."""

    @abc.abstractmethod
    def is_open(self) -> bool:
        """Whether the peer still holds its end. Where nobody can tell: yes."""

    @abc.abstractmethod
    def close(self, *, reset: bool = False) -> None: ...

    async def receive(self) -> bytes:
        """At least one octet, or b"": the peer has finished, reset the connection, or broken TLS."""
        while True:
            if self.tls is not None:
                # First what is here: the end of the handshake may have brought the next command with it.
                try:
                    clear = self._decrypted()
                except (ssl.SSLError, OSError):
                    return b""
                if clear is None or clear:
                    return clear or b""
            try:
                data = await self._octets()
            except OSError:
                return b""
            if not data or self.tls is None:
                return data
            self._incoming.write(data)

    def _decrypted(self) -> bytes | None:
        """All that can be read by now; None: the peer closed TLS."""
        assert self.tls is not None
        parts: list[bytes] = []
        while True:
            try:
                part = self.tls.read(65536)
            except ssl.SSLWantReadError:
                return b"".join(parts)
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                return b"".join(parts) or None
            parts.append(part)

    async def send(self, data: bytes) -> None:
        if self.tls is not None:
            self.tls.write(data)
            data = self._outgoing.read()
        await self._raw(data)

    async def drip(self, data: bytes, seconds_per_byte: float) -> None:
        """Octet by octet, each after its wait (T4)."""
        for i in range(len(data)):
            await trio.sleep(seconds_per_byte)
            await self.send(data[i : i + 1])

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """The server's side of a handshake. Raises `trio.BrokenResourceError` where it fails."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._raw(self._outgoing.read())
                try:
                    data = await self._octets()
                except OSError as problem:
                    raise trio.BrokenResourceError from problem
                if not data:
                    raise trio.BrokenResourceError("closed within the handshake") from None
                self._incoming.write(data)
            except (ssl.SSLError, OSError) as problem:
                await self._raw(self._outgoing.read())  # the alert
                raise trio.BrokenResourceError("handshake failed") from problem
            else:
                break
        self.tls = tls
        await self._raw(self._outgoing.read())


class SocketWire(Wire):
    """Over a connected TCP socket."""

    def __init__(self, sock: trio.socket.SocketType, client: str = "") -> None:
        super().__init__(client)
        self._sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _octets(self) -> bytes:
        return await self._sock.recv(_RECEIVE)

    async def _raw(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                sent = await self._sock.send(view)
                view = view[sent:]
        except OSError as problem:
            raise trio.BrokenResourceError from problem

    def is_open(self) -> bool:
        if self._sock.fileno() < 0:
            return False
        if _LINUX_TCP_INFO is None:
            return True
        try:
            state = self._sock.getsockopt(socket.IPPROTO_TCP, _LINUX_TCP_INFO, 1)
        except OSError:
            return False
        return state[0] == _ESTABLISHED

    def close(self, *, reset: bool = False) -> None:
        if reset and self._sock.fileno() >= 0:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
