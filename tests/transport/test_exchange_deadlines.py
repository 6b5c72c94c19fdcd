"""A deadline per reply: a drip does not move it, each reply has its own, a peer that stops is given up."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from smtp_peer import CONTENT, SENDER, Peer, codes, conversation, introduced, rcpt

from bulkmail.errors import ReplyTimeout
from bulkmail.smtp import Mailbox, Whole, paths_of
from bulkmail.smtp.command import Bdat, Data, EndOfData, Rset
from bulkmail.transport.approach import TimeLimits
from bulkmail.transport.stream import Metered, Transport

SMALL = Whole(Mailbox.parse("news@acme.test"), paths_of(["p1@a.test"]), (b"x" * 100,))
FIRST = len(SMALL.encode())  # octets
LARGE_OCTETS = 1_000_000
LARGE = SMALL._replace(reset=True, pieces=(b"x" * LARGE_OCTETS,))


class Piecemeal(Metered):
    """As a kernel does it: part of what is written was taken, the rest waits for room."""

    async def push_on(self) -> None:
        block = self._out.pop(0)
        await self._inner.send_all(block)
        self._handed += len(block)


def piecemeal() -> tuple[Transport, trio.abc.Stream]:
    ours, theirs = trio.testing.lockstep_stream_pair()
    return Piecemeal(ours), theirs


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
        for _ in range(3):
            await trio.sleep(299)
            await peer.say("250 ok")

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("a"), rcpt("b")])
    assert (codes(flight), flight.failure) == ([250] * 3, None)


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
async def test_a_host_that_takes_five_minutes_for_each_recipient_does_not_hold_a_session_for_hours(
    extensions, autojump_clock
):
    """T4."""

    async def host(peer: Peer) -> None:
        await peer.hello(*extensions)
        while True:
            await peer.hear()
            await trio.sleep(299)
            await peer.say("250 ok")

    async with conversation(host) as connection:
        await introduced(connection)
        began = trio.current_time()
        flight = await connection.exchange([SENDER, *(rcpt(f"r{n}") for n in range(100)), Data()])
        took = trio.current_time() - began
    assert (codes(flight), took, connection.usable) == ([250] * 3, 900, False)
    assert str(flight.failure) == (
        "timed out waiting for the reply to RCPT: the envelope took too long altogether"
    )


async def test_the_time_for_an_envelope_never_cuts_an_end_of_data_short(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok")
        await trio.sleep(599)
        await peer.say("250 taken at last")
        await trio.sleep(299)
        await peer.say("250 reset")

    limits = TimeLimits(envelope=10, mail=300, rcpt=5, data=5)
    async with conversation(host, time_limits=limits) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann"), Bdat(b"x", last=True), Rset()])
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


@pytest.mark.parametrize("of_the_next", [0, 40_000, 2 * 65536, 4 * 65536])
@pytest.mark.parametrize(("reads_on", "took"), [(True, 400), (False, 580)])
async def test_a_host_busy_with_a_message_may_leave_the_next_one_unread(
    reads_on, took, of_the_next, autojump_clock
):
    """T5, X8: else the first one, which it is about to take, were in doubt; then its time begins."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.take(FIRST + of_the_next)  # both are written at once: it never takes what was written
        await trio.sleep(400)
        await peer.say("250 mail", "250 rcpt", "250 taken")
        if not reads_on:
            await trio.sleep_forever()
        with trio.move_on_after(1):
            await peer.take(10**9)
        await peer.say("250 rset", "250 mail", "250 rcpt", "250 taken")

    async with conversation(host, pair=piecemeal) as connection:
        await introduced(connection)
        began = trio.current_time()
        with trio.fail_after(3600):
            flight = await connection.exchange([SMALL, LARGE])
        spent = trio.current_time() - began
    assert codes(flight) == [250] * (7 if reads_on else 3)
    assert (flight.failure is None, int(spent) // 10 * 10) == (reads_on, took)


@pytest.mark.parametrize(
    ("taken", "took", "sent"), [(FIRST - 1, 180, 0), (FIRST, 600, 1), (FIRST + 40_000, 600, 1)]
)
async def test_who_has_not_even_taken_a_message_has_less_time_than_who_is_busy_with_it(
    taken, took, sent, autojump_clock
):
    """T5, X8: until its last octet was taken it may be broken off and nobody is in doubt."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.take(taken)
        await trio.sleep_forever()

    async with conversation(host, pair=piecemeal) as connection:
        await introduced(connection)
        began = trio.current_time()
        with trio.fail_after(3600):
            flight = await connection.exchange([SMALL, LARGE])
        spent = trio.current_time() - began
    assert (type(flight.failure), int(spent), flight.sent) == (ReplyTimeout, took, sent)


async def test_who_reads_slowly_but_steadily_is_not_given_up(autojump_clock):
    """T5: 64 kB in the time for them are enough, however many octets come at once."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        for _ in range(LARGE_OCTETS // 32_768 + 1):
            await trio.sleep(85)
            with trio.move_on_after(1):
                await peer.take(32_768)
        await peer.say("250 mail", "250 rcpt", "250 taken")

    async with conversation(host, pair=piecemeal) as connection:
        await introduced(connection)
        flight = await connection.exchange([LARGE._replace(reset=False)])
    assert (codes(flight), flight.failure) == ([250] * 3, None)


async def test_replies_that_come_while_a_message_is_written_take_nothing_from_the_time_of_its_end(
    autojump_clock,
):
    """T4, T5: it runs from the last octet on."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.take(65536)
        await peer.say("250 mail", "250 rcpt")
        for _ in range(18):
            await trio.sleep(40)
            await peer.take(65536)
        with trio.move_on_after(1):
            await peer.take(10**9)  # the rest
        await trio.sleep(590)
        await peer.say("250 taken")

    message = Whole(Mailbox.parse("news@acme.test"), paths_of(["p1@a.test"]), (b"x" * 1_300_000,))
    async with conversation(host, pair=trio.testing.lockstep_stream_pair) as connection:
        await introduced(connection)
        flight = await connection.exchange([message])
    assert (codes(flight), flight.failure) == ([250] * 3, None)


async def test_cancelled_in_mid_content_the_exchange_says_how_far_it_came(autojump_clock):
    """P2."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok")
        await peer.hear("RCPT")
        await peer.take(65536 * 2)
        await trio.sleep_forever()

    caught: list[BaseException] = []
    async with conversation(host, pair=trio.testing.lockstep_stream_pair) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann")])
        with trio.move_on_after(1):
            try:
                await connection.exchange([Bdat(b"x" * 1_000_000, last=True)])
            except BaseException as error:
                caught.append(error)
                raise
    assert [type(error) for error in caught] == [trio.Cancelled]  # bare, not in a group
    assert (connection.interrupted.handed_over, connection.usable) == (False, False)


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
