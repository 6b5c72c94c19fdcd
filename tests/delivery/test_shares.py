"""How many recipients a session takes at a time: few where there are many sessions, for all are held.

And whose: who was tried before gives way to who was not, and is not forgotten over that.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from post_office import Post, office

from bulkmail import sandbox
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.queue import HELD, SHARED_HELD, SHARED_SLICE, SLICE
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import Host, Route

ROUTE = Route("a.test", (Host(0, "mx.a.test", ("127.0.0.1",)),), "mx.a.test")


async def idle(_: Destination) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("connections", "others", "shared", "takes"),
    [
        (10, 0, False, SLICE),
        (1_000, 0, False, HELD // 1_000),  # as many as the site will have
        (10, 1_000, False, HELD // 1_000),  # and as many as the others have
        (10, 100_000, False, 1),
        (10, 0, True, SHARED_SLICE * 100),
        (10, 100, True, SHARED_HELD // (100 * 100) * 100),  # whole transactions
        (10, 100_000, True, 100),
    ],
)
async def test_where_there_are_many_sessions_each_takes_few(
    connections: int, others: int, shared: bool, takes: int
) -> None:
    async with office(sandbox.World.default(), Post()) as made:
        dispatcher = made.dispatcher(connections=connections, recipients_per_transaction=100)
        plant = replace(dispatcher.plant, slots=Slots(200_000))
        for guest in range(others):
            assert plant.slots.enter_now(guest, probing=False)
        async with trio.open_nursery() as nursery:
            destination = Destination(
                plant.sites.of("mx.a.test", 0.0),
                plant,
                sessions=nursery,
                session=idle,
                on_empty=lambda _: None,
            )
            parcel = Parcel("a.test", [(1, 50_000_000)], shared=shared)
            destination.add(parcel, ROUTE, lambda: None)
            ((_, ((first, last),), _),) = destination.take()
            nursery.cancel_scope.cancel()
    assert last - first + 1 == takes


async def test_mail_that_was_deferred_does_not_bury_fresh_mail_and_is_not_buried_by_it() -> None:
    async with office(sandbox.World.default(), Post()) as made:
        plant = made.dispatcher(connections=1).plant
        async with trio.open_nursery() as nursery:
            destination = Destination(
                plant.sites.of("mx.a.test", 0.0),
                plant,
                sessions=nursery,
                session=idle,
                on_empty=lambda _: None,
            )
            for first, count, attempts in ((1, 100_000, 1), (200_000, 300, 0), (300_000, 100_000, 3)):
                parcel = Parcel("a.test", [(first, first + count - 1)], shared=False, attempts=attempts)
                destination.add(parcel, ROUTE, lambda: None)
            slices = [[taken.parcel.attempts for taken in destination.take()] for _ in range(6)]
            nursery.cancel_scope.cancel()
    assert slices == [[1], [0], [0, 3], [1], [3], [1]]
