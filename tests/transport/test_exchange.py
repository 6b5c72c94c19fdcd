"""What goes out together in one exchange, and how much of it counts as handed over."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from smtp_peer import CONTENT, SENDER, Peer, codes, conversation, introduced, rcpt

from bulkmail.errors import ConnectionLost
from bulkmail.smtp.command import Bdat, Data, EndOfData, Rset
from bulkmail.transport.connection import Connection
from bulkmail.transport.flight import WINDOW


async def test_an_envelope_goes_in_one_flight_where_pipelining_is_offered(autojump_clock):
    seen = b""

    async def host(peer: Peer) -> None:
        nonlocal seen
        await peer.hello("PIPELINING")
        seen = (await peer.hear("MAIL")).encode() + peer.held
        await peer.say("250 ok", "250 ok", "550 no", "354 go")

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann"), rcpt("bob"), Data()])
    assert (seen.count(b"RCPT"), seen.endswith(b"DATA\r\n"), codes(flight)) == (2, True, [250, 250, 550, 354])


@pytest.mark.parametrize("lockstep", [False, True])
async def test_commands_go_one_by_one_where_pipelining_is_not_offered_or_does_not_work(
    lockstep, autojump_clock
):
    """X9."""
    ahead: list[bytes] = []

    async def host(peer: Peer) -> None:
        await peer.hello(*(["PIPELINING"] if lockstep else []))
        for _ in range(3):
            await peer.hear()
            await trio.testing.wait_all_tasks_blocked()
            ahead.append(peer.held)
            await peer.say("250 ok")

    async with conversation(host) as connection:
        await introduced(connection)
        connection.lockstep = lockstep
        flight = await connection.exchange([SENDER, rcpt("ann"), Rset()])
    assert (ahead, codes(flight)) == ([b"", b"", b""], [250, 250, 250])


async def test_the_next_envelope_rides_behind_the_end_of_data(autojump_clock):
    behind = b""

    async def host(peer: Peer) -> None:
        nonlocal behind
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await peer.hear("RCPT")
        await peer.hear("DATA")
        await peer.hear_content()
        behind = peer.held
        await peer.say("250 taken", "250 ok", "250 ok", "250 ok", "354 go")

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        flight = await connection.exchange([EndOfData(CONTENT), Rset(), SENDER, rcpt("bob"), Data()])
    assert behind.split(b"\r\n")[0] == b"RSET"
    assert (codes(flight), flight.handed_over, connection.messages) == ([250, 250, 250, 250, 354], True, 1)


async def test_unanswered_commands_are_bounded(autojump_clock):
    """Two writers that wait for each other cannot happen: writing stops at WINDOW (RFC 2920 section 3.2)."""
    at_once = 0

    async def host(peer: Peer) -> None:
        nonlocal at_once
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await trio.testing.wait_all_tasks_blocked()
        at_once = len(peer.held)
        await peer.say("250 ok")
        for _ in range(600):
            await peer.hear("RCPT")
            await peer.say("250 ok")

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, *(rcpt("x" * 60 + str(n)) for n in range(600))])
    assert 0 < at_once < WINDOW + 1024
    assert codes(flight) == [250] * 601


async def test_content_is_left_out_where_data_is_refused(autojump_clock):
    """X6."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "550 no", "554 no valid recipients")

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann"), Data(), EndOfData(CONTENT), Rset()])
    assert (codes(flight), flight.failure, flight.sent) == ([250, 550, 554], None, 3)


async def test_a_peer_that_answers_before_it_reads_on_does_not_deadlock_us(autojump_clock):
    """T5: it will not take more content before we have read what it says."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.hear("MAIL")
        await peer.hear("RCPT")
        for _ in range(4):
            await peer.hear("BDAT")
            await peer.take(100_000)
            await peer.say("250 ok")  # returns when it was read: a lock-step stream has no buffer
        await peer.say("250 ok", "250 ok")

    async with conversation(host, pair=trio.testing.lockstep_stream_pair) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann"), *[Bdat(b"x" * 100_000, last=False)] * 4])
    assert (codes(flight), flight.handed_over) == ([250] * 6, True)


async def test_lost_after_the_dot_the_message_counts_as_handed_over(autojump_clock):
    """X8."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await peer.hear_content()
        await peer.close()

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        flight = await connection.exchange([EndOfData(CONTENT)])
    assert (flight.replies, flight.handed_over, type(flight.failure)) == ((), True, ConnectionLost)


async def test_a_cancelled_exchange_makes_the_connection_unusable_and_tells_how_far_it_came(autojump_clock):
    """P2."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await peer.hear_content()
        await trio.sleep_forever()

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        with trio.move_on_after(1) as scope:
            await connection.exchange([EndOfData(CONTENT), Rset()])
        assert scope.cancelled_caught
        assert (connection.usable, connection.interrupted.handed_over) == (False, True)
        assert connection.interrupted.replies == ()


async def test_content_that_was_not_taken_before_the_cancellation_is_not_handed_over(autojump_clock):
    """P2: with fewer octets handed over a recipient is pending, not in doubt."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.hear("RCPT")
        await peer.hear("DATA")
        await peer.say("250 ok", "250 ok", "354 go")
        await trio.sleep_forever()  # without reading on: a lock-step stream has no buffer

    async with conversation(host, pair=trio.testing.lockstep_stream_pair) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        with trio.move_on_after(1):
            await connection.exchange([EndOfData(CONTENT), Rset()])
        assert (connection.interrupted.handed_over, connection.interrupted.sent) == (False, 0)


async def test_nothing_secret_is_in_what_a_connection_shows():
    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection(ours, host="mx.a.test", address="192.0.2.1")
    connection.abandon()
    await theirs.aclose()
    assert repr(connection) == "<Connection to mx.a.test [192.0.2.1]:25, ended: closed by us>"
