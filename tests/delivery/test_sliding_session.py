"""What a session makes of a window that slides: full ones, and never more in flight than may be."""

from __future__ import annotations

import pytest
import trio
from post_office import Post, letter_of, office
from test_broken_off import consignment
from three_ways import Script, in_pieces, run

from bulkmail import sandbox
from bulkmail.delivery.ahead import Ahead
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.errands import Errand, Errands
from bulkmail.delivery.supply import IN_FLIGHT
from bulkmail.delivery.work import Listed, Parcel


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
def test_however_the_answers_come_the_intents_on_disk_are_never_more_than_may_be_in_flight(
    limit: int,
) -> None:
    """Promise 2, at every moment: a kill then leaves no more in doubt than that."""

    class Counting(Post):
        most = 0

        def note(self, *arguments, **more) -> None:
            super().note(*arguments, **more)
            Counting.most = max(Counting.most, len(self.open))

    world, post = sandbox.World(), Counting()
    world.domain("a.test")

    async def deliver() -> None:
        async with office(world, post) as there:
            await there.deliver(100, there.dispatcher(messages_in_flight=limit))

    with in_pieces():
        trio.run(deliver)
    assert (Counting.most, set(post.verdicts.values()), len(post.verdicts)) == (limit, {"delivered"}, 100)


def test_a_full_window_goes_out_whatever_the_slices_in_which_people_are_taken() -> None:
    came = run(Script(), 60)
    came.check(60)
    (session,) = came.ledger.sessions
    assert session.flight_sizes("MAIL") == [1, 1, 1, 2, 4, 8, 8, 8, 8, 8, 8, 3]


def test_where_envelopes_ride_intents_are_written_for_as_many_as_may_be_in_flight() -> None:
    """One of them is always open when the next are written."""
    groups: list[int] = []

    class Grouping(Post):
        def note(self, verdicts=(), *, opened=(), **more) -> None:
            super().note(verdicts, opened=opened, **more)
            if opened:
                groups.append(len(opened))

    world, post = sandbox.World(), Grouping()
    world.domain("a.test").extensions(without=("CHUNKING",))

    async def deliver() -> None:
        async with office(world, post) as there:
            await there.deliver(60)

    trio.run(deliver)
    assert (groups[:6], max(groups)) == ([1, 1, 2, 3, 7, 7], 7)


@pytest.mark.parametrize("messages", [10, 17, 25])
def test_a_connection_carries_no_more_messages_than_it_may(messages: int) -> None:
    """X10: those in flight count."""
    came = run(Script(), 80, messages_per_connection=messages, pieces=True)
    came.check(80)
    mails = [sum(session.flight_sizes("MAIL")) for session in came.ledger.sessions]
    assert (max(mails), set(came.fates.values())) == (messages, {"delivered"})


def test_who_has_more_in_flight_than_a_connection_may_carry_by_now_gives_no_turn_back() -> None:
    """X10: the rate of the site holds, and the next connections carry what was learned."""

    class Taught(Post):
        def note(self, verdicts=(), **more) -> None:
            super().note(verdicts, **more)
            if len(self.verdicts) in range(20, 30):
                (destination,) = destinations.values()
                destination.site.learn(trio.current_time(), messages=5)

    world, post = sandbox.World(), Taught()
    world.domain("a.test")
    destinations: dict[str, Destination] = {}

    async def deliver() -> None:
        nonlocal destinations
        async with office(world, post) as there:
            dispatcher = there.dispatcher()
            destinations = dispatcher.destinations
            await there.deliver(60, dispatcher)

    with in_pieces():
        trio.run(deliver)
    first, *others = [sum(session.flight_sizes("MAIL")) for session in world.ledger.sessions]
    assert (set(post.verdicts.values()), len(post.verdicts)) == ({"delivered"}, 60)
    assert first > 20
    assert max(others) == 5


async def test_large_messages_in_flight_share_the_room_that_a_connection_has() -> None:
    roll = Listed([consignment(key, f"p{key}").roll[0] for key in range(1, 9)])
    errands = Errands([Errand(Parcel("a.test", [(1, 8)], shared=False), roll)])
    letters = [letter_of(one, octets=IN_FLIGHT // 3) for one in roll]
    first = errands.cut(letters, 8, 1, IN_FLIGHT)
    behind = errands.cut(letters[2:], 6, 1, IN_FLIGHT - 2 * letters[0].size, at_least=0)
    alone = errands.cut(letters[2:], 6, 1, 0)
    assert (len(first), len(behind), len(alone)) == (2, 0, 1)


async def test_letters_that_are_made_ready_are_those_that_are_wanted_next() -> None:
    post = Post()
    ahead = Ahead(post)
    people = [consignment(key, f"p{key}").roll[0] for key in range(1, 80)]
    ids = [one.id for one in people]
    for start, wanted in ((0, 1), (1, 4), (5, 4), (29, 8), (33, 4)):
        await ahead.letters(
            ids[start : start + wanted], lambda most, start=start: people[start : start + most]
        )
    assert [len(asked) for asked in post.asked] == [1, 32, 28]
