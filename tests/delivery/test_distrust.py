"""Hosts that announce what they do not keep, and what changes while a ride is under way."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from unittest.mock import patch

import pytest
import trio
import trio.testing
from post_office import Post, office
from test_broken_off import Host, consignment
from three_ways import CLOSED, Script, run

from bulkmail import sandbox
from bulkmail.delivery import convey
from bulkmail.delivery.consignment import Turn
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.transaction import Transacted
from bulkmail.smtp import Ehlo, Mail
from bulkmail.transport.connection import Connection


class SwallowsBdat(Script):
    """Announces CHUNKING; where BDAT stands, the connection is gone without a word."""

    def departure(self, conversation, stage, event):
        if stage == "END_OF_DATA" and conversation._protocol.state.name != "CONTENT":
            return CLOSED
        return super().departure(conversation, stage, event)


@pytest.mark.parametrize("connections", [1, 5])
def test_a_host_that_swallows_bdat_puts_one_message_in_doubt_and_then_gets_data(connections: int) -> None:
    """X12, X8: one session looks whether BDAT works, with one message; the others use DATA meanwhile."""
    came = run(SwallowsBdat(), 80, connections=connections)
    came.check(80)
    assert (came.in_doubt, list(came.fates.values()).count("delivered")) == (1, 79)


class Remembers(Script):
    """From the MAIL of 10 on, 13 is suppressed."""

    def __init__(self) -> None:
        super().__init__()
        self.suppressed: set[int] = set()

    def departure(self, conversation, stage, event):
        if isinstance(event, Mail) and event.reverse_path.local == b"bounces+10":
            self.suppressed.add(13)
        return super().departure(conversation, stage, event)


def test_who_is_suppressed_while_a_ride_is_under_way_gets_no_mail() -> None:
    """H3: although his letter was written, and his intent is on disk."""
    script = Remembers()

    def withheld(post, rolls):
        return script.suppressed.intersection(chain.from_iterable(roll.ids for roll in rolls))

    with patch.object(Post, "withheld", withheld):
        came = run(script, 40, without=("CHUNKING",))
    came.check(40)
    others = {fate for number, fate in came.fates.items() if number != 13}
    assert (came.fates[13], others) == ("suppressed", {"delivered"})


@pytest.mark.parametrize("without", [(), ("CHUNKING",), ("CHUNKING", "PIPELINING")])
async def test_a_parcel_is_finished_only_when_all_verdicts_are_noted(without: tuple[str, ...]) -> None:
    """The run may end with it: who is deferred must be in the journal by then."""
    world, post = sandbox.World(), Post()
    world.domain("a.test").extensions(without=without).refuse("p40", b"450 4.7.1 greylisted")
    known: list[int] = []
    async with office(world, post) as there:
        plant = there.dispatcher().plant
        await there.deliver(40, Dispatcher(plant, on_finished=lambda _: known.append(len(post.verdicts))))
    assert known == [40]


async def test_after_a_bug_of_ours_who_was_sent_to_stays_in_doubt() -> None:
    """Nothing is known of them but that the content went out."""
    world, post = sandbox.World(), Post()
    world.domain("a.test")
    judged = convey.judge_wholes

    def broken(messages, flight, before, table):
        if len(messages) > 1:
            raise RuntimeError("a bug")
        return judged(messages, flight, before, table)

    with (
        patch.object(convey, "judge_wholes", broken),
        pytest.RaisesGroup(RuntimeError, flatten_subgroups=True),
    ):
        async with office(world, post) as there:
            await there.deliver(40)
    arrived = {int(to.partition("@")[0][1:]) for one in world.ledger.messages for to in one.recipients}
    spans = chain.from_iterable(post.open.values())
    open_ = set(chain.from_iterable(range(first, last + 1) for first, last in spans))
    assert arrived - post.verdicts.keys() <= open_
    assert open_


# --- riding, over memory -------------------------------------------------------------------------------


class Riding(Turn):
    """Keeps what is told, and how long after the content was sent."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Transacted, float]] = []

    async def intend(self, ending) -> None:
        await trio.lowlevel.checkpoint()

    def tell(self, told) -> bool:
        now = trio.current_time()
        self.told += [(one.roll.addresses[0][:3], done, now - one.sent_at) for one, done in told]
        return True


async def ridden(play) -> list[tuple[str, Transacted, float]]:
    """What is told of three messages to a host that acts like this."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    host, turn = Host(theirs), Riding()
    ones = [consignment(key, name) for key, name in enumerate(("ann", "bob", "cat"), 1)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(play, host)
        connection = Connection(ours, host="mx.a.test", address="192.0.2.1")
        await connection.exchange(())
        await connection.exchange([Ehlo("out.test")])
        await convey.riding(connection, ones, turn)
        connection.abandon()
        nursery.cancel_scope.cancel()
    return turn.told


async def introduced(host: Host) -> None:
    await host.stream.send_all(b"220 mx.a.test\r\n")
    await host.stream.receive_some(100)
    await host.stream.send_all(b"250-mx.a.test\r\n250 PIPELINING\r\n")
    await host.hear_everything()
    await host.say(250, 250, 354)


async def test_a_host_that_throws_away_what_rides_behind_is_found_out(autojump_clock: object) -> None:
    """X9: the end of data is answered, and then nothing of what stood behind it."""

    async def play(host: Host) -> None:
        await introduced(host)
        await host.hear_everything()
        await host.say(250)
        await trio.sleep_forever()

    (first, second) = await ridden(play)
    assert (first[0], first[1].fell_silent) == ("ann", False)
    assert (second[0], second[1].fell_silent, second[1].unheard) == ("bob", True, True)


async def test_how_long_an_answer_took_counts_from_the_message_and_not_from_the_ride(
    autojump_clock: object,
) -> None:
    async def play(host: Host) -> None:
        await introduced(host)
        for last in (False, False, True):
            await host.hear_everything()
            await trio.sleep(10)
            await host.say(250, *(() if last else (250, 250, 250, 354)))
        await trio.sleep_forever()

    told = await ridden(play)
    assert [11 <= seconds < 13 for _, _, seconds in told] == [True] * 3


def test_sessions_that_ride_turn_to_bdat_once_one_has_seen_that_it_works() -> None:
    came = run(Script(), 400, connections=4)
    came.check(400)
    said = Counter(command.split()[0] for session in came.ledger.sessions for command in session.commands)
    assert said["DATA"] < 100
