"""What a worker is given: parcels in order, and routes that are asked for again when they are not fresh."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from bulkmail.campaign.workers.channel import Channel, pair
from bulkmail.campaign.workers.inbox import FRESH_S, Inbox
from bulkmail.campaign.workers.messages import Asks, Deliver, Routed
from bulkmail.campaign.workers.worker import PARTING_S
from bulkmail.dns.routes import Host, NoRoute, Route


def route(host: str) -> Route:
    return Route("a.test", (Host(10, host, ("192.0.2.1",)),), host)


OLD, NEW = route("old.a.test"), route("new.a.test")
PARCEL = Deliver(7, "a.test", ((1, 9),), False, 0, OLD)


@pytest.fixture
async def parent() -> AsyncIterator[tuple[Channel, Inbox]]:
    ours, theirs = map(Channel, pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.write)
        yield ours, Inbox(theirs)
        nursery.cancel_scope.cancel()
    ours.close()
    theirs.close()


async def test_parcels_come_in_order_with_the_numbers_that_the_parent_gave_them(parent) -> None:
    _, inbox = parent
    inbox.add(PARCEL)
    inbox.add(PARCEL._replace(number=8))
    inbox.close()
    first, second = await inbox.next(), await inbox.next()
    assert (inbox.number(first), inbox.number(second), await inbox.next()) == (7, 8, None)


async def test_a_route_is_believed_while_it_is_fresh_and_then_asked_for_once_by_all(
    parent, mock_clock: trio.testing.MockClock
) -> None:
    ours, inbox = parent
    inbox.add(PARCEL)
    mock_clock.jump(FRESH_S - 1)
    fresh, found = await inbox.route("a.test"), list[object]()

    async def ask() -> None:
        found.append(await inbox.route("a.test"))

    mock_clock.jump(2)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
        asked = await ours.read()
        inbox.routed(Routed("a.test", NEW))
    assert (fresh, asked, found) == (OLD, [Asks("a.test")], [NEW] * 3)


async def test_without_a_parent_what_is_known_is_good_enough(
    parent, mock_clock: trio.testing.MockClock
) -> None:
    _, inbox = parent
    inbox.add(PARCEL)
    mock_clock.jump(10 * FRESH_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.route, "a.test")
        await trio.testing.wait_all_tasks_blocked()
        inbox.orphaned()
    assert await inbox.route("a.test") == OLD


@pytest.mark.parametrize("when", ["before the parent has gone", "afterwards"])
async def test_without_a_parent_what_is_not_known_any_more_is_deferred_at_once(
    parent, mock_clock: trio.testing.MockClock, when: str
) -> None:
    """P5: the route was pushed out by those of other domains, and nobody is left to ask."""
    _, inbox = parent
    found: list[Route | NoRoute] = []

    async def ask() -> None:
        found.append(await inbox.route("b.test"))

    with trio.fail_after(PARTING_S):
        mock_clock.autojump_threshold = 0
        async with trio.open_nursery() as nursery:
            if when == "afterwards":
                inbox.orphaned()
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            inbox.orphaned()
    ((permanent, domain),) = [(one.permanent, one.domain) for one in found if isinstance(one, NoRoute)]
    assert (permanent, domain, trio.current_time()) == (False, "b.test", 0.0)
