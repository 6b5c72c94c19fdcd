"""From parcels to destinations: each domain is routed, and what routes to the same hosts shares a site.

A bounded number of router tasks look domains up side by side; a bounded number of parcels is open at once,
so neither the number of people nor of domains shows in memory. The dispatcher owns the destinations'
nursery: a run is over when its source is and every destination has ended.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import trio

from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.session import session
from bulkmail.delivery.shaping import SITES
from bulkmail.delivery.unreached import NOWHERE, no_route, settle_untried
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import NoRoute

ROUTERS = 64  # DNS look-ups side by side
OPEN_PARCELS = 1_000  # domains whose recipients may be out at once

Source = Callable[[], Awaitable[Parcel | None]]


class Dispatcher:
    """Carries parcels from a source to the destinations until the source ends or `stop` is called."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.destinations: dict[str, Destination] = {}
        self.stopping = False
        self.open_parcels = 0
        self._room = trio.Semaphore(OPEN_PARCELS)
        self._before_mail = trio.CancelScope()  # feeding and routing: what `stop` may simply break off
        self._finished_one = trio.Event()
        self._rests: OrderedDict[str, tuple[float, Disposition]] = OrderedDict()

    async def run(self, source: Source) -> None:
        """Deliver everything that `source` yields, until it yields None. Raises StoreError."""
        async with trio.open_nursery() as destinations:
            with self._before_mail:
                send, receive = trio.open_memory_channel[Parcel](0)
                async with trio.open_nursery() as routers, send:
                    for _ in range(ROUTERS):
                        routers.start_soon(self._router, receive, destinations)
                    while (parcel := await source()) is not None:
                        await self._room.acquire()
                        self.open_parcels += 1
                        await send.send(parcel)

    def stop(self) -> None:
        """No new MAIL; open transactions go on to their verdict (P1)."""
        self.stopping = True
        self._before_mail.cancel()
        for destination in tuple(self.destinations.values()):
            destination.stop()

    def next_finished(self) -> trio.Event:
        """Set when the next parcel has been finished."""
        return self._finished_one

    async def _router(self, parcels: trio.MemoryReceiveChannel[Parcel], destinations: trio.Nursery) -> None:
        async for parcel in parcels:
            route = await self.plant.routes.route(parcel.domain)
            if isinstance(route, NoRoute):
                await settle_untried(parcel, no_route(route), NOWHERE, self.plant)
                self._finished()
                continue
            if (held_by := self._resting(route.site)) is not None:
                await settle_untried(parcel, held_by, NOWHERE, self.plant)
                self._finished()
                continue
            destination = self.destinations.get(route.site)
            if destination is None:
                destination = Destination(route.site, self.plant, session=session, on_empty=self._forget)
                self.destinations[route.site] = destination
                destinations.start_soon(destination.run)
            destination.add(parcel, self._finished)

    def _finished(self) -> None:
        self.open_parcels -= 1
        self._room.release()
        self._finished_one.set()
        self._finished_one = trio.Event()

    def _resting(self, site: str) -> Disposition | None:
        """Why the site is to be left alone for now, or None. Afterwards the next parcel probes it afresh."""
        destination = self.destinations.get(site)
        if destination is not None and destination.held_by is not None:
            return destination.held_by
        until, held_by = self._rests.get(site, (0.0, None))
        return held_by if trio.current_time() < until else None

    def _forget(self, destination: Destination) -> None:
        if destination.held_by is not None:
            self._rests[destination.site] = (destination.held_until, destination.held_by)
            self._rests.move_to_end(destination.site)
            if len(self._rests) > SITES:
                self._rests.popitem(last=False)
        if self.destinations.get(destination.site) is destination:
            del self.destinations[destination.site]
