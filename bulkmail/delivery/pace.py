"""Rates that several scopes have at once: of a domain, of its site and of the site's provider.

What goes must be within all of them at the moment when it goes. To book each for itself and wait for the last
would break them: turns that were booked at a site while its provider had none to give would all be used at
once when it has. So nothing is booked before it can be used. Of those who wait at a narrow scope one is at
its door; when the scope has a turn for him he goes on to the next wider door, and only the widest scope
books ahead, for whoever is there is ready to go in all others. When his time has come there, all of them
count him, at the time at which he goes. Doors are first come, first served; nothing is counted in one scope
and lost in another; and a scope that waits for a wider one holds up nobody outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from bulkmail.delivery.shaping import Bucket


class Pace:
    """The rates of one scope: of messages and of their recipients, or of connections. None: no such rate."""

    __slots__ = ("_door", "each", "people")

    def __init__(self, rate: float | None, people_rate: float | None, now: float) -> None:
        self.each = Bucket(rate, now)
        self.people = Bucket(people_rate, now) if people_rate is not None else None
        self._door: trio.StrictFIFOLock | None = None

    def limit(self, rate: float | None, people_rate: float | None) -> None:
        """From now on it is these."""
        self.each.limit(rate)
        if people_rate is None or self.people is None:
            self.people = Bucket(people_rate, 0.0) if people_rate is not None else None
        else:
            self.people.limit(people_rate)

    @property
    def door(self) -> trio.StrictFIFOLock:
        if self._door is None:
            self._door = trio.StrictFIFOLock()
        return self._door

    @property
    def is_waited_for(self) -> bool:
        return self._door is not None and self._door.locked()

    def ahead(self, now: float) -> float:
        """Seconds that whoever comes now will wait here, at least."""
        waiting = self._door.statistics().tasks_waiting if self._door is not None else 0
        seconds = self.each.ahead(now) + waiting * self.each.interval_s
        if self.people is not None:
            seconds = max(seconds, self.people.ahead(now) + waiting * self.people.interval_s)
        return seconds

    def ready(self, now: float) -> float:
        at = self.each.ready(now)
        return at if self.people is None else max(at, self.people.ready(now))

    def book(self, now: float, people: int) -> float:
        """The time from which one message to so many may go."""
        at = self.ready(now)
        self._start(at, people)
        return at

    def _start(self, at: float, people: int) -> None:
        self.each.start(at, 1)
        if self.people is not None:
            self.people.start(at, people)

    def give_back(self, people: int) -> None:
        """A message to so many, whose turn is void."""
        if self.people is not None:
            self.people.adjust(people)

    def fitting(self, now: float, sizes: Sequence[int]) -> int:
        """How many messages of such sizes may go at `now`, behind one that has just gone."""
        count = self.each.fitting(now, [1] * len(sizes))
        return count if self.people is None else min(count, self.people.fitting(now, sizes))

    def take(self, now: float, sizes: Sequence[int]) -> None:
        if sizes:
            self.each.take(now, len(sizes))
            if self.people is not None:
                self.people.take(now, sum(sizes))

    def went(self, now: float, people: int) -> None:
        """One goes at `now`, who was let through this door."""
        self._start(self.ready(now), people)


Paces = tuple[Pace, ...]  # from the narrowest scope to the widest; at least one


def ahead(paces: Paces, now: float) -> float:
    """Seconds that whoever comes now will wait, at least."""
    return max(pace.ahead(now) for pace in paces)


async def turn(paces: Paces, people: int = 1) -> None:
    """Wait until one message to so many may go. It is counted everywhere when this returns."""
    *narrow, widest = paces
    behind: list[Pace] = []
    try:
        for pace in narrow:
            await pace.door.acquire()
            behind.append(pace)
            await _ready(pace)
        while (at := widest.book(now := trio.current_time(), people)) > now:
            voided = widest.each.voided
            await trio.sleep_until(at)
            if voided == widest.each.voided:
                break
            widest.give_back(people)
        now = trio.current_time()
        for pace in behind:
            pace.went(now, people)
    finally:
        for pace in reversed(behind):
            pace.door.release()


async def _ready(pace: Pace) -> None:
    at = pace.ready(trio.current_time())
    while at > trio.current_time():
        await trio.sleep_until(at)
        at = pace.ready(trio.current_time())  # its turns may be void meanwhile


def more(paces: Paces, now: float, sizes: Sequence[int]) -> int:
    """How many messages, of such sizes behind each other, may go at once behind one that had its turn.

    They are counted everywhere. None where somebody waits for his turn: he was first.
    """
    if any(pace.is_waited_for for pace in paces):
        return 0
    count = min(pace.fitting(now, sizes) for pace in paces)
    for pace in paces:
        pace.take(now, sizes[:count])
    return count


def adjust(paces: Paces, people: int) -> None:
    """So many recipients fewer went than were counted; more, if it is negative."""
    for pace in paces:
        if pace.people is not None:
            pace.people.adjust(people)
