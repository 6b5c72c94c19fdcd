"""The other end of a connection, played line by line, over memory or over sockets."""

from __future__ import annotations

import contextlib
import errno
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import trio
import trio.testing

from bulkmail.dns.routes import Host, Route
from bulkmail.smtp.address import Mailbox
from bulkmail.smtp.command import Ehlo, Mail, Rcpt
from bulkmail.smtp.content import canonical, stuff
from bulkmail.transport.approach import Approach, TimeLimits, TlsPolicy
from bulkmail.transport.connection import Connection
from bulkmail.transport.flight import Flight
from bulkmail.transport.stream import Transport

SENDER = Mail(Mailbox.parse("news@acme.test"))
CONTENT = stuff(canonical(b"Subject: hello\n\nhello\n"))


def rcpt(name: str) -> Rcpt:
    return Rcpt(Mailbox.parse(f"{name}@a.test"))


def codes(flight: Flight) -> list[int]:
    return [reply.code for reply in flight.replies]


class Peer:
    """A server that says what a test tells it to."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = b""

    async def say(self, *lines: str | bytes) -> None:
        """Reply lines, CRLF added, in one packet."""
        texts = [line.encode() if isinstance(line, str) else line for line in lines]
        await self.stream.send_all(b"".join(text + b"\r\n" for text in texts))

    async def hear(self, start: str = "") -> str:
        """The next line, which must begin with `start`."""
        line = (await self._until(b"\r\n")).decode()
        assert line.startswith(start), f"heard {line!r}, not {start!r}"
        return line.removesuffix("\r\n")

    async def hear_content(self) -> bytes:
        return await self._until(b"\r\n.\r\n")

    async def take(self, octets: int) -> bytes:
        """Exactly so many octets; none behind them is read."""
        while len(self._buffer) < octets:
            await self._more(octets - len(self._buffer))
        taken, self._buffer = self._buffer[:octets], self._buffer[octets:]
        return taken

    @property
    def held(self) -> bytes:
        """What came and was not asked for yet."""
        return self._buffer

    async def hello(self, *extensions: str) -> None:
        """Greeting and EHLO."""
        await self.say("220 mx.a.test ESMTP")
        await self.answer_ehlo(*extensions)

    async def answer_ehlo(self, *extensions: str) -> None:
        await self.hear("EHLO")
        lines = ("mx.a.test", *extensions)
        await self.say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")

    async def start_tls(self, context: ssl.SSLContext) -> None:
        stream = trio.SSLStream(self.stream, context, server_side=True, https_compatible=True)
        await stream.do_handshake()
        self.stream, self._buffer = stream, b""

    async def eof(self) -> None:
        """Wait until the client has closed; what it says before that is thrown away."""
        with contextlib.suppress(EOFError, trio.BrokenResourceError):
            while True:
                await self._more()

    async def close(self) -> None:
        await self.stream.aclose()

    async def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(end)
        return head + end

    async def _more(self, most: int = 65536) -> None:
        data = await self.stream.receive_some(min(most, 65536))
        if not data:
            raise EOFError
        self._buffer += data


Play = Callable[[Peer], Awaitable[None]]


@contextlib.asynccontextmanager
async def conversation(
    play: Play,
    *,
    time_limits: TimeLimits | None = None,
    pair: Callable[[], tuple[trio.abc.Stream | Transport, trio.abc.Stream]] = trio.testing.memory_stream_pair,
) -> AsyncIterator[Connection]:
    """A connection to a host that acts as in `play`, over memory."""
    ours, theirs = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(play, Peer(theirs))
        yield Connection(ours, host="mx.a.test", address="192.0.2.1", time_limits=time_limits)
        nursery.cancel_scope.cancel()


async def introduced(connection: Connection) -> Connection:
    """After the greeting and EHLO."""
    await connection.exchange(())
    await connection.exchange([Ehlo("out.acme.test")])
    return connection


def approach(port: int = 25, tls: TlsPolicy = TlsPolicy.NONE, **other: object) -> Approach:
    return Approach(port=port, ehlo="out.acme.test", tls=tls, **other)  # type: ignore[arg-type]


def route(*hosts: tuple[str, list[str]] | tuple[str, list[str], int]) -> Route:
    """Of (name, addresses) or (name, addresses, preference); the preference is else the position."""
    found = [
        Host(host[2] if len(host) > 2 else 10 * n, host[0], tuple(host[1])) for n, host in enumerate(hosts)
    ]
    return Route("a.test", tuple(found), found[0].name)


class Net:
    """Addresses and who lives there, over memory; `connect` is for a Dialer."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._at: dict[str, Play | OSError | None] = {}
        self.dialled: list[str] = []
        self.open: dict[str, int] = {}
        self.peak: dict[str, int] = {}

    def at(self, address: str, who: Play | OSError | None) -> None:
        """A host that plays, an error at connect, or None: a black hole."""
        self._at[address] = who

    async def connect(self, address: str, port: int) -> trio.abc.Stream:
        self.dialled.append(address)
        await trio.lowlevel.checkpoint()
        who = self._at[address]
        if who is None:
            await trio.sleep_forever()
        if isinstance(who, OSError):
            raise who
        assert who is not None
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, address, who, theirs)
        return ours

    async def _serve(self, address: str, play: Play, stream: trio.abc.Stream) -> None:
        self.open[address] = self.open.get(address, 0) + 1
        self.peak[address] = max(self.peak.get(address, 0), self.open[address])
        try:
            with contextlib.suppress(EOFError, trio.BrokenResourceError):
                await play(Peer(stream))
            await stream.aclose()
        finally:
            self.open[address] -= 1


async def willing(peer: Peer) -> None:
    """A host that takes whatever is sent, with PIPELINING, until QUIT."""
    await peer.hello("PIPELINING")
    while True:
        line = await peer.hear()
        if line == "DATA":
            await peer.say("354 go on")
            await peer.hear_content()
            await peer.say("250 2.0.0 taken")
        elif line == "QUIT":
            await peer.say("221 2.0.0 bye")
            return
        else:
            await peer.say("250 2.0.0 ok")


@contextlib.asynccontextmanager
async def listening(play: Play) -> AsyncIterator[int]:
    """The port on 127.0.0.1 where a host acts as in `play`, over real sockets."""

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(EOFError, trio.BrokenResourceError, trio.ClosedResourceError):
            await play(Peer(stream))
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def refused() -> OSError:
    """As trio says it."""
    return OSError(errno.ECONNREFUSED, "Error connecting to ('192.0.2.1', 25): Connection refused")


def greeting(*lines: str | bytes):
    async def host(peer: Peer) -> None:
        await peer.say(*lines)
        await peer.eof()

    return host
