"""Reading what is unfinished: none of these cost anything for what is settled.

Plain functions of a connection, called by `Store` under its lock. The tests hold them to their query plans.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import apsw

from bulkmail.journal.files import rows
from bulkmail.journal.ranges import merged, touching
from bulkmail.journal.records import STATES, Due, Interval
from bulkmail.journal.roll import Block, Blocks, Roll

# Paging by (rank, first), both rising: seeds first, then the biggest, equals in the order of the plan.
OPEN_INTERVALS = """
SELECT first, last, domain, shared, seeds FROM interval
WHERE open = 1 AND (rank, first) > (?, ?) ORDER BY rank, first LIMIT ?"""

# Those of one domain, in the order of the plan.
OPEN_IN_DOMAIN = """
SELECT first, last, domain, shared, seeds FROM interval
WHERE domain = ? AND first > ? AND open = 1 AND (rank, first) > (?, ?) ORDER BY first LIMIT ?"""

OPEN_INTERVAL = "SELECT first, last, domain, shared, seeds FROM interval WHERE first = ? AND open = 1"

PENDING = f"SELECT first, last FROM pending WHERE {touching('pending')} ORDER BY first"

TAKEN = f"""
SELECT first, last FROM deferral WHERE {touching("deferral")} AND taken = 1 AND attempts = ? ORDER BY first"""

DUE = """
SELECT first, last, attempts FROM deferral WHERE taken = 0 AND due <= ? ORDER BY due, first LIMIT ?"""

NEXT_DUE = "SELECT due FROM deferral WHERE taken = 0 ORDER BY due LIMIT 1"

LATE = "WHERE taken = 0 AND due > ?"

INTERVALS_OF = f"""
SELECT first, last, domain, shared FROM interval WHERE {touching("interval")} ORDER BY first"""

TRIED = f"SELECT first, last, attempts, since FROM deferral WHERE {touching('deferral')} AND attempts > 0"


def totals(db: apsw.Connection) -> dict[str, int]:
    """`source` and every state; all 0 before the plan is complete."""
    found = {"source": 0, **dict.fromkeys(STATES, 0)}
    found.update(row for row in db.execute("SELECT name, value FROM total") if row[0] in found)
    return found


PASSED_OVER = 2_000  # intervals at most, for one page


class Which(NamedTuple):
    """Of the open intervals: only `these`; or those of one `domain` that follow the interval `behind`; or all
    but those of the domains `without`. Of these there may be one at the end of a page, without ranges: it
    only says how far was looked."""

    these: Sequence[int] = ()
    domain: str = ""
    behind: int = 0
    without: Collection[str] = ()


ALL = Which()


def open_intervals(
    db: apsw.Connection, after: int | None, limit: int, which: Which = ALL
) -> list[tuple[Interval, list[tuple[int, int]]]]:
    """At most `limit` intervals and their pending ranges, beyond `after`, in the order of delivery."""
    position: tuple[int, int] = (-(1 << 62), 0)
    if after is not None:
        for (rank,) in db.execute("SELECT rank FROM interval WHERE first = ?", (after,)):
            position = (rank, after)
    if which.these:
        found = [row for number in which.these for row in rows(db, OPEN_INTERVAL, (number,))]
    elif which.domain:
        found = rows(db, OPEN_IN_DOMAIN, (which.domain, which.behind, *position, limit))
    elif which.without:
        found = _without(db, position, limit, set(which.without))
    else:
        found = rows(db, OPEN_INTERVALS, (*position, limit))
    return [
        (
            Interval(first, domain, first, last, bool(shared), bool(seeds)),
            []
            if domain in which.without
            else [(max(first, a), min(last, b)) for a, b in db.execute(PENDING, (first, last, first))],
        )
        for first, last, domain, shared, seeds in found
    ]


def _without(
    db: apsw.Connection, position: tuple[int, int], limit: int, domains: Collection[str]
) -> list[tuple[int, int, str, int, int]]:
    """A page without these domains. Of many that are passed over the last is in it: others wait to read."""
    found, row = [], None
    for row in db.execute(OPEN_INTERVALS, (*position, PASSED_OVER)):
        if row[2] not in domains:
            found.append(row)
            if len(found) == limit:
                return found
    if row is not None and row[2] in domains:
        found.append(row)
    return found


def fetch(db: apsw.Connection, ids: Sequence[tuple[int, int]], blocks: Blocks) -> Roll:
    """The recipients of `ids`, which are disjoint, with what was tried before where they are deferred."""
    tried: dict[int, tuple[int, float]] = {}
    parts: list[tuple[Block, int, int]] = []
    spans: list[tuple[int, int]] = []
    for first, last in merged(ids):
        for begin, end, *before in db.execute(TRIED, (first, last, first)):
            tried.update(dict.fromkeys(range(max(first, begin), min(last, end) + 1), (before[0], before[1])))
        for part in blocks.within(db, first, last):
            parts.append(part)
            spans.append((part[0].first + part[1], part[0].first + part[2] - 1))
    spans = [*merged(spans)]
    numbers: Sequence[int] = (
        range(spans[0][0], spans[0][1] + 1)
        if len(spans) == 1
        else [number for first, last in spans for number in range(first, last + 1)]
    )
    return Roll.of(numbers, parts, tried, blocks.shapes(db))


def take_due(db: apsw.Connection, now: float, limit: int) -> list[Due]:
    """At most `limit` ranges whose time has come, the longest due first, marked as taken."""
    taken = rows(db, DUE, (now, limit))
    db.executemany("UPDATE deferral SET taken = 1 WHERE first = ?", [(first,) for first, *_ in taken])
    # One Due speaks of one interval, for only within it may the bytes be the same.
    grouped: dict[tuple[int, int], list[tuple[int, int]]] = {}
    intervals: dict[int, tuple[str, bool]] = {}
    for first, last, attempts in taken:
        for begin, end, domain, shared in db.execute(INTERVALS_OF, (first, last, first)):
            intervals[begin] = (domain, bool(shared))
            grouped.setdefault((begin, attempts), []).append((max(first, begin), min(last, end)))
    return [
        Due(intervals[interval][0], merged(ids), intervals[interval][1], attempts)
        for (interval, attempts), ids in grouped.items()
    ]


def in_hand(
    db: apsw.Connection, ids: Sequence[tuple[int, int]], attempts: int
) -> tuple[tuple[int, int], ...]:
    """See Store.in_hand."""
    asked = [(TAKEN, (attempts,)), *([] if attempts else [(PENDING, ())])]
    return merged(
        (max(first, begin), min(last, end))
        for query, more in asked
        for first, last in ids
        for begin, end in db.execute(query, (first, last, first, *more))
    )


def next_due(db: apsw.Connection) -> float | None:
    for (due,) in db.execute(NEXT_DUE):
        return float(due)
    return None


def bring_forward(db: apsw.Connection, later_than: float, to: float) -> int:
    """Make those due later than `later_than`, and not taken, due at `to`; how many recipients that were."""
    [(count,)] = rows(db, f"SELECT coalesce(sum(last - first + 1), 0) FROM deferral {LATE}", (later_than,))
    if count:
        db.execute(f"UPDATE deferral SET due = ? {LATE}", (to, later_than))
    return int(count)
