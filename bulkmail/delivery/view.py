"""What can be seen of a dispatcher from outside: a row for each provider, made when somebody looks.

Nothing here is kept up while nobody does, but what a site counts of what it said (`Seen`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.delivery.feedback import Finder
from bulkmail.delivery.paced import REMEMBERING
from bulkmail.delivery.room import Room

if TYPE_CHECKING:
    from bulkmail.delivery.destination import Destination
    from bulkmail.delivery.dispatch import Dispatcher
    from bulkmail.delivery.site import Site

_Number = TypeVar("_Number", int, float)

ROWS = 500  # that are told of: who has most to do


@dataclass(slots=True)
class Seen:
    """What a site has said in this run: recipients answered for, those put off, and its latest refusal."""

    answered: int = 0
    deferred: int = 0
    last: str = ""
    last_at: float = 0.0

    def refused(self, why: Disposition, recipients: int, now: float) -> None:
        """So many were not delivered to, as it said."""
        if why.fate is Fate.DEFERRED:
            self.deferred += recipients
        if why.fate in (Fate.DEFERRED, Fate.BOUNCED):
            self.last = why.meaning.value if why.meaning is not None else why.status or why.fate.value
            self.last_at = now


FOUND, SOUGHT, REMEMBERED = "found", "being looked for", "remembered"


class Pace(NamedTuple):
    """What a provider takes, as this run knows it, and is held to: of all that asked for less.

    `rate`: messages a second that it is sent at most now; `takes`: what was counted that it takes; `how` is
    one of the words above, `since` when, RFC 3339. None: nothing of that kind was met.
    """

    rate: float | None
    takes: float | None
    connections: int | None
    how: str
    since: str
    why: str

    def together(self, other: Pace) -> Pace:
        """Of two processes, each of which has found its part."""
        how = min(self.how, other.how, key=(SOUGHT, FOUND, REMEMBERED).index)
        return Pace(
            _sum(self.rate, other.rate),
            _sum(self.takes, other.takes),
            _sum(self.connections, other.connections),
            how,
            min(self.since, other.since),
            self.why,
        )


def _sum(one: _Number | None, other: _Number | None) -> _Number | None:
    return one if other is None else other if one is None else one + other


class Row(NamedTuple):
    """A provider. `answered` and `deferred` are recipients since the run began, `last_s` is an age."""

    provider: str
    sites: int
    connections: int
    answered: int
    waiting: int
    deferred: int
    last: str
    last_s: float | None
    held: str  # what holds it back, for people; "" for nothing but its own pace
    pace: Pace | None = None  # None: it has never complained


def rows(dispatcher: Dispatcher, now: float) -> list[Row]:
    """Of all sites of which anything is to be told, the one with most to do first."""
    by_site: dict[str, list[Destination]] = {}
    for destination in dispatcher.destinations.values():
        by_site.setdefault(destination.site.name, []).append(destination)
    found = [
        _row(dispatcher, site, by_site.get(site.name, ()), now)
        for site in dispatcher.plant.sites.all()
        if site.name in by_site or site.seen.answered or site.seen.last or site.standing
    ]
    return merged(found)


def merged(found: Iterable[Row], *, processes: bool = False) -> list[Row]:
    """One row for each provider. What holds back whoever has most waiting is told.

    `processes`: the rows are of several, and what each has found is its part; else it is that of all sites.
    """
    by_provider: dict[str, Row] = {}
    for row in sorted(found, key=lambda row: (not row.held, -row.waiting)):
        one = by_provider.get(row.provider)
        if one is None:
            by_provider[row.provider] = row
            continue
        newer = min(one, row, key=lambda each: float("inf") if each.last_s is None else each.last_s)
        by_provider[row.provider] = Row(
            one.provider,
            one.sites + row.sites,
            one.connections + row.connections,
            one.answered + row.answered,
            one.waiting + row.waiting,
            one.deferred + row.deferred,
            newer.last,
            newer.last_s,
            one.held,
            one.pace.together(row.pace) if processes and one.pace and row.pace else one.pace or row.pace,
        )
    ordered = sorted(by_provider.values(), key=lambda row: (-row.waiting, -row.connections, -row.answered))
    return ordered[:ROWS]


def _row(dispatcher: Dispatcher, site: Site, there: Iterable[Destination], now: float) -> Row:
    there = tuple(there)
    seen = site.seen
    waiting = sum(destination.queue.waiting for destination in there)
    return Row(
        dispatcher.plant.provider_of(site.name),
        1,
        site.standing,
        seen.answered,
        waiting,
        seen.deferred,
        seen.last,
        now - seen.last_at if seen.last else None,
        _held(dispatcher, site, there, now),
        pace_of(site.finder, site.room, now, dispatcher.plant.now()),
    )


def _held(dispatcher: Dispatcher, site: Site, there: tuple[Destination, ...], now: float) -> str:
    """The first of what may hold it back, from the widest."""
    if dispatcher.paused and there:
        return "paused"
    if (left_s := site.held_for(now)) > 0 and (why := site.held(now)) is not None:
        return f"left alone for {left_s:.0f} s: {why.text}"
    if not there:
        return ""
    if any(destination.queue.waiting and destination.ahead(now) > 0 for destination in there):
        finder, limit = site.finder, site.bounds.message_rate
        if finder is not None and (limit is None or finder.rate < limit):
            return paced(finder, now, dispatcher.plant.now())
        return dispatcher.plant.binding(site.name, "message_rate")
    if any(destination.seats.waited_for for destination in there):
        return _connections(dispatcher, site, now)
    if not site.standing:
        slots = dispatcher.plant.slots
        full = slots.taken >= slots.total
        return "this machine: no session is free" if full else "no connection stands yet"
    if not any(destination.is_proven for destination in there):
        return "its first answer is awaited"
    if sum(destination.queue.waiting for destination in there) and site.standing >= site.connections_limit(
        now
    ):
        return _connections(dispatcher, site, now)
    return ""


def _connections(dispatcher: Dispatcher, site: Site, now: float) -> str:
    room = site.room
    if room is not None and room.size <= site.connections_limit(now):
        at = _clock(room.since, now, dispatcher.plant.now())
        return f"connections held to {room.size} since {at}: {room.why}"
    return dispatcher.plant.binding(site.name, "connections")


def pace_of(finder: Finder | None, room: Room | None, now: float, utc: float) -> Pace | None:
    """What a provider was found to take; `utc` is now in epoch seconds."""
    if finder is None and room is None:
        return None
    if finder is None:
        assert room is not None
        how = REMEMBERED if room.why == REMEMBERING else FOUND
        return Pace(None, None, room.size, how, _utc(room.since, now, utc), room.why)
    how = SOUGHT if finder.found is None else FOUND if finder.throttlings else REMEMBERED
    size = None if room is None else room.size
    return Pace(_told(finder.rate), _told(finder.found), size, how, _utc(finder.since, now, utc), finder.why)


def _told(rate: float | None) -> float | None:
    return None if rate is None else float(f"{rate:.3g}")


def _utc(at: float, now: float, utc: float) -> str:
    return datetime.fromtimestamp(utc - (now - at), UTC).isoformat(timespec="seconds")


def paced(finder: Finder, now: float, utc: float) -> str:
    """What a provider's own word does to it, in words; `utc` is now in epoch seconds."""
    if finder.resumes > now:
        return f"asked again in {finder.resumes - now:.0f} s: {finder.why}"
    return f"paced to {finder.rate:.3g}/s since {_clock(finder.since, now, utc)}: {finder.why}"


def _clock(at: float, now: float, utc: float) -> str:
    """When that was, which is told in monotonic time; `utc` is now."""
    return datetime.fromtimestamp(utc - (now - at), UTC).strftime("%H:%M UTC")
