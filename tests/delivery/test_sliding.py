"""The window of messages in flight slides: once half is answered as many follow behind the other half."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio
import trio.testing
from test_broken_off import HELLO, Alone, Host, consignment

from bulkmail.delivery import convey
from bulkmail.delivery.consignment import Consignment
from bulkmail.delivery.transaction import Transacted
from bulkmail.delivery.work import Roll
from bulkmail.smtp import Ehlo
from bulkmail.transport.connection import Connection

WINDOW = 4
TAKEN = (250, 250, 250)  # the first of all has no RSET in front of it


class Sliding(Alone):
    """`WINDOW` at once of those in `waiting`, for as long as all goes well. `story`: what it was asked."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.waiting = [consignment(key, f"p{key}") for key in range(1, count + 1)]
        self.story: list[str] = []
        self.in_doubt = self.most_in_doubt = 0  # on disk: intents that nobody has closed
        self._closed = 0
        self.stopping = False
        self.silent: list[int] = []  # whom the host fell silent at
        self.block: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    async def more(self) -> list[Consignment]:
        await trio.lowlevel.checkpoint()
        if self.stopping:
            return []
        room = WINDOW - (self.in_doubt - self._closed)
        coming, self.waiting = self.waiting[:room], self.waiting[room:]
        return coming

    async def intend(self, ending: Sequence[tuple[Consignment, Roll]]) -> None:
        await super().intend(ending)
        self.in_doubt += len(ending) - self._closed  # what was answered is closed in the same breath
        self._closed = 0
        self.most_in_doubt = max(self.most_in_doubt, self.in_doubt)
        self.story.append("intend " + " ".join(str(one.key) for one, _ in ending))
        await self.block()

    async def prepare(self) -> None:
        await trio.lowlevel.checkpoint()
        self.story.append("prepare")

    def tell(self, told: Sequence[tuple[Consignment, Transacted]]) -> bool:
        self._closed += len(told)
        self.silent += [one.key for one, done in told if done.fell_silent]
        self.story.append("told " + " ".join(str(one.key) for one, _ in told))
        return super().tell(told) and not self.stopping


async def slid(
    turn: Sliding,
    play: Callable[[Host, trio.CancelScope], Awaitable[None]],
    carry: convey.Carry = convey.whole,
) -> dict[str, str]:
    """What was told, when the window slides before a host that acts like this, and may stop us."""
    ours, theirs = trio.testing.memory_stream_pair()
    host = Host(theirs)

    async with trio.open_nursery() as nursery:

        async def act() -> None:
            await theirs.send_all(b"220 mx.a.test\r\n")
            await theirs.receive_some(100)
            await theirs.send_all(HELLO)
            await play(host, nursery.cancel_scope)

        nursery.start_soon(act)
        connection = Connection(ours, host="mx.a.test", address="192.0.2.1")
        await connection.exchange(())
        await connection.exchange([Ehlo("out.test")])
        await carry(connection, await turn.more(), turn)
        nursery.cancel_scope.cancel()
    return {address.partition("@")[0]: fate for address, fate in turn.told.items()}


def whose(heard: bytes) -> list[int]:
    """Whose messages are there, whole."""
    return [int(part.split(b"@")[0][1:]) for part in heard.split(b"RCPT TO:<")[1:]]


async def heard(host: Host) -> list[int]:
    await host.hear_everything()
    return whose(host.heard)


async def taken(host: Host, count: int, *, first: bool = False) -> None:
    """So many messages are taken."""
    await host.say(*(TAKEN if first else ()), *((250, *TAKEN) * (count - first)))


async def test_behind_those_in_flight_others_follow_before_all_is_answered(autojump_clock: object) -> None:
    turn, there = Sliding(8), []

    async def play(host: Host, _: trio.CancelScope) -> None:
        there.append(await heard(host))
        await taken(host, 1, first=True)
        there.append(await heard(host))  # less than half is answered: nobody more
        await taken(host, 1)
        there.append(await heard(host))
        await taken(host, 3)  # what has come meanwhile is all made room for
        there.append(await heard(host))
        await taken(host, 3)

    told = await slid(turn, play)
    assert there == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7, 8]]
    assert (set(told.values()), len(told), turn.most_in_doubt) == ({"delivered"}, 8, WINDOW)


async def test_while_answers_are_awaited_what_comes_next_is_made_ready(autojump_clock: object) -> None:
    turn = Sliding(6)

    async def play(host: Host, _: trio.CancelScope) -> None:
        await heard(host)
        await taken(host, 4, first=True)
        await heard(host)
        await taken(host, 2)

    await slid(turn, play)
    assert turn.story[:5] == ["intend 1 2 3 4", "prepare", "told 1 2 3 4", "intend 5 6", "prepare"]


async def test_whose_answers_come_in_pieces_is_told_once_and_in_order(autojump_clock: object) -> None:
    turn = Sliding(9)

    async def play(host: Host, _: trio.CancelScope) -> None:
        await heard(host)
        await host.say(*TAKEN, 250, 250)  # one message and the half of another
        await heard(host)
        await host.say(550, 503, 250, 250)  # X2: that one is refused; and half of a third
        await heard(host)
        await host.say(250, 250)
        await heard(host)
        for _ in range(2):
            await taken(host, 3)
            await heard(host)

    told = await slid(turn, play)
    assert (list(told), told.pop("p2"), set(told.values())) == (
        [f"p{key}" for key in range(1, 10)],
        "bounced",
        {"delivered"},
    )


async def test_a_connection_lost_while_the_window_slides_puts_no_more_than_the_window_in_doubt(
    autojump_clock: object,
) -> None:
    """X8."""
    turn = Sliding(20)

    async def play(host: Host, _: trio.CancelScope) -> None:
        await heard(host)
        await taken(host, 2, first=True)
        await heard(host)
        await host.say(250, 250, 250)  # all but the last reply to 3
        await host.stream.aclose()

    told = await slid(turn, play)
    doubtful = [name for name, fate in told.items() if fate == "in_doubt"]
    assert (doubtful, turn.most_in_doubt, len(told)) == (["p3", "p4", "p5", "p6"], WINDOW, 6)


async def test_a_421_while_the_window_slides_puts_nobody_in_doubt(autojump_clock: object) -> None:
    """G2."""
    turn = Sliding(20)

    async def play(host: Host, _: trio.CancelScope) -> None:
        await heard(host)
        await taken(host, 2, first=True)
        await heard(host)
        await host.say(250, *TAKEN, 250, 421)

    told = await slid(turn, play)
    assert list(told.values()) == ["delivered"] * 3 + ["deferred"] * 3


async def test_stopped_while_the_window_slides_those_who_were_sent_to_are_in_doubt_and_nobody_else(
    autojump_clock: object,
) -> None:
    """P2: 5 and 6 are about to follow, and were not sent."""
    turn = Sliding(20)

    async def play(host: Host, all_of_it: trio.CancelScope) -> None:
        await heard(host)
        turn.block = trio.sleep_forever
        await taken(host, 2, first=True)
        await trio.testing.wait_all_tasks_blocked()
        all_of_it.cancel()

    told = await slid(turn, play)
    assert turn.story[-2:] == ["intend 5 6", "told 3 4"]
    assert told == {"p1": "delivered", "p2": "delivered", "p3": "in_doubt", "p4": "in_doubt"}


async def test_a_drain_awaits_what_is_in_flight_and_begins_nothing(autojump_clock: object) -> None:
    """P1."""
    turn = Sliding(20)

    async def play(host: Host, _: trio.CancelScope) -> None:
        await heard(host)
        await taken(host, 2, first=True)
        await heard(host)
        turn.stopping = True
        for _ in range(4):
            await taken(host, 1)

    told = await slid(turn, play)
    assert (list(told.values()), turn.waiting[0].key) == (["delivered"] * 6, 7)


async def test_behind_a_bdat_that_was_not_understood_no_success_is_believed(autojump_clock: object) -> None:
    """X12: also of those whose answers come later, and nobody follows them."""
    turn = Sliding(20)

    async def play(host: Host, _: trio.CancelScope) -> None:
        await heard(host)
        await host.say(250, 250, 500)
        await taken(host, 1)
        await heard(host)
        await taken(host, 2)

    told = await slid(turn, play)
    assert (list(told.values()), turn.waiting[0].key) == (["again"] + ["in_doubt"] * 3, 5)


async def test_a_host_that_falls_silent_while_the_window_slides_is_found_out(autojump_clock: object) -> None:
    """X9: it answered, and then threw away what was sent ahead."""

    turn = Sliding(4)

    async def play(host: Host, _: trio.CancelScope) -> None:
        await heard(host)
        await taken(host, 2, first=True)
        await trio.sleep_forever()

    await slid(turn, play)
    assert turn.silent == [3]
