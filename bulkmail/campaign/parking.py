"""Parcels of sites that have too much out already, until there is room for them again (P3).

Only so many parcels are out at once. A slow site with tens of thousands of domains would soon have them all,
and nobody else would be delivered to; so what is routed to a crowded site comes back and waits here. Nobody
in it was touched, so of an interval of the plan only its number is kept, to be read again: eight octets a
domain. Retries are kept as they are, and fewer of them. What finds no place here goes on to its site: that is
slower for others, and no more.

A large domain may have a hundred thousand intervals, one for each group of its people who share a message. To
read and route them all, only to have them wait here, would take longer than all others need: after a few of
them the domain as a whole is passed over in the plan (`aside`), and its rest is read when there is room.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bulkmail.delivery.work import Parcel

INTERVALS = 1_000_000  # that wait here at most, of all sites
RETRIES = 10_000
ENOUGH = 50  # intervals of one domain behind each other: there will be more
DOMAINS = 100  # that are passed over


@dataclass(slots=True)
class _Site:
    intervals: array[int] = field(default_factory=lambda: array("q"))
    retries: deque[Parcel] = field(default_factory=deque)


@dataclass(slots=True)
class Aside:
    """A domain that is passed over in the plan beyond `after`, and was read up to the interval `behind`."""

    domain: str
    site: str
    after: tuple[int, int] | None = None
    behind: int = 0


class Parking:
    """By site; those of one come out in turn with those of others."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}  # which have somebody here, the next first
        self._intervals = 0
        self._retries = 0
        self._latest = "", 0  # the domain that was parked last, and how many of its intervals in a row
        self._crowded: dict[str, str] = {}  # domains with their sites, from the next page on
        self.aside: dict[str, Aside] = {}

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
        domain, count = self._latest
        self._latest = parcel.domain, count + 1 if domain == parcel.domain else 1
        if count >= ENOUGH and len(self.aside) < DOMAINS:
            self._crowded.setdefault(parcel.domain, site)
        return True

    def pass_over(self, after: tuple[int, int] | None) -> Collection[str]:
        """Which domains the next page of the plan, the one beyond `after`, is to be without."""
        for domain, site in self._crowded.items():
            self.aside.setdefault(domain, Aside(domain, site, after))
        self._crowded.clear()
        return tuple(self.aside)

    def next_aside(self, room: Callable[[str], int]) -> Aside | None:
        """One that was passed over, of a site that has `room`; they take turns."""
        for one in self.aside.values():
            if room(one.site) > 0:
                self.aside[one.domain] = self.aside.pop(one.domain)
                return one
        return None

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
