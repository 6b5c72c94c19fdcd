"""Who waits for an answer from outside, and for longer than a moment.

Waiting costs nothing but what it blocks. Whoever has waited for a moment is told of once, so that somebody
else can have what he keeps. One task looks after all of them; to begin and to end a wait is a dict's work.

Where this process is busy, everybody waits, and for us: as late as that task wakes, as late is each step of
the others. So a moment is the longer the later it is; and where all is silent it is not late at all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

Guest = TypeVar("Guest")

STEPS = 8  # in which a connection comes about, each of them as late as we are
FADES = 0.5  # from look to look


class Watch(Generic[Guest]):
    """`overdue` is called with each guest who has waited for `moment_s`, again later where it says False."""

    def __init__(self, moment_s: float, overdue: Callable[[Guest], bool]) -> None:
        self._moment_s = moment_s
        self._late_s = 0.0  # as late as we were, a while ago
        self._overdue = overdue
        self._since: OrderedDict[Guest, float] = OrderedDict()  # who waits, the longest first
        self._idle = trio.lowlevel.ParkingLot()

    def begin(self, guest: Guest) -> None:
        """He waits from now on, whatever was before."""
        self._since[guest] = trio.current_time()
        self._since.move_to_end(guest)
        if self._idle:
            self._idle.unpark_all()

    def end(self, guest: Guest) -> None:
        """He does not wait, or nobody need know."""
        self._since.pop(guest, None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not self._since:
                await self._idle.park()
                continue
            now = trio.current_time()
            due = next(iter(self._since.values())) + self._moment
            wake = min(max(now, due), now + self._moment_s)
            await trio.sleep_until(wake)
            now = trio.current_time()
            self._late_s = max(now - wake, self._late_s * FADES)
            while self._since:
                guest, since = next(iter(self._since.items()))
                # reckoned as `due` is: what is neither before nor after that is looked at for ever
                if since + self._moment > now:
                    break
                if not self._overdue(guest):  # there is no room: all who follow would hear the same
                    await trio.sleep(self._moment_s)
                    break
                self._since.pop(guest, None)

    @property
    def _moment(self) -> float:
        return self._moment_s + STEPS * self._late_s
