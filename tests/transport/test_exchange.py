"""What one exchange does with what a host does: replies kept, conversations ended, deadlines per reply."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from smtp_peer import CONTENT, SENDER, Peer, conversation, introduced, rcpt

from bulkmail.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, ReplyTimeout
from bulkmail.smtp.command import Bdat, Data, EndOfData, Rset
from bulkmail.transport.approach import TimeLimits
from bulkmail.transport.connection import Connection
from bulkmail.transport.flight import WINDOW, Flight


def codes(flight: Flight) -> list[int]:
    return [reply.code for reply in flight.replies]


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


async def test_a_refusal_before_the_connection_closes_is_kept(autojump_clock):
    """X4."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "550 5.7.1 go away")
        await peer.close()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann"), Data()])
    assert (codes(flight), type(flight.failure)) == ([250, 550], ConnectionLost)
    assert not connection.usable


@pytest.mark.parametrize("answered", range(4))
async def test_a_421_ends_the_conversation_wherever_it_comes(answered, autojump_clock):
    """G2."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        # What stands behind the 421 in the same packet means nothing any more.
        await peer.say(*["250 ok"] * answered, "421 4.7.0 too much mail", "250 ok")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("a"), rcpt("b"), Rset()])
    assert codes(flight) == [250] * answered + [421]
    assert isinstance(flight.failure, ConnectionLost)
    assert not connection.usable


async def test_a_421_that_answers_nothing_ends_the_conversation_too(autojump_clock):
    """G2."""

    async def host(peer: Peer) -> None:
        await peer.say("220 mx.a.test")
        await peer.hear("EHLO")
        await peer.say("250 mx.a.test", "421 4.3.2 shutting down")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        assert not connection.usable
        flight = await connection.exchange([SENDER])
    assert (flight.replies, flight.sent, type(flight.failure)) == ((), 0, ConnectionLost)


async def test_one_reply_too_many_makes_the_connection_unusable_and_keeps_the_verdicts(autojump_clock):
    """G8."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "250 and one more")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann")])
        assert (codes(flight), connection.usable) == ([250, 250], False)
        later = await connection.exchange([Rset()])
    assert (codes(later), type(later.failure)) == ([], RemoteProtocolError)


async def test_half_a_reply_too_many_makes_the_connection_unusable(autojump_clock):
    """G8."""

    async def host(peer: Peer) -> None:
        await peer.hello()
        await peer.hear("RSET")
        await peer.stream.send_all(b"250 ok\r\n250 o")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([Rset()])
    assert (codes(flight), connection.usable) == ([250], False)


async def test_verdicts_before_nonsense_are_kept_and_the_nonsense_ends_it_at_once(autojump_clock):
    """G3, X15."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "550 no", "<html>")
        await trio.sleep_forever()  # it does not close: what it said is enough

    async with conversation(host) as connection:
        await introduced(connection)
        began = trio.current_time()
        flight = await connection.exchange([SENDER, rcpt("ann"), rcpt("bob")])
        assert trio.current_time() == began
    assert (codes(flight), type(flight.failure)) == ([250, 550], RemoteProtocolError)


async def test_success_for_a_message_that_is_not_there_yet_is_not_believed(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok")
        await peer.hear("RCPT")
        await peer.hear("BDAT")
        await peer.take(70_000)
        await peer.say("250 taken")
        await trio.sleep_forever()

    async with conversation(host, pair=trio.testing.lockstep_stream_pair) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann")])
        flight = await connection.exchange([Bdat(b"x" * 1_000_000, last=True)])
    assert (codes(flight), flight.handed_over, type(flight.failure)) == ([], False, RemoteProtocolError)


async def test_the_deadline_is_for_a_reply_and_not_for_a_read(autojump_clock):
    """T4."""

    async def host(peer: Peer) -> None:
        await peer.hello()
        await peer.hear("MAIL")
        for octet in b"250 " + b"x" * 400:
            await trio.sleep(10)
            await peer.stream.send_all(bytes([octet]))

    async with conversation(host, time_limits=TimeLimits(mail=300)) as connection:
        await introduced(connection)
        began = trio.current_time()
        flight = await connection.exchange([SENDER])
        took = trio.current_time() - began
    assert (type(flight.failure), took, str(flight.failure)) == (
        ReplyTimeout,
        300,
        "timed out waiting for the reply to MAIL",
    )


async def test_each_reply_of_a_flight_has_its_whole_time(autojump_clock):
    """T4."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        for _ in range(4):
            await trio.sleep(299)
            await peer.say("250 ok")

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("a"), rcpt("b"), rcpt("c")])
    assert (codes(flight), flight.failure) == ([250] * 4, None)


async def test_a_flight_that_times_out_keeps_the_replies_that_came(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "550 no")
        await trio.sleep_forever()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("a"), rcpt("b")])
    assert (codes(flight), type(flight.failure), connection.usable) == ([250, 550], ReplyTimeout, False)


async def test_the_end_of_data_is_waited_for_longer_than_anything_else(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await peer.hear_content()
        await trio.sleep(599)
        await peer.say("250 taken at last")

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        flight = await connection.exchange([EndOfData(CONTENT)])
    assert codes(flight) == [250]


async def test_a_peer_that_stops_reading_is_given_up(autojump_clock):
    """T5."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok")
        await peer.hear("RCPT")
        await peer.take(65536 * 2)
        await trio.sleep_forever()

    async with conversation(
        host, pair=trio.testing.lockstep_stream_pair, time_limits=TimeLimits(block=180)
    ) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann")])
        began = trio.current_time()
        flight = await connection.exchange([Bdat(b"x" * 1_000_000, last=True)])
        took = trio.current_time() - began
    assert (type(flight.failure), took, flight.handed_over) == (ReplyTimeout, 180, False)


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


async def test_a_refused_rset_ends_the_conversation(autojump_clock):
    """X16."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("RSET")
        await peer.say("500 what?", "250 ok")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([Rset(), SENDER])
    assert (codes(flight), type(flight.failure)) == ([500], ConnectionLost)


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


async def test_a_command_that_may_not_be_sent_is_our_bug_and_closes_the_connection(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello()
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        with pytest.raises(LocalProtocolError):
            await connection.exchange([rcpt("ann")])
        assert not connection.usable


async def test_quit_is_polite_and_bounded(autojump_clock):
    heard: list[str] = []

    async def host(peer: Peer) -> None:
        await peer.hello()
        heard.append(await peer.hear())
        await trio.sleep_forever()

    async with conversation(host, time_limits=TimeLimits(quit=5)) as connection:
        await introduced(connection)
        began = trio.current_time()
        await connection.quit()
        assert (heard, trio.current_time() - began, connection.usable) == (["QUIT"], 5, False)


async def test_nothing_secret_is_in_what_a_connection_shows():
    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection(ours, host="mx.a.test", address="192.0.2.1")
    connection.abandon()
    await theirs.aclose()
    assert repr(connection) == "<Connection to mx.a.test [192.0.2.1]:25, ended: closed by us>"
