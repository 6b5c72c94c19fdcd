"""One site: its queue of parcels and the sessions that empty it.

A destination holds spans of ids, never recipients, so a provider with five million of them weighs as much
as a domain with one. Who was tried before is not to bury who was not: each such parcel gives one slice, and
goes to the end of the line. Its sessions are tasks of the dispatcher's nursery: most sites need a single one.
It begins with one: until an envelope was accepted, more would only hammer a site that is down or throttles
us; of a site that has kept a connection through several transactions before, one that stands again is enough.
When the site as a whole refuses us, everything the destination holds is deferred at once, until it is due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from bulkmail.delivery import pace
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.level import AHEAD_S, Level
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.queue import Queue
from bulkmail.delivery.seats import Seats
from bulkmail.delivery.shaping import least
from bulkmail.delivery.site import Site
from bulkmail.delivery.unreached import NOWHERE, settle_untried
from bulkmail.delivery.wait import Wait
from bulkmail.delivery.work import Fated, Parcel, Taken, Where
from bulkmail.dns.routes import NoRoute, Route
from bulkmail.transport.approach import Source

ROUTED_S = 30.0  # for which the way that a parcel was routed serves its first session
TRANSACTIONS_PER_SESSION = 4  # how much backlog is worth another connection


class Destination:
    """The queue and the sessions of one site, or of one domain in it that has limits of its own (`level`).

    `session` is what works here, one task of `sessions` each; `on_empty` is called, synchronously, when the
    last one has ended with nothing left to do.
    """

    def __init__(
        self,
        site: Site,
        plant: Plant,
        *,
        sessions: trio.Nursery,
        session: Callable[[Destination], Awaitable[None]],
        on_empty: Callable[[Destination], None],
        level: Level | None = None,
        paused: bool = False,
    ) -> None:
        self.plant = plant
        self.site = site
        self.level: Level = level or site  # whose limits hold here, and those of all around it
        self._alone = level is None
        self.domain = "" if level is None else level.name.partition(" ")[2]  # the only one, if there is one
        self.retry = plant.retry_at(site.name, self.domain)
        self.seats = Seats(self.level, self._called)
        self._session = session
        self.stopping = paused  # for good, or as long as it is paused
        self.paused = paused
        self.queue = Queue()
        self._finished: dict[int, Callable[[], None]] = {}
        self._on_empty = on_empty
        self._proven = False
        self._nursery = sessions
        self._over = False
        self._last: tuple[Route, float] | None = None  # the latest route, and until when it holds
        self._waits: set[trio.CancelScope] = set()

    def stop(self, *, for_now: bool = False) -> None:
        """No new MAIL (`for_now`: until `go_on`): what converses comes to its verdict (P1)."""
        self.paused = for_now and (self.paused or not self.stopping)
        self.stopping = True
        for scope in self._waits:
            scope.cancel()
        self.seats.leave_queue()
        self._close_if_empty()

    def go_on(self) -> None:
        """After `stop` for now; nothing where it was stopped for good since."""
        if self.paused:
            self.paused = self.stopping = False
            self.staff()
            self._close_if_empty()

    def waiting(self) -> Wait:
        """Around what a session may wait for before MAIL; cancelled by `stop`."""
        return Wait(self._waits, stopping=self.stopping)

    # --- the queue ---------------------------------------------------------------------------------

    def add(self, parcel: Parcel, route: Route, finished: Callable[[], None]) -> None:
        """Queue a parcel, which was just routed so. `finished` is called once everybody in it has a fate."""
        self._last = route, trio.current_time() + ROUTED_S
        self.queue.add(parcel)
        self._finished[id(parcel)] = finished
        self.staff()

    def take(self, source: Source | None = None, *, again: bool = False) -> list[Taken]:
        """The next recipients for a session, of as many parcels as it takes; nobody if there are none.

        Those who leave from `source`; nobody where that is left out. `again`: the session has had some, and
        may have to give way to one of another source.
        """
        if not self.queue.of(source) or self.stopping or self.held_by is not None:
            return []
        now = trio.current_time()
        if source is not None:
            full = self.seats.waited_for or self.seats.taken >= self.connections_limit(now)
            if self.is_left_out(source) or (again and full and self.queue.starves(source)):
                return []
        slots, connections = self.plant.slots, self.connections_limit(now)
        if self.seats.taken > connections:  # there may be fewer by now
            return []
        each, sharers = self.recipients_limit(now), max(1, 2 * connections)
        crowd = max(1, slots.talking, min(connections, slots.total))
        return self.queue.take(source, each, sharers, crowd)

    def put_back(self, parcel: Parcel, ids: Sequence[int]) -> None:
        """Recipients that a session took and could not try: first in line again."""
        if ids:
            parcel.put_back(ids)
            self.queue.put_back(parcel, len(ids))
            self.staff()

    def settle(self, parcel: Parcel, fates: Sequence[Fated], where: Where, *, attempted: bool = True) -> None:
        """Note verdicts that no transaction brought."""
        self.plant.note(fates, where, attempted=attempted, retry=self.retry)
        if fates:
            self.site.seen.refused(fates[0][1], len(fates), trio.current_time())
        self.settled(parcel, len(fates))

    def settled(self, parcel: Parcel, count: int) -> None:
        """`count` recipients of the parcel have a fate, and it is noted: who asks the journal is told."""
        parcel.out -= count
        if parcel.finished and (finished := self._finished.pop(id(parcel), None)) is not None:
            finished()

    # --- its limits: the site's, and what is narrower ----------------------------------------------

    @property
    def name(self) -> str:
        """Of the site, or of the site and the domain."""
        return self.level.name

    def connections_limit(self, now: float) -> int:
        most = self.site.connections_limit(now)
        for level in self.level.seating:
            most = least(most, level.most(now))
        return most

    def recipients_limit(self, now: float) -> int:
        """Recipients in a transaction."""
        most = self.site.recipients_limit(now)
        return most if self._alone else least(most, self.level.bounds.recipients_per_transaction)

    def messages_limit(self, now: float) -> int:
        """Transactions on a connection."""
        most = self.site.messages_limit(now)
        return most if self._alone else least(most, self.level.bounds.messages_per_connection)

    def window(self, now: float) -> int:
        """Messages in flight on a connection."""
        most = self.site.window(now)
        return most if self._alone else least(most, self.level.bounds.messages_in_flight)

    def ahead(self, now: float) -> float:
        """Seconds for which the message rate is booked."""
        paces = self.level.paces
        return self.site.messages.ahead(now) if paces is None else pace.ahead(paces, now)

    # --- the sources -------------------------------------------------------------------------------

    def is_left_out(self, source: Source) -> bool:
        """Nothing leaves from it for this site now."""
        sources = self.plant.sources
        return sources is not None and sources.held(source, self.site.name, trio.current_time()) is not None

    def is_closed_to(self, source: Source | None) -> bool:
        """Nothing more goes there now, at all or from `source`."""
        return self.held_by is not None or (source is not None and self.is_left_out(source))

    # --- the sessions ------------------------------------------------------------------------------

    def _backlog(self) -> int:
        """Transactions that wait, counted no further than needed to decide on one more session."""
        now = trio.current_time()
        enough = self.connections_limit(now) * TRANSACTIONS_PER_SESSION
        most = self.recipients_limit(now)
        return self.queue.backlog(most, enough)

    def staff(self) -> None:
        """Open the sessions that the backlog is worth, as far as there are seats."""
        if not self.queue.waiting or self.stopping or self.held_by is not None or self.seats.waited_for:
            return
        now = trio.current_time()
        wanted = -(-self._backlog() // TRANSACTIONS_PER_SESSION)
        finder = self.site.finder
        probing = not self._proven or self.site.wary or (finder is not None and finder.backing_off)
        if wanted and (probing or self.ahead(now) > AHEAD_S):
            wanted = 1
        # where there is none to be had now, one is waited for
        for _ in range(min(wanted, max(1, self.connections_limit(now))) - self.seats.taken):
            if not self.seats.take(now):
                break
            self._nursery.start_soon(self._session, self)

    def limited(self) -> None:
        """The limits are others now."""
        self.retry = self.plant.retry_at(self.site.name, self.domain)
        self.seats.reseat()
        self.staff()

    def session_ended(self, source: Source | None = None) -> None:
        self.seats.free()
        self.queue.end(source)
        self.staff()
        self._close_if_empty()

    def _close_if_empty(self) -> None:
        waits = self.seats.waited_for or (self.paused and self.queue.waiting)
        if self.seats.taken or waits or self._over:
            return
        if self.queue.waiting and self.held_by is not None and not self.stopping:
            # another destination of the site has found out that it is to be left alone
            self.seats.take_anyhow()
            self._nursery.start_soon(self._defer_all)
            return
        self._over = True
        self._on_empty(self)

    def _called(self) -> None:
        """There may be a seat now: one, for whoever comes next may want the next."""
        idle = not self.queue.waiting or self.stopping or self.held_by is not None
        if not idle and self.seats.take(trio.current_time()):
            self._nursery.start_soon(self._session, self)
            self.staff()
        self._close_if_empty()

    @property
    def is_proven(self) -> bool:
        """`proven` was said since the site was last left alone."""
        return self._proven

    # --- how the site does -------------------------------------------------------------------------

    @property
    def held_by(self) -> Disposition | None:
        """Why the site is left alone now, or None."""
        return self.site.held(trio.current_time()) if self.site.was_held else None

    def proven(self) -> None:
        """An envelope was accepted, or what is as good (see above): more sessions may follow."""
        if not self._proven:
            self._proven = True
            self.staff()

    @property
    def latest(self) -> Route | None:
        """How one of its domains was routed last."""
        return None if self._last is None else self._last[0]

    async def route(self, domain: str) -> Route | NoRoute:
        """The way to `domain`, which is one of ours. Raises LocalResourceError."""
        last = self._last
        if last is not None and last[0].domain == domain and trio.current_time() < last[1]:
            return last[0]
        return await self.plant.routes.route(domain)

    async def met_trouble(self, disposition: Disposition, where: Where) -> None:
        """A conversation brought nothing: after a few of them, defer all that is queued here, untried."""
        now, disposition = trio.current_time(), self.plant.trouble(self.site.name, disposition)
        if self.stopping or not self.site.met_trouble(disposition, now):
            return
        rest_s = (self.retry or self.plant.retry).rest(disposition.wait_s)
        held_by = self.site.hold(disposition, now + rest_s)
        self.plant.on_hold(self.site.name, held_by, rest_s)
        self._proven = False
        await self._defer(held_by, where)

    async def _defer(self, held_by: Disposition, where: Where) -> None:
        """All that is queued here, untried."""
        await self.settle_waiting(self.queue.drain(), held_by, where)

    async def settle_waiting(self, parcels: Sequence[Parcel], why: Disposition, where: Where) -> None:
        """Everybody in them, who are in no queue any more."""
        counts = await settle_untried(parcels, why, where, self.plant, self.retry)
        self.site.seen.refused(why, sum(counts), trio.current_time())
        for parcel, count in zip(parcels, counts, strict=True):
            self.settled(parcel, count)

    async def _defer_all(self) -> None:
        """What is queued at a site that is left alone, unless that is over."""
        try:
            if (held_by := self.held_by) is not None:
                await self._defer(held_by, NOWHERE)
        finally:
            self.session_ended()
