"""Whom hosts have refused for good: what the project learns of its addresses from a campaign.

Attempts are numbered in the order in which they were taken in, so whoever has read some of them asks for the
rest: twice the same after a crash, and none is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import apsw

from bulkmail.journal.history import streamed
from bulkmail.journal.roll import Blocks
from bulkmail.journal.store import KIND, Store

_REFUSED = """
SELECT a.first, a.last, p.stage, p.host, r.code, r.enhanced, r.text,
       NOT (SELECT shared FROM interval WHERE first <= a.first ORDER BY first DESC LIMIT 1),
       (SELECT domain FROM interval WHERE first <= a.first ORDER BY first DESC LIMIT 1)
FROM attempt a CROSS JOIN reply r ON r.id = a.reply CROSS JOIN place p ON p.id = a.place
WHERE a.state = 'bounced' AND a.seq > ? AND a.seq <= ? AND a.attempted AND r.code IS NOT NULL
ORDER BY a.first"""

_ANSWERED_AT = """
SELECT p.host, sum(a.last - a.first + 1) FROM attempt a CROSS JOIN place p ON p.id = a.place
WHERE a.state IN ('delivered', 'bounced') AND a.attempted GROUP BY p.host"""

_ANSWERED_OF = """
SELECT coalesce(sum(a.last - a.first + 1), 0)
FROM interval i CROSS JOIN attempt a ON a.first BETWEEN i.first AND i.last
WHERE i.domain = ? AND a.state IN ('delivered', 'bounced') AND a.attempted"""

# Of who is deferred, the last attempt; it begins at most 1023 below (schema.sql).
_REASONS = """
WITH failed(state, reply, place, size) AS (
    SELECT state, reply, place, last - first + 1 FROM attempt WHERE state IN ('bounced', 'expired')
    UNION ALL
    SELECT 'deferred', d.reply, (
        SELECT a.place FROM attempt a
        WHERE a.first BETWEEN (d.first & ~1023) AND d.first AND a.last >= d.first ORDER BY a.seq DESC LIMIT 1
    ), d.last - d.first + 1 FROM deferral d),
grouped(state, reply, place, size) AS (
    SELECT state, reply, place, sum(size) FROM failed GROUP BY state, reply, place)
SELECT g.state, coalesce(p.stage, ''), coalesce(p.host, ''), r.code, r.enhanced, r.text, g.size
FROM grouped g CROSS JOIN reply r ON r.id = g.reply LEFT JOIN place p ON p.id = g.place"""


class Refused(NamedTuple):
    """One recipient who bounced. `alone`: nobody else had a part in the transaction, as far as is known."""

    address: str
    stage: str
    host: str
    code: int
    enhanced: str | None
    reply: str
    alone: bool
    domain: str


class Reason(NamedTuple):
    """How many recipients are `state` (deferred, bounced, expired) because of one reply at one stage."""

    state: str
    stage: str
    host: str
    code: int | None
    enhanced: str | None
    reply: str
    recipients: int


def reasons(store: Store) -> Iterator[Reason]:
    """Of all of them. Reads who is deferred, bounced or expired."""
    return streamed(store.path, KIND, _reasons)


def last_attempt(store: Store) -> int:
    """The number of the last attempt that was taken in."""
    return next(streamed(store.path, KIND, _last))


def refused(store: Store, after: int, until: int) -> Iterator[Refused]:
    """Those of the attempts from `after` + 1 to `until`; streamed, and all who ever bounced are looked at."""
    return streamed(store.path, KIND, _refused, after, until)


def answered_at(store: Store) -> Iterator[tuple[str, int]]:
    """How many each exchanger has taken or refused for good. Reads all attempts."""
    return streamed(store.path, KIND, _answered_at)


def answered_of(store: Store, domain: str) -> int:
    """How many of `domain` were taken or refused for good by whom we asked."""
    return next(streamed(store.path, KIND, _answered_of, domain))


def _answered_at(db: apsw.Connection) -> Iterator[tuple[str, int]]:
    for host, people in db.execute(_ANSWERED_AT):
        yield str(host), int(people)


def _answered_of(db: apsw.Connection, domain: str) -> Iterator[int]:
    for (people,) in db.execute(_ANSWERED_OF, (domain,)):
        yield int(people)


def _reasons(db: apsw.Connection) -> Iterator[Reason]:
    for row in db.execute(_REASONS):
        yield Reason._make(row)


def _last(db: apsw.Connection) -> Iterator[int]:
    for (value,) in db.execute("SELECT value FROM total WHERE name = 'seq'"):
        yield int(value)


def _refused(db: apsw.Connection, after: int, until: int) -> Iterator[Refused]:
    blocks = Blocks()
    for first, last, *what in db.execute(_REFUSED, (after, until)):
        for block, begin, end in blocks.within(db, first, last):
            for address in block.addresses[begin:end]:
                yield Refused._make((address, *what))
