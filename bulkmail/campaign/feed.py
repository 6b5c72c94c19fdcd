"""Where a run's parcels come from: the plan's unfinished intervals, and deferrals as they fall due.

They take turns, a page of the one and a page of the other: neither do the retries of many dead domains hold
up those who were never tried, nor does a long plan hold up the retries.
Nothing is held in memory but one page, and of small domains who is in them: to read those of a whole page
costs no more than to read those of one. No task sleeps for a recipient: this one feed sleeps until the
earliest deferral of the campaign is due.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio

from bulkmail.campaign.parking import Parking
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.work import Parcel, Roll, Span
from bulkmail.journal import Interval, Journal, Store, Which

PAGE = 200  # intervals, or deferred ranges, read at a time
FEW = 4  # recipients of a domain that are read with the page
CHARACTERS = 1_000  # of their rows; thousands of parcels are open at once
LOOK_AGAIN_S = 60.0  # the longest sleep: a stepped clock is noticed by then (FAULTS.md J5)


FetchFew = Callable[[Sequence[Sequence[Span]], int], Awaitable[Sequence[Roll | None]]]


class Feed:
    """An iterator of parcels for `dispatcher`, which must be running. `now` is UTC epoch seconds.

    `first_pass`: end when everybody has been tried once. `limit`: end after so many recipients were handed
    out, those who are tried again not counted. `fetch_few` reads those who are handed out with their parcel;
    None: nobody is. `parking`: keep back what is for sites that have too much out already; off where there is
    but one. `longest_wait_s`: nobody is to wait longer, whatever becomes of the clock (J5).
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
        if parking:
            dispatcher.park = self._parking.park
        # whose page is next, if there is one
        self._turn = deque((self._read_plan, self._read_due, self._read_parked, self._read_aside))

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
        which = Which(without=() if self._seeds_only else self._parking.pass_over(self._after))
        page = await self._journal.read(Store.open_intervals, self._after, PAGE, which=which)
        self._planned = bool(page)
        parcels = []
        for interval, spans in page:
            if self._seeds_only and not interval.seeds:  # they are the first
                self._planned = False
                break
            self._after = (interval.size, interval.id)
            parcels += self._parcel(interval, spans)
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
        await self._hand_out(
            [
                Parcel(one.domain, one.ids, shared=one.shared and self._shareable, attempts=one.attempts)
                for one in due
            ]
        )
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

    async def _read_aside(self) -> bool:
        """Whether there was a page of a domain that was passed over, and for whose site there is room."""
        one = self._parking.next_aside(self._room) if self._left > 0 else None
        if one is None:
            return False
        which = Which(domain=one.domain, behind=one.behind)
        page = await self._journal.read(Store.open_intervals, one.after, PAGE, which=which)
        if not page:
            del self._parking.aside[one.domain]
            return True
        one.behind = page[-1][0].id
        await self._hand_out([parcel for read in page for parcel in self._parcel(*read)])
        return True

    def _room(self, site: str) -> int:
        """How many parked parcels of a site are worth looking at: not one by one, as places fall free."""
        room = self._dispatcher.room(site)
        return room if room >= PAGE else 0

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
        if idle and (self._parking or (self._parking.aside and self._left > 0)):
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
        return True
