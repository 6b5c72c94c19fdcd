"""Where a run's parcels come from: the plan's unfinished intervals, and deferrals as they fall due.

They take turns, a page of the one and a page of the other: neither do the retries of many dead domains hold
up those who were never tried, nor does a long plan hold up the retries.
Nothing is held in memory but one page. No task sleeps for a recipient: this one feed sleeps until the
earliest deferral of the campaign is due.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import trio

from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.work import Parcel, Span
from bulkmail.journal import Journal, Store

PAGE = 200  # intervals, or deferred ranges, read at a time
LOOK_AGAIN_S = 60.0  # the longest sleep: a stepped clock is noticed by then (FAULTS.md J5)


class Feed:
    """An iterator of parcels for `dispatcher`, which must be running. `now` is UTC epoch seconds.

    `first_pass`: end when everybody has been tried once. `limit`: end after so many recipients were handed
    out, those who are tried again not counted.
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
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._shareable = shareable
        self._first_pass = first_pass
        self._left = math.inf if limit is None else limit
        self._now = now
        self._ready: deque[Parcel] = deque()
        self._after: tuple[int, int] | None = None
        self._planned = True  # some of the plan may not have been read yet
        self._turn = [self._read_plan, self._read_due]  # whose page is next, if there is one

    async def next(self) -> Parcel | None:
        """The next parcel, once there is one; None when the campaign has nothing more to do. StoreError."""
        while not self._ready:
            first, second = self._turn
            if await first():
                self._turn = [second, first]
            elif not await second() and not await self._wait_due():
                return None
        return self._ready.popleft()

    async def _read_plan(self) -> bool:
        """Whether there was a page."""
        if not self._planned or self._left <= 0:
            return False
        page = await self._journal.read(Store.open_intervals, self._after, PAGE)
        self._planned = bool(page)
        for interval, spans in page:
            self._after = (interval.size, interval.id)
            wanted = self._within_limit(spans)
            if wanted:
                shared = interval.shared and self._shareable
                self._ready.append(Parcel(interval.domain, wanted, shared=shared))
        return self._planned

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
        for one in due:
            shared = one.shared and self._shareable
            self._ready.append(Parcel(one.domain, one.ids, shared=shared, attempts=one.attempts))
        return bool(due)

    async def _wait_due(self) -> bool:
        """Sleep until a deferral may be due; False when none is left and none can come any more."""
        finished = self._dispatcher.next_finished()
        # Looked at before the journal: a parcel that is finished meanwhile may have left deferrals behind.
        idle = not self._dispatcher.open_parcels
        now = self._now()
        due = None if self._first_pass else await self._journal.next_due(now, surely=idle)
        if due is None and idle:
            return False
        wait_s = LOOK_AGAIN_S if due is None else min(LOOK_AGAIN_S, max(0.0, due - now))
        with trio.move_on_after(wait_s):
            await finished.wait()
        return True
