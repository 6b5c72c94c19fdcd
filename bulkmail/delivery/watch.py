"""Who waits for an answer from outside, and for longer than a moment.

Waiting costs nothing but what it blocks. Whoever has waited for a moment is told of once, so that somebody
else can have what he keeps. One task looks after all of them; to begin and to end a wait is a dict's work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

Guest = TypeVar("Guest")


class Watch(Generic[Guest]):
    """`overdue` is called with each guest who has waited for `moment_s`, again later where it says False."""

    def __init__(self, moment_s: float, overdue: Callable[[Guest], bool]) -> None:
        self._moment_s = moment_s
        self._overdue = overdue
        self._since: dict[Guest, float] = {}  # who waits, the longest first
        self._idle = trio.lowlevel.ParkingLot()

    def begin(self, guest: Guest) -> None:
        """He waits from now on, whatever was before."""
        self._since.pop(guest, None)
        self._since[guest] = trio.current_time()
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
            await trio.sleep_until(next(iter(self._since.values())) + self._moment_s)
            now = trio.current_time()
            for guest, since in tuple(self._since.items()):
                if since + self._moment_s > now:
                    break
                if not self._overdue(guest):  # there is no room: all who follow would hear the same
                    await trio.sleep(self._moment_s)
                    break
                self._since.pop(guest, None)
