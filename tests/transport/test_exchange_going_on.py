"""What is said behind what is not answered yet: each answer is told once, to whoever listens then."""

from __future__ import annotations

import trio
import trio.testing
from smtp_peer import Peer, codes, conversation, introduced

from bulkmail.errors import ConnectionLost, ReplyTimeout
from bulkmail.smtp import Mailbox, Whole, paths_of
from bulkmail.transport.approach import TimeLimits


def whole(number: int) -> Whole:
    paths = paths_of([f"p{number}@a.test"])
    return Whole(Mailbox.parse("news@acme.test"), paths, (b"hello\r\n",), reset=number > 1)


FIRST = ("250 mail", "250 rcpt", "250 taken")
NEXT = ("250 rset", *FIRST)


async def take(peer: Peer, messages: int) -> None:
    for _ in range(messages):
        while not (await peer.hear()).startswith("BDAT"):
            pass
        await peer.hear("hello")


async def test_who_listens_for_some_is_told_of_those_and_later_of_the_rest(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await take(peer, 3)
        await peer.say(*FIRST, *NEXT[:2])  # the first, and the half of the second
        await take(peer, 1)  # which is said meanwhile
        await peer.say("550 no", "503 nobody", *NEXT, *NEXT)

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.say([whole(number) for number in (1, 2, 3)])
        first = await connection.hear(leaving=2)
        await connection.say([whole(4)])
        rest = await connection.hear()
        clean = connection.usable
    assert (codes(first), first.sent, first.smooth) == ([250] * 3, 1, True)
    assert (codes(rest), rest.sent, rest.smooth) == ([250, 250, 550, 503] + [250] * 8, 3, False)
    assert (clean, connection.messages, connection.transactions) == (True, 4, 4)


async def test_a_loss_is_told_with_all_that_was_said_and_not_told_of(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await take(peer, 3)
        await peer.say(*FIRST, *NEXT[:2])
        await take(peer, 1)
        await peer.close()

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.say([whole(number) for number in (1, 2, 3)])
        await connection.hear(leaving=2)
        await connection.say([whole(4)])
        flight = await connection.hear(leaving=1)
    assert (codes(flight), flight.sent, type(flight.failure)) == ([250, 250], 3, ConnectionLost)


async def test_while_nobody_listens_a_connection_is_not_usable_and_no_time_is_running(autojump_clock):
    """T4: the deadline is that of the oldest reply, from when it is listened for."""
    used: list[bool] = []

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await take(peer, 2)
        await peer.say(*FIRST)
        await trio.sleep_forever()

    async with conversation(host, time_limits=TimeLimits(end_of_data=600, mail=300)) as connection:
        await introduced(connection)
        await connection.say([whole(1), whole(2)])
        await connection.hear(leaving=1)
        used.append(connection.usable)
        await trio.sleep(200)
        await connection.say([whole(3)])
        began = trio.current_time()
        flight = await connection.hear(leaving=1)
        took = trio.current_time() - began
    assert (used, took, type(flight.failure), flight.sent) == ([False], 600, ReplyTimeout, 2)


async def test_what_is_said_behind_a_reply_that_is_awaited_gives_it_no_more_time(autojump_clock):
    """T4: nor does a flight that is told of: its time goes on when somebody listens again."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await take(peer, 2)
        await peer.say(*FIRST)
        await trio.sleep_forever()

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.say([whole(1), whole(2)])
        await connection.hear(leaving=1)
        for number in (3, 4, 5):
            await connection.say([whole(number)])
            await trio.sleep(100)
            await connection.hear(leaving=number - 1)  # which is told of nobody
            await trio.sleep(1000)
        began = trio.current_time()
        flight = await connection.hear()
        took = trio.current_time() - began
    assert (took, type(flight.failure), flight.sent) == (300, ReplyTimeout, 4)


async def test_a_host_that_looks_at_a_message_before_it_says_anything_has_the_time_of_an_end_of_data(
    autojump_clock,
):
    """T4: it may hold back the replies to MAIL and RCPT while more can be read (RFC 2920 section 3.2)."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await take(peer, 2)
        for replies in (FIRST, NEXT):
            await trio.sleep(400)
            await peer.say(*replies)
        await trio.sleep_forever()

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.say([whole(1), whole(2)])
        flight = await connection.hear()
        clean = connection.usable
        began = trio.current_time()
        silent = await connection.exchange([whole(3)])
        took = trio.current_time() - began
    assert (codes(flight), flight.failure, flight.sent, clean) == ([250] * 7, None, 2, True)
    assert (took, str(silent.failure)) == (600, "timed out waiting for the reply to RSET")


async def test_who_is_stopped_between_two_flights_is_told_of_what_is_open(autojump_clock):
    """P2."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await take(peer, 2)
        await peer.say(*FIRST, *NEXT[:3])
        await trio.sleep_forever()

    async with conversation(host) as connection:
        await introduced(connection)
        await connection.say([whole(1), whole(2)])
        await connection.hear(leaving=1)
        connection.abandon()
        flight = connection.interrupted
    assert (codes(flight), flight.sent, connection.usable) == ([250] * 3, 1, False)
