"""Ranges of ids on disk: found, cut out, cut along blocks.

`pending`, `deferral`, `doubt` and `intent` hold disjoint ranges keyed by their first id. So the rows that
touch a range are the last one that begins at or before it and those that begin within it: a seek each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal.files import rows

BLOCK = 1024  # no row of `attempt` crosses a multiple of it; see schema.sql


@dataclass(frozen=True, slots=True)
class Piece:
    """Recipients who share an unfinished state and what led to it. `since`: None where nothing was tried."""

    first: int
    last: int
    state: str
    attempts: int = 0
    since: float | None = None


def touching(table: str) -> str:
    """The condition that a row of `table` touches a range; its three bindings are first, last, first."""
    return (
        f"{table}.first >= coalesce((SELECT max(first) FROM {table} WHERE first <= ?), 0) "
        f"AND {table}.first <= ? AND {table}.last >= ?"
    )


PENDING = f"SELECT first, last FROM pending WHERE {touching('pending')} ORDER BY first"
DEFERRAL = (
    f"SELECT first, last, attempts, since, due, reply, taken FROM deferral WHERE {touching('deferral')} "
    "ORDER BY first"
)


def take_open(db: apsw.Connection, first: int, last: int) -> list[Piece]:
    """Cut `first`..`last` out of `pending` and `deferral`; the pieces, in order, cover it without a gap.

    Raises StoreError where one of them is neither: a settled recipient is never reopened.
    """
    pieces = [*_take_pending(db, first, last)]
    if not (len(pieces) == 1 and pieces[0].first == first and pieces[0].last == last):
        pieces += _take_deferred(db, first, last)
        pieces.sort(key=lambda piece: piece.first)
        demand_cover(pieces, first, last)
    return pieces


def find_open(db: apsw.Connection, first: int, last: int) -> list[Piece]:
    """The pending and deferred within `first`..`last`, in order, left where they are."""
    pieces = [
        Piece(max(first, begin), min(last, end), "pending")
        for begin, end in db.execute(PENDING, (first, last, first))
    ]
    pieces += [
        Piece(max(first, begin), min(last, end), "deferred", attempts, since if attempts else None)
        for begin, end, attempts, since, *_ in db.execute(DEFERRAL, (first, last, first))
    ]
    pieces.sort(key=lambda piece: piece.first)
    return pieces


def _take_pending(db: apsw.Connection, first: int, last: int) -> Iterator[Piece]:
    for begin, end in rows(db, PENDING, (first, last, first)):
        if begin < first:
            db.execute("UPDATE pending SET last = ? WHERE first = ?", (first - 1, begin))
        else:
            db.execute("DELETE FROM pending WHERE first = ?", (begin,))
        if end > last:
            db.execute("INSERT INTO pending VALUES (?, ?)", (last + 1, end))
        yield Piece(max(first, begin), min(last, end), "pending")


def _take_deferred(db: apsw.Connection, first: int, last: int) -> Iterator[Piece]:
    for begin, end, attempts, since, *rest in rows(db, DEFERRAL, (first, last, first)):
        due, reply, taken = rest
        if begin < first:
            db.execute("UPDATE deferral SET last = ? WHERE first = ?", (first - 1, begin))
        else:
            db.execute("DELETE FROM deferral WHERE first = ?", (begin,))
        if end > last:
            db.execute(
                "INSERT INTO deferral VALUES (?, ?, ?, ?, ?, ?, ?)",
                (last + 1, end, due, attempts, since, reply, taken),
            )
        yield Piece(max(first, begin), min(last, end), "deferred", attempts, since if attempts else None)


def hand_back(
    db: apsw.Connection, first: int, last: int, at: float, due: float | None, why: int | None
) -> int:
    """Whoever is deferred within the range is due at `due`, or else `at`, and no longer taken.

    With `due`, who is pending is deferred until then, without an attempt; `why` is the reply that says so.
    How many those were. Raises StoreError where somebody is neither.
    """
    demand_cover(find_open(db, first, last), first, last)
    for begin, end, attempts, since, _, reply, _ in rows(db, DEFERRAL, (first, last, first)):
        begin, end = max(first, begin), min(last, end)
        list(_take_deferred(db, begin, end))
        again = (begin, end, at if due is None else due, attempts, since, reply if why is None else why)
        db.execute("INSERT INTO deferral VALUES (?, ?, ?, ?, ?, ?, 0)", again)
    pending = [] if due is None else list(_take_pending(db, first, last))
    for piece in pending:
        put_off = (piece.first, piece.last, due, at, why)
        db.execute("INSERT INTO deferral VALUES (?, ?, ?, 0, ?, ?, 0)", put_off)
    return sum(piece.last - piece.first + 1 for piece in pending)


def take_doubt(db: apsw.Connection, most: int) -> list[Piece]:
    """Cut the first `most` rows out of `doubt`."""
    found = rows(db, "SELECT first, last, attempts, since FROM doubt ORDER BY first LIMIT ?", (most,))
    db.executemany("DELETE FROM doubt WHERE first = ?", [(first,) for first, *_ in found])
    return [Piece(first, last, "in_doubt", attempts, since) for first, last, attempts, since in found]


def demand_cover(pieces: Iterable[Piece], first: int, last: int) -> None:
    """Raise StoreError unless the pieces, disjoint and in order, cover `first`..`last`."""
    reached = first
    for piece in pieces:
        if piece.first != reached:
            break
        reached = piece.last + 1
    if reached <= last:
        raise StoreError(
            f"recipient {reached} is neither pending nor deferred, and can have no further outcome "
            f"(recording {first} to {last}): a bug, nothing of this commit was written"
        )


def blocks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Cut a range at the multiples of BLOCK."""
    while first <= last:
        end = min(last, first | (BLOCK - 1))
        yield first, end
        first = end + 1


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Disjoint ranges in order, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)
