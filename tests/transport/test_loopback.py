"""Over real sockets: what only a kernel does."""

from __future__ import annotations

import socket
import struct

import pytest
import trio
from smtp_peer import CONTENT, SENDER, Peer, approach, introduced, listening, rcpt, route, willing

from bulkmail.errors import ConnectionLost
from bulkmail.smtp.command import Data, EndOfData, Rset
from bulkmail.smtp.content import canonical, stuff
from bulkmail.transport.connection import Connection
from bulkmail.transport.dial import DeadAddresses, Dialer
from bulkmail.transport.race import connect_tcp
from bulkmail.transport.stream import TcpStream

LARGE = stuff(canonical(b"Subject: large\n\n" + b"0123456789abcde\n" * 1_000_000))  # more than buffers hold


async def connect(port: int) -> Connection:
    connection = Connection(await connect_tcp("127.0.0.1", port), host="mx.a.test", address="127.0.0.1")
    return await introduced(connection)


async def test_a_transaction_over_a_socket():
    async with listening(willing) as port:
        connection = await Dialer(approach(port), dead=DeadAddresses()).open(
            route(("mx.a.test", ["127.0.0.1"]))
        )
        flight = await connection.exchange([SENDER, rcpt("ann"), Data(), EndOfData(CONTENT)])
        assert [reply.code for reply in flight.replies] == [250, 250, 354, 250]
        assert (connection.local_address, connection.usable, connection.messages) == ("127.0.0.1", True, 1)
        await connection.quit()


async def test_an_answer_is_not_looked_for_where_it_cannot_be_yet(monkeypatch):
    """Right behind what was said, that would be a system call for nothing."""
    in_vain = 0
    receive = TcpStream.receive_nowait

    def received(stream: TcpStream) -> bytes | None:
        nonlocal in_vain
        octets = receive(stream)
        in_vain += octets is None
        return octets

    monkeypatch.setattr(TcpStream, "receive_nowait", received)
    async with listening(willing) as port:
        connection = await connect(port)
        flight = await connection.exchange([Rset()])
        await connection.quit()
    assert ([reply.code for reply in flight.replies], in_vain) == ([250], 0)


async def test_what_a_host_says_in_mid_body_is_read_after_it_dropped_the_connection():
    """X7."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await peer.take(100_000)
        await peer.say("552 5.3.4 too big")  # and closes with unread octets: the kernel says RST

    async with listening(host) as port:
        connection = await connect(port)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        flight = await connection.exchange([EndOfData(LARGE)])
        assert ([reply.code for reply in flight.replies], flight.handed_over) == ([552], False)
        assert isinstance(flight.failure, ConnectionLost)


async def test_what_a_host_said_is_read_although_writing_fails_at_once():
    """X7: the refusal and the reset were there before we wrote."""
    ready, closed = trio.Event(), trio.Event()

    async def host(peer: Peer) -> None:
        await peer.hello()
        await ready.wait()
        await peer.say("421 4.3.2 shutting down")
        assert isinstance(peer.stream, trio.SocketStream)
        await peer.stream.aclose()
        closed.set()

    async with listening(host) as port:
        connection = await connect(port)
        ready.set()
        await closed.wait()
        stream = connection._transport
        assert isinstance(stream, TcpStream)
        stream._socket.shutdown(socket.SHUT_WR)  # every write is now EPIPE, as after their RST
        flight = await connection.exchange([SENDER])
        assert ([reply.code for reply in flight.replies], flight.sent, flight.handed_over) == (
            [421],
            0,
            False,
        )


async def test_octets_that_the_kernel_did_not_take_are_not_handed_over():
    """With fewer octets handed over a recipient is pending, not in doubt."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await peer.take(10)
        assert isinstance(peer.stream, trio.SocketStream)
        peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with listening(host) as port:
        connection = await connect(port)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        flight = await connection.exchange([EndOfData(LARGE)])
        assert (flight.replies, flight.handed_over, flight.sent) == ((), False, 0)


@pytest.mark.parametrize("last_words", [b"", b"421 4.4.2 idle for too long\r\n", b"250 why not\r\n"])
async def test_an_idle_connection_on_which_something_happened_is_not_quiet(last_words):
    """G9, G8."""
    ready = trio.Event()

    async def host(peer: Peer) -> None:
        await peer.hello()
        await ready.wait()
        await peer.stream.send_all(last_words)
        if not last_words:
            await peer.close()
        await trio.sleep_forever()

    async with listening(host) as port:
        connection = await connect(port)
        assert connection.quiet
        ready.set()
        await trio.lowlevel.wait_readable(connection._transport._socket.fileno())  # type: ignore[attr-defined]
        assert (connection.usable, connection.quiet) == (True, False)
        connection.abandon()


async def test_small_writes_are_not_delayed_and_receives_are_acknowledged_at_once():
    async def host(peer: Peer) -> None:
        await peer.say("220 hello")
        await peer.eof()

    async with listening(host) as port:
        stream = await connect_tcp("127.0.0.1", port)
        await stream.receive_some()
        sock = stream._socket
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        if hasattr(socket, "TCP_QUICKACK"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
        stream.close()
        stream.close()
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()


async def test_several_large_messages_go_over_one_connection_unharmed():
    received: list[bytes] = []

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        for _ in range(3):
            await peer.hear("MAIL")
            await peer.hear("RCPT")
            await peer.hear("DATA")
            await peer.say("250 ok", "250 ok", "354 go")
            received.append(await peer.hear_content())
            await peer.hear("RSET")
            await peer.say("250 taken", "250 ok")
        await peer.eof()

    async with listening(host) as port:
        connection = await connect(port)
        for n in range(3):
            content = stuff(canonical(b"%d\n" % n + b".line\n" * 100_000))
            await connection.exchange([SENDER, rcpt("ann"), Data()])
            flight = await connection.exchange([EndOfData(content), Rset()])
            assert (received[n] == content, flight.failure, connection.usable) == (True, None, True)
        connection.abandon()
