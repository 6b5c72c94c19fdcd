"""A site that is given up: what is queued for it has its verdict in one go, however many parcels it is in."""

from __future__ import annotations

import trio
from post_office import Post, office

from bulkmail import sandbox
from bulkmail.delivery import unreached
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.unreached import NOWHERE
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import Host, Route
from bulkmail.transport.stage import Stage

ROUTE = Route("a.test", (Host(0, "mx.a.test", ("127.0.0.1",)),), "mx.a.test")
DOWN = Disposition(Fate.DEFERRED, Scope.SITE, Stage.CONNECT, note="down")
PARCELS = 40


class Counted(Post):
    """Keeps how many had a verdict at each sync."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs: list[int] = []

    async def synced(self) -> None:
        await super().synced()
        self.syncs.append(len(self.verdicts))


async def idle(_: Destination) -> None:
    await trio.sleep_forever()


async def given_up(post: Counted) -> list[int]:
    """The syncs there were when each of the parcels, of two recipients, was told to be finished."""
    told: list[int] = []
    async with office(sandbox.World.default(), post) as made, trio.open_nursery() as nursery:
        plant = made.dispatcher().plant
        destination = Destination(
            plant.sites.of("mx.a.test", 0.0),
            plant,
            sessions=nursery,
            session=idle,
            on_empty=lambda _: None,
        )
        for n in range(PARCELS):
            # every other one was tried before, and is looked at one by one
            parcel = Parcel("a.test", [(2 * n + 1, 2 * n + 2)], shared=True, attempts=n % 2)
            destination.add(parcel, ROUTE, lambda: told.append(len(post.syncs)))
        await destination.met_trouble(DOWN, NOWHERE)
        nursery.cancel_scope.cancel()
    assert post.verdicts == dict.fromkeys(range(1, 2 * PARCELS + 1), "deferred")
    return told


async def test_all_parcels_of_a_site_that_is_given_up_wait_for_one_sync() -> None:
    post = Counted()
    told = await given_up(post)
    assert (post.syncs, told) == ([2 * PARCELS], [1] * PARCELS)


async def test_who_was_tried_before_is_on_disk_before_many_more_are_read(monkeypatch) -> None:
    monkeypatch.setattr(unreached, "SLICE", PARCELS // 2)
    post = Counted()
    told = await given_up(post)
    assert (len(post.syncs), post.syncs[-1], told) == (3, 2 * PARCELS, [3] * PARCELS)
