"""Where a run's parcels come from: the plan's unfinished intervals, and deferrals as they fall due.

They take turns, a page of the one and a page of the other: neither do the retries of many dead domains hold
up those who were never tried, nor does a long plan hold up the retries. Domains of many intervals are read
side by side (`lanes`), so that none of them holds up anybody else.
Nothing is held in memory but one page, and one of each lane, and of small domains who is in them: to read
those of a whole page costs no more than to read those of one. No task sleeps for a recipient: this one feed
sleeps until the earliest deferral of the campaign is due.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from bulkmail.campaign.lanes import PAGE as LANE_PAGE
from bulkmail.campaign.lanes import Lane, Lanes
from bulkmail.campaign.parking import Parking
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.work import Parcel, Roll, Span
from bulkmail.journal import Interval, Journal, Store, Which

PAGE = 200  # intervals, or deferred ranges, read at a time
FEW = 4  # recipients of a domain that are read with the page
CHARACTERS = 1_000  # of their rows; thousands of parcels are open at once
ROOM = 50  # places that a crowded site has when its parcels are looked at again
LULL_S = 0.005  # in which places fall free, to be filled together
LOOK_AGAIN_S = 60.0  # the longest sleep: a stepped clock is noticed by then (FAULTS.md J5)


FetchFew = Callable[[Sequence[Sequence[Span]], int], Awaitable[Sequence[Roll | None]]]


class Feed:
    """An iterator of parcels for `dispatcher`, which must be running. `now` is UTC epoch seconds.

    `first_pass`: end when everybody has been tried once. `limit`: end after so many recipients were handed
    out, those who are tried again not counted. `fetch_few` reads those who are handed out with their parcel;
    None: nobody is. `parking`: keep back what is for sites that have too much out already, and large domains
    take turns; off where there is but one site. `longest_wait_s`: nobody is to wait longer, whatever becomes
    of the clock (J5).
    `seeds_only`: hand out the seeds, and nobody else.
    """

    def __init__(
        self,
        journal: Journal,
        dispatcher: Dispatcher,
        *,
        shareable: bool,
        first_pass: bool,
        limit: int | None,
        now: Callable[[], float],
        fetch_few: FetchFew | None = None,
        parking: bool = False,
        longest_wait_s: float = math.inf,
        seeds_only: bool = False,
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._shareable = shareable
        self._first_pass = first_pass
        self._left = math.inf if limit is None else limit
        self._now = now
        self._fetch_few = fetch_few
        self._longest_wait_s = longest_wait_s
        self._seeds_only = seeds_only
        self._ready: deque[Parcel] = deque()
        self._after: tuple[int, int] | None = None
        self._planned = True  # some of the plan may not have been read yet
        self._parking = Parking()
        self._lanes = Lanes(dispatcher) if parking else None
        if parking:
            dispatcher.park = self._park
        # whose page is next, if there is one
        self._turn = deque((self._read_plan, self._read_due, self._read_parked, self._read_lanes))

    async def next(self) -> Parcel | None:
        """The next parcel, once there is one; None when the campaign has nothing more to do. StoreError."""
        while not self._ready:
            # From before all that is read: who finishes meanwhile may make room for those who are parked.
            finished = self._dispatcher.next_finished()
            for _ in range(len(self._turn)):
                read = self._turn[0]
                self._turn.rotate(-1)
                if await read():
                    break
            else:
                if not await self._wait_due(finished):
                    return None
        return self._ready.popleft()

    async def _read_plan(self) -> bool:
        """Whether there was a page."""
        if not self._planned or self._left <= 0:
            return False
        lanes = None if self._seeds_only else self._lanes
        which = Which(without=() if lanes is None else lanes.domains)
        page = await self._journal.read(Store.open_intervals, self._after, PAGE, which=which)
        self._planned = bool(page)
        if lanes is not None and page:
            lanes.open([interval for interval, _ in page])
        parcels: list[Parcel] = []
        for interval, spans in page:
            if self._seeds_only and not interval.seeds:  # they are the first
                self._planned = False
                break
            self._after = (interval.size, interval.id)
            found = self._parcel(interval, spans)
            lane = None if lanes is None or interval.seeds else lanes.of(interval.domain)
            (parcels if lane is None else lane.ready).extend(found)
        await self._hand_out(parcels)
        return self._planned or bool(parcels)

    def _parcel(self, interval: Interval, spans: list[Span]) -> list[Parcel]:
        """One, as far as the limit allows, or none."""
        wanted = self._within_limit(spans)
        number = interval.id if wanted == spans else None
        shared = interval.shared and self._shareable
        return [Parcel(interval.domain, wanted, shared=shared, interval=number)] if wanted else []

    def _within_limit(self, spans: list[Span]) -> list[Span]:
        wanted: list[Span] = []
        for first, last in spans:
            count = int(min(last - first + 1, self._left))
            if count <= 0:
                break
            wanted.append((first, first + count - 1))
            self._left -= count
        return wanted

    async def _read_due(self) -> bool:
        """Whether there was a page."""
        if self._first_pass:
            return False
        due = await self._journal.due(self._now(), PAGE)
        parcels = [
            Parcel(one.domain, one.ids, shared=one.shared and self._shareable, attempts=one.attempts)
            for one in due
        ]
        await self._hand_out([one for one in parcels if not self._parking.park_with_its_like(one)])
        return bool(due)

    async def _read_parked(self) -> bool:
        """Whether there was anybody for whose site there is room."""
        if not self._parking:
            return False
        intervals, retries = self._parking.take(self._room, PAGE)
        if intervals:
            which = Which(these=intervals)
            read = await self._journal.read(Store.open_intervals, None, len(intervals), which=which)
            retries += [
                Parcel(one.domain, spans, shared=one.shared and self._shareable, interval=one.id)
                for one, spans in read
            ]
        await self._hand_out(retries)
        return bool(retries)

    async def _read_lanes(self) -> bool:
        """Whether there was anybody in a large domain for whose site there is room."""
        if self._lanes is None:
            return False
        if self._left <= 0:
            self._lanes.end()
        if empty := self._lanes.empty():
            for lane, page in zip(empty, await self._journal.read(partial(_pages, empty)), strict=True):
                lane.ended = not page
                for interval, spans in page:
                    lane.behind = interval.id
                    lane.ready.extend(self._parcel(interval, spans))
        parcels = self._lanes.round()
        await self._hand_out(parcels)
        return bool(parcels)

    def _park(self, parcel: Parcel, site: str) -> bool:
        if self._lanes is not None and not parcel.attempts:
            self._lanes.parked(parcel.domain, site)
        return self._parking.park(parcel, site)

    def _room(self, site: str) -> int:
        """How many parked parcels of a site are worth looking at: not one by one, as places fall free."""
        room = self._dispatcher.room(site)
        return room if room >= min(ROOM, PAGE) else 0

    async def _hand_out(self, parcels: Sequence[Parcel]) -> None:
        small = [parcel for parcel in parcels if parcel.waiting <= FEW]
        if small and self._fetch_few is not None:
            rolls = await self._fetch_few([parcel.spans for parcel in small], CHARACTERS)
            for parcel, roll in zip(small, rolls, strict=True):
                parcel.known = roll
        self._ready.extend(parcels)

    async def _wait_due(self, finished: trio.Event) -> bool:
        """Sleep until a deferral may be due, or `finished`; False when none is left and none can come."""
        # Looked at before the journal: a parcel that is finished meanwhile may have left deferrals behind.
        idle = not self._dispatcher.open_parcels
        now = self._now()
        due = None if self._first_pass else await self._journal.next_due(now, surely=idle)
        kept = self._parking or self._lanes
        if idle and kept:
            return True  # there was no room when they were looked at, and by now there is
        if due is None and idle:
            return False
        latest = now + self._longest_wait_s
        if due is not None and due > latest:  # the clock was set back while we slept
            await self._journal.call(Store.bring_forward, latest, latest)
            return True
        wait_s = LOOK_AGAIN_S if due is None else min(LOOK_AGAIN_S, max(0.0, due - now))
        with trio.move_on_after(wait_s):
            await finished.wait()
            if kept:
                await trio.sleep(LULL_S)
        return True


def _pages(lanes: Sequence[Lane], store: Store) -> list[list[tuple[Interval, list[Span]]]]:
    """The next of each."""
    return [
        store.open_intervals(lane.after, LANE_PAGE, which=Which(domain=lane.domain, behind=lane.behind))
        for lane in lanes
    ]
