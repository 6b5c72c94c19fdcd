"""Parcels of sites that have too much out already, until there is room for them again (P3).

Only so many parcels are out at once. A slow site with tens of thousands of domains would soon have them all,
and nobody else would be delivered to; so what is routed to a crowded site comes back and waits here. Nobody
in it was touched, so of an interval of the plan only its number is kept, to be read again: eight octets a
domain. Of retries, of which a large site may have a hundred thousand at once, the numbers of the recipients
are kept, and what they have in common is kept once. What finds no place here goes on to its site: that is
slower for others, and no more.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from bulkmail.delivery.work import Parcel

INTERVALS = 1_000_000  # that wait here at most, of all sites
SPANS = 500_000  # of retries: two numbers each, and one more for each parcel
KINDS = 10_000  # of them: a domain, and how often it was tried


class _Kind(NamedTuple):
    domain: str
    shared: bool
    attempts: int


@dataclass(slots=True)
class _Site:
    intervals: array[int] = field(default_factory=lambda: array("q"))
    # of each kind the parcels, one behind the other: how many spans, first and last of each
    retries: dict[_Kind, array[int]] = field(default_factory=dict)


class Parking:
    """By site; those of one come out in turn with those of others, and so do the domains of a site."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}  # which have somebody here, the next first
        self._where: dict[_Kind, str] = {}  # the site of each kind of retries
        self._intervals = 0
        self._spans = 0
        self._parcels = 0  # of retries

    def __len__(self) -> int:
        return self._intervals + self._parcels

    def park(self, parcel: Parcel, site: str) -> bool:
        """Keep it, untouched as it is; False where there is no place."""
        if parcel.attempts:
            return self._park_retry(parcel, site)
        if parcel.interval is None or self._intervals >= INTERVALS:
            return False
        self._intervals += 1
        self._sites.setdefault(site, _Site()).intervals.append(parcel.interval)
        return True

    def park_with_its_like(self, parcel: Parcel) -> bool:
        """Keep a retry if others of its domain wait here, which it would only come to stand behind."""
        site = self._where.get(_kind(parcel)) if self._where else None
        return site is not None and self._park_retry(parcel, site)

    def take(self, room: Callable[[str], int], most: int) -> tuple[list[int], list[Parcel]]:
        """Intervals and retries of the next site that has `room`; none where none has."""
        for name in tuple(self._sites):
            count = min(most, room(name))
            if count <= 0:
                continue
            site = self._sites.pop(name)
            retries = self._take_retries(site, max(1, count // 2))
            intervals = list(site.intervals[: count - len(retries)])
            del site.intervals[: len(intervals)]
            self._intervals -= len(intervals)
            if site.intervals or site.retries:
                self._sites[name] = site
            return intervals, retries
        return [], []

    def _park_retry(self, parcel: Parcel, site: str) -> bool:
        kind, spans = _kind(parcel), parcel.spans
        # where its like waits at another site it is kept there: all are routed anew when they leave
        there = self._where.get(kind, site)
        if self._spans + len(spans) > SPANS or (kind not in self._where and len(self._where) >= KINDS):
            return False
        self._where[kind] = there
        kept = self._sites.setdefault(there, _Site()).retries.setdefault(kind, array("q"))
        kept.append(len(spans))
        for span in spans:
            kept.extend(span)
        self._spans += len(spans)
        self._parcels += 1
        return True

    def _take_retries(self, site: _Site, most: int) -> list[Parcel]:
        taken: list[Parcel] = []
        while site.retries and len(taken) < most:
            kind = next(iter(site.retries))
            kept = site.retries.pop(kind)
            end, share = 0, max(1, most // (len(site.retries) + 1))
            while end < len(kept) and share and len(taken) < most:
                begin, end = end + 1, end + 1 + 2 * kept[end]
                spans = list(zip(kept[begin:end:2], kept[begin + 1 : end : 2], strict=True))
                taken.append(Parcel(kind.domain, spans, shared=kind.shared, attempts=kind.attempts))
                self._spans -= len(spans)
                self._parcels -= 1
                share -= 1
            del kept[:end]
            if kept:
                site.retries[kind] = kept
            else:
                del self._where[kind]
        return taken


def _kind(parcel: Parcel) -> _Kind:
    return _Kind(parcel.domain, parcel.shared, parcel.attempts)
