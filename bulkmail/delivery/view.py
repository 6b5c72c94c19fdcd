"""What can be seen of a dispatcher from outside: a row for each provider, made when somebody looks.

Nothing here is kept up while nobody does, but what a site counts of what it said (`Seen`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bulkmail.delivery.disposition import Disposition, Fate

if TYPE_CHECKING:
    from bulkmail.delivery.destination import Destination
    from bulkmail.delivery.dispatch import Dispatcher
    from bulkmail.delivery.site import Site

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


def merged(found: Iterable[Row]) -> list[Row]:
    """One row for each provider. What holds back whoever has most waiting is told."""
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
        if (told := site.told(now)) is not None and told.rate is not None:
            return f"message_rate {told.rate:.3g}/s (site, found): {told.why}"
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
    if site.room is not None and site.room.size <= site.connections_limit(now):
        return f"connections {site.room.size} (site, found): {site.room.why}"
    learned = site.learned(now).connections
    if learned is not None and learned <= site.connections_limit(now):
        return f"connections {learned} (learned)"
    return dispatcher.plant.binding(site.name, "connections")
