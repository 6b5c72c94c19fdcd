"""What TLS records hide: a reply nobody has decrypted yet, octets that were encrypted and not taken."""

from __future__ import annotations

import trio
import trio.testing
from smtp_peer import CONTENT, SENDER, Peer, introduced, listening, rcpt
from tls_authority import MX, VERIFIED, starttls

from bulkmail.smtp.command import Data, EndOfData
from bulkmail.transport.connection import Connection
from bulkmail.transport.stream import Metered, TcpStream


async def test_a_reply_too_many_inside_tls_is_noticed_while_idle(authority):
    """G8: it may be in a record of its own, decrypted by nobody yet."""
    said = trio.Event()

    async def host(peer: Peer) -> None:
        await peer.hello("STARTTLS")
        await peer.hear("STARTTLS")
        await peer.say("220 go")
        await peer.start_tls(authority.server("mx.a.test"))
        await peer.answer_ehlo("PIPELINING")
        await peer.hear("MAIL")
        raw = peer.stream.transport_stream
        records: list[bytes] = []
        send, raw.send_all = raw.send_all, lambda data: _collect(records, data)
        await peer.say("250 ok")
        await peer.say("250 and one more")
        raw.send_all = send
        await raw.send_all(b"".join(records))  # two records in one packet
        said.set()
        await trio.sleep_forever()

    async with listening(host) as port:
        connection = await authority.dialer(port, VERIFIED).open(MX)
        await connection.exchange([SENDER])
        await said.wait()
        assert not (connection.usable and connection.quiet)
        connection.abandon()


class Clogged(Metered):
    """Takes ten octets of a write once `clogged`, and then no more."""

    clogged = False

    async def push_on(self) -> None:
        if self.clogged:
            self._handed += 10
            await trio.sleep_forever()
        await super().push_on()


async def test_records_that_were_not_taken_whole_do_not_count_as_handed_over(authority):
    """P2: some of what was encrypted together left us, the last octet did not."""
    ours, theirs = trio.testing.memory_stream_pair()
    clogged = Clogged(ours)

    async def host(peer: Peer) -> None:
        await peer.start_tls(authority.server("mx.a.test"))
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(host, Peer(theirs))
        connection = Connection(clogged, host="mx.a.test")
        await connection.start_tls(authority.contexts[0], implicit=True)
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        clogged.clogged = True
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel_when_blocked, scope)
            await connection.exchange([EndOfData(CONTENT)])
        assert (connection.interrupted.handed_over, connection.interrupted.sent) == (False, 0)
        nursery.cancel_scope.cancel()


class Reset(Metered):
    """The peer has closed: nothing more can be written, what it said before is there."""

    closed = False

    def push(self) -> bool:
        if self.closed:
            raise trio.BrokenResourceError
        return super().push()


async def test_last_words_are_read_although_nothing_can_be_written_any_more(authority):
    """X7: why the content is not wanted is said in the middle of it."""
    ours, theirs = trio.testing.memory_stream_pair()
    stream = Reset(ours)
    said = trio.Event()

    async def host(peer: Peer) -> None:
        await peer.start_tls(authority.server("mx.a.test"))
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await peer.say("552 5.3.4 too big")
        said.set()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(host, Peer(theirs))
        connection = Connection(stream, host="mx.a.test")
        await connection.start_tls(authority.contexts[0], implicit=True)
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        await said.wait()
        stream.closed = True
        flight = await connection.exchange([EndOfData(CONTENT)])
        nursery.cancel_scope.cancel()
    assert [reply.code for reply in flight.replies] == [552]


async def _cancel_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


async def _collect(records: list[bytes], data: bytes) -> None:
    records.append(bytes(data))


async def test_the_end_of_the_handshake_goes_with_the_ehlo_behind_it(authority, monkeypatch):
    """EHLO, STARTTLS, ClientHello, and Finished with the second EHLO: four writes, for four answers."""
    written = 0
    push = TcpStream.push

    def pushed(stream: TcpStream) -> bool:
        nonlocal written
        written += bool(stream._parts)
        return push(stream)

    monkeypatch.setattr(TcpStream, "push", pushed)
    async with listening(starttls(authority.server("mx.a.test"))) as port:
        connection = await authority.dialer(port, VERIFIED).open(MX)
        connection.abandon()
    assert written == 4
