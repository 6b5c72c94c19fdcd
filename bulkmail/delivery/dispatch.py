"""From parcels to destinations: each domain is routed, and what routes to the same hosts shares a site.

A bounded number of router tasks look domains up side by side; a bounded number of parcels is open at once,
so neither the number of people nor of domains shows in memory. The dispatcher owns the nursery of all
sessions: a run is over when its source is and every session has ended.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.rules import Rules
from bulkmail.delivery.session import session
from bulkmail.delivery.sites import SITES
from bulkmail.delivery.slots import SHORTAGE_PAUSE_S
from bulkmail.delivery.sources import Sources, once
from bulkmail.delivery.unreached import NOWHERE, no_route, settle_untried
from bulkmail.delivery.view import Row, rows
from bulkmail.delivery.watch import Watch
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import NoRoute, Route
from bulkmail.errors import LocalResourceError

ROUTERS = 128  # DNS look-ups side by side, and beside them so many that
PATIENT = 1_000  # have had no answer for
MOMENT_S = 0.25  # of silence: name servers that say nothing are waited for, and hold up nobody (P3)
OPEN_PARCELS = 4_000  # domains whose recipients may be out at once
REOPEN = 9 * OPEN_PARCELS // 10  # so few of them are left before more are opened

Source = Callable[[], Awaitable[Parcel | None]]


class Dispatcher:
    """Carries parcels from a source to the destinations until the source ends or `stop` is called.

    `on_finished` is told of each parcel in which everybody has a fate. `park` may be set by whoever keeps
    parcels of sites that have too many out, and says whether he takes this one; he asks `room` later.
    """

    def __init__(self, plant: Plant, *, on_finished: Callable[[Parcel], None] = lambda parcel: None) -> None:
        self.plant = plant
        self._on_finished = on_finished
        self.destinations: dict[str, Destination] = {}
        self.stopping = False
        self.paused = False
        self.open_parcels = 0
        self.park: Callable[[Parcel, str], bool] = lambda parcel, site: False
        self._out: Counter[str] = Counter()  # parcels, by provider
        self._providers: dict[str, str] = {}  # by site
        self._room = trio.Event()
        self._unrouted: deque[Parcel] = deque()  # what the routers are to take next
        self._exhausted = False  # and nothing more will come
        self._idle = trio.lowlevel.ParkingLot()  # routers with nothing to do
        self._taken = trio.Event()  # of what was unrouted enough for more
        self._before_mail = trio.CancelScope()  # feeding and routing: what `stop` may simply break off
        self._finished_one = trio.Event()
        self._emptied = trio.Event()  # no destination is left

    async def run(self, source: Source) -> None:
        """Deliver everything that `source` yields, until it yields None. Raises StoreError."""
        async with trio.open_nursery() as beside:
            beside.start_soon(self.plant.slots.watch)
            async with trio.open_nursery() as sessions:
                with self._before_mail:
                    async with trio.open_nursery() as routers:
                        routers.start_soon(self._route_all, sessions)
                        await self._feed(source)
                    while self.destinations:  # one that is paused has no session to be waited for
                        await self._emptied.wait()
            beside.cancel_scope.cancel()

    async def _route_all(self, sessions: trio.Nursery) -> None:
        """Routers until everything is routed; one more for each that waits for an answer, up to a bound."""
        patient: set[Parcel] = set()

        def another(waiting: Parcel) -> bool:
            if len(patient) >= PATIENT:
                return False
            patient.add(waiting)
            routers.start_soon(self._router, sessions, watch, patient)
            return True

        watch = Watch(MOMENT_S, another)
        async with trio.open_nursery() as beside:
            beside.start_soon(watch.run)
            async with trio.open_nursery() as routers:
                for _ in range(ROUTERS):
                    routers.start_soon(self._router, sessions, watch, patient)
            beside.cancel_scope.cancel()

    def stop(self) -> None:
        """No new MAIL; open transactions go on to their verdict (P1)."""
        self.stopping = True
        self._before_mail.cancel()
        for destination in tuple(self.destinations.values()):
            destination.stop()

    def pause(self) -> None:
        """As `stop`, until `go_on`: nothing is given back, nobody new is routed."""
        self.paused = True
        for destination in tuple(self.destinations.values()):
            destination.stop(for_now=True)

    def go_on(self) -> None:
        """After `pause`."""
        self.paused = False
        self._idle.unpark_all()
        for destination in tuple(self.destinations.values()):
            destination.go_on()

    def reshape(self, rules: Rules) -> None:
        """Keep to these limits from now on."""
        there, paused = tuple(self.destinations.values()), self.paused
        for destination in there:
            destination.stop(for_now=True)  # nobody waits for a turn that was booked at another rate
        self.plant.reshape(rules)
        self.plant.sites.restart(trio.current_time())
        for destination in there:
            destination.limited()
            if not paused and not self.stopping:
                destination.go_on()

    async def look(self) -> list[Row]:
        """How it does, a row for each provider."""
        return rows(self, trio.current_time())

    @property
    def sites(self) -> int:
        """How many have somebody waiting."""
        return len(self.destinations)

    def next_finished(self) -> trio.Event:
        """Set when the next parcel has been finished."""
        return self._finished_one

    async def _feed(self, source: Source) -> None:
        """Hand out what it yields, many at a time: to wake for each place that falls free would cost more."""
        while (parcel := await source()) is not None:
            if self.open_parcels >= OPEN_PARCELS:
                self._room = trio.Event()
                await self._room.wait()
            if len(self._unrouted) >= ROUTERS:
                self._taken = trio.Event()
                await self._taken.wait()
            self.open_parcels += 1
            self._unrouted.append(parcel)
            self._idle.unpark()
        self._exhausted = True
        self._idle.unpark_all()

    async def _next(self) -> Parcel | None:
        """The next parcel, for a router; None when there are no more."""
        while self.paused or not self._unrouted:
            if self._exhausted and not self._unrouted:
                return None
            await self._idle.park()
        parcel = self._unrouted.popleft()
        if len(self._unrouted) <= ROUTERS // 2:
            self._taken.set()
        return parcel

    async def _router(self, sessions: trio.Nursery, watch: Watch[Parcel], patient: set[Parcel]) -> None:
        replaced = False
        while not replaced and (parcel := await self._next()) is not None:
            watch.begin(parcel)
            route = await self._routed(parcel.domain)
            watch.end(parcel)
            if replaced := parcel in patient:
                patient.remove(parcel)
            if isinstance(route, NoRoute):
                await settle_untried([parcel], no_route(route), NOWHERE, self.plant)
                self._finished(parcel)
            elif self.stopping:  # and nobody would stop what is begun now
                return
            elif self.room(route.site) < 0 and self.park(parcel, route.site):
                self._one_less()
            else:
                parcel.site = route.site
                self._out[self.provider(route.site)] += 1
                await self._place(parcel, route, sessions)

    async def _place(self, parcel: Parcel, route: Route, sessions: trio.Nursery) -> None:
        """Queue it at its site, unless that is left alone now."""
        parts = [parcel]
        finished: Callable[[], None] = partial(self._finished, parcel)
        if self.plant.sources is not None:
            parts, finished = await self._deal(self.plant.sources, parcel, route, finished)
            if not parts or self.stopping:
                return
        now = trio.current_time()
        sites = self.plant.sites
        site = sites.of(route.site, now)
        level = sites.domain(site, parcel.domain, now)
        name = route.site if level is None else level.name
        destination = self.destinations.get(name)
        if destination is not None:
            site = destination.site
            self.plant.sites.keep(site)
        if (held_by := site.held(now)) is not None:
            retry = self.plant.retry_at(site.name, parcel.domain)
            await settle_untried(parts, held_by, NOWHERE, self.plant, retry)
            for _ in parts:
                finished()
            return
        if destination is None:
            destination = Destination(
                site,
                self.plant,
                sessions=sessions,
                session=session,
                on_empty=self._forget,
                level=level,
                paused=self.paused,
            )
            self.destinations[name] = destination
        for part in parts:
            destination.add(part, route, finished)

    async def _deal(
        self, sources: Sources, parcel: Parcel, route: Route, finished: Callable[[], None]
    ) -> tuple[list[Parcel], Callable[[], None]]:
        """Its parts, by the sources that they leave from, and what to call when each of them is finished.

        Who can leave from none is settled.
        """
        dealt = sources.deal(parcel, route, trio.current_time())
        finished = once(len(dealt), finished)
        parts = []
        for source, spans in dealt:
            part = parcel
            if len(dealt) > 1:
                part = Parcel(parcel.domain, spans, shared=parcel.shared, attempts=parcel.attempts)
            if isinstance(source, Disposition):
                await settle_untried([part], source, NOWHERE, self.plant)
                finished()
            else:
                part.source = source
                parts.append(part)
        return parts, finished

    async def _routed(self, domain: str) -> Route | NoRoute:
        while True:
            try:
                return await self.plant.routes.route(domain)
            except LocalResourceError:  # nobody's fault but ours: ask again when there may be more (T6)
                await trio.sleep(SHORTAGE_PAUSE_S)

    def out(self, provider: str) -> int:
        """Parcels that are out to all of its sites."""
        return self._out[provider]

    def room(self, site: str) -> int:
        """How many more of them there should be: no more than are left for all others.

        So one that takes everything has half, two have a third each, and somebody new finds room.
        """
        return OPEN_PARCELS - self.open_parcels - self._out[self.provider(site)]

    def provider(self, site: str) -> str:
        """By whom it is run."""
        provider = self._providers.get(site)
        if provider is None:
            if len(self._providers) >= SITES:
                self._providers.clear()
            provider = self._providers[site] = self.plant.provider_of(site)
        return provider

    def _finished(self, parcel: Parcel) -> None:
        self._on_finished(parcel)
        if parcel.site:
            provider = self.provider(parcel.site)
            self._out[provider] -= 1
            if not self._out[provider]:
                del self._out[provider]
        self._one_less()

    def _one_less(self) -> None:
        """One parcel is out no more."""
        self.open_parcels -= 1
        if self.open_parcels <= REOPEN:
            self._room.set()
        self._finished_one.set()
        self._finished_one = trio.Event()

    def _forget(self, destination: Destination) -> None:
        if self.destinations.get(destination.name) is destination:
            del self.destinations[destination.name]
            if not self.destinations:
                self._emptied.set()
                self._emptied = trio.Event()
