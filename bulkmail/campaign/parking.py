"""Parcels of sites that have too much out already, until there is room for them again (P3).

Only so many parcels are out at once. A slow site with tens of thousands of domains would soon have them all,
and nobody else would be delivered to; so what is routed to a crowded site comes back and waits here. Nobody
in it was touched, so of an interval of the plan only its number is kept, to be read again: eight octets a
domain. Retries are kept as they are, and fewer of them. What finds no place here goes on to its site: that is
slower for others, and no more.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bulkmail.delivery.work import Parcel

INTERVALS = 1_000_000  # that wait here at most, of all sites
RETRIES = 10_000


@dataclass(slots=True)
class _Site:
    intervals: array[int] = field(default_factory=lambda: array("q"))
    retries: deque[Parcel] = field(default_factory=deque)


class Parking:
    """By site; those of one come out in turn with those of others."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}  # which have somebody here, the next first
        self._intervals = 0
        self._retries = 0

    def __len__(self) -> int:
        return self._intervals + self._retries

    def park(self, parcel: Parcel, site: str) -> bool:
        """Keep it, untouched as it is; False where there is no place."""
        if parcel.attempts:
            if self._retries >= RETRIES:
                return False
            self._retries += 1
            self._sites.setdefault(site, _Site()).retries.append(parcel)
            return True
        if parcel.interval is None or self._intervals >= INTERVALS:
            return False
        self._intervals += 1
        self._sites.setdefault(site, _Site()).intervals.append(parcel.interval)
        return True

    def take(self, room: Callable[[str], int], most: int) -> tuple[list[int], list[Parcel]]:
        """Intervals and retries of the next site that has `room`; none where none has."""
        for name in tuple(self._sites):
            count = min(most, room(name))
            if count <= 0:
                continue
            site = self._sites.pop(name)
            retries = [site.retries.popleft() for _ in range(min(len(site.retries), max(1, count // 2)))]
            intervals = list(site.intervals[: count - len(retries)])
            del site.intervals[: len(intervals)]
            self._intervals -= len(intervals)
            self._retries -= len(retries)
            if site.intervals or site.retries:
                self._sites[name] = site
            return intervals, retries
        return [], []
