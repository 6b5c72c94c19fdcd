"""Telling what happened: one person's history, everybody in a state, why things failed.

A person is found through the domain: an index per address would cost the plan more than all of its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

import apsw

from bulkmail.journal import files
from bulkmail.journal.files import rows
from bulkmail.journal.ranges import BLOCK, touching
from bulkmail.journal.records import (
    LEFT_OUT,
    STATES,
    AttemptRow,
    Exported,
    Failure,
    History,
    LeftOut,
    Undelivered,
)
from bulkmail.journal.roll import BITS, Block, Blocks, parse_row
from bulkmail.smtp.address import AddressError, Mailbox

P = ParamSpec("P")
Row = TypeVar("Row")

# SQLite's lower() knows ASCII only, as a collation of NOCASE does.
_IN_BLOCKS = """SELECT number, addresses, rows FROM roll
WHERE number BETWEEN ? AND ? AND instr(lower(addresses), lower(?)) ORDER BY number"""

_ATTEMPTS = """
SELECT a.at, a.state, r.code, r.enhanced, r.text, p.stage, p.host, p.address, p.source, p.tls, a.due,
       a.attempted, a.last - a.first
FROM attempt a JOIN reply r ON r.id = a.reply JOIN place p ON p.id = a.place
WHERE a.first BETWEEN ? AND ? AND a.last >= ? ORDER BY a.seq"""

_SETTLED = """
SELECT a.first, a.last, r.code, r.enhanced, r.text, p.stage, p.host FROM attempt a
CROSS JOIN reply r ON r.id = a.reply CROSS JOIN place p ON p.id = a.place
WHERE a.state = ? ORDER BY a.first"""

_IN_DOUBT = """
SELECT a.first, a.last, r.code, r.enhanced, r.text, '', '' FROM doubt a CROSS JOIN reply r ON r.id = a.reply
ORDER BY a.first"""

# The last attempt begins at most 1023 below (schema.sql).
_DEFERRED = """
SELECT d.first, d.last, r.code, r.enhanced, r.text, coalesce(p.stage, ''), coalesce(p.host, '')
FROM deferral d CROSS JOIN reply r ON r.id = d.reply LEFT JOIN place p ON p.id = (
    SELECT a.place FROM attempt a
    WHERE a.first BETWEEN (d.first & ~1023) AND d.first AND a.last >= d.first ORDER BY a.seq DESC LIMIT 1)
ORDER BY d.first"""

_WHY = f"SELECT due, reply FROM deferral WHERE {touching('deferral')}"
_REPLY = "SELECT code, enhanced, text FROM reply WHERE id = ?"

_PENDING = "SELECT first, last, NULL, NULL, '', '', '' FROM pending ORDER BY first"

_UNDELIVERED = """
SELECT a.first, a.last, a.state, r.code, r.enhanced, r.text, p.host, a.at, p.stage FROM attempt a
CROSS JOIN reply r ON r.id = a.reply CROSS JOIN place p ON p.id = a.place
WHERE a.state IN ('bounced', 'expired') ORDER BY a.first"""

# Per reply first, by its id: texts are compared only once for each.
_FAILURES = """
WITH failed(state, reply, first, size) AS (
    SELECT state, reply, first, last - first + 1 FROM attempt WHERE state IN ('bounced', 'expired')
    UNION ALL SELECT 'deferred', reply, first, last - first + 1 FROM deferral
    UNION ALL SELECT 'in_doubt', reply, first, last - first + 1 FROM doubt),
grouped(state, reply, first, size) AS (
    SELECT state, reply, min(first), sum(size) FROM failed GROUP BY state, reply)
SELECT g.state, r.code, r.enhanced, r.text, sum(g.size) AS n, min(g.first)
FROM grouped g JOIN reply r ON r.id = g.reply
GROUP BY g.state, r.code, r.enhanced, r.text ORDER BY n DESC, g.state, r.text LIMIT ?"""


def of_address(db: apsw.Connection, address: str) -> list[History | LeftOut]:
    """See Store.history. Reads the intervals of the address's domain, and the rows left out."""
    found: list[History | LeftOut] = []
    text, domain = _canonical(address)
    for first, last in rows(db, "SELECT first, last FROM interval WHERE domain = ?", (domain,)):
        found += [_history(db, *one) for one in _named(db, text, first, last)]
    query = """SELECT state, file, line, address, reason FROM left_out
        WHERE address = ? COLLATE NOCASE OR address = ? COLLATE NOCASE ORDER BY id"""
    found += [LeftOut(*row) for row in db.execute(query, (text, address))]
    return found


def _named(db: apsw.Connection, text: str, first: int, last: int) -> list[tuple[int, str]]:
    """Those within `first`..`last` whose address is `text` but for the case of ASCII, as (id, address)."""
    wanted = text.encode().lower()
    return [
        (number, address)
        for row in rows(db, _IN_BLOCKS, (first >> BITS, last >> BITS, text))
        for number, address in enumerate(Block(*row).addresses, max(1, row[0] << BITS))
        if first <= number <= last and address.encode().lower() == wanted
    ]


def _canonical(address: str) -> tuple[str, str]:
    """The address as the plan writes it, and its domain; as given where it is none."""
    try:
        mailbox = Mailbox.parse(address)
    except AddressError:
        return address.strip(), address.rpartition("@")[2].strip().lower()
    return str(mailbox), mailbox.domain.decode("ascii")


def _history(db: apsw.Connection, number: int, address: str) -> History:
    found = db.execute(_ATTEMPTS, (number & ~(BLOCK - 1), number, number))
    attempts = tuple(
        AttemptRow(*row[:11], attempted=bool(row[11]), shared_with=row[12])  # type: ignore[misc]
        for row in found
    )
    state, due, reason = _state(db, number)
    if not state:
        state = attempts[-1].state if attempts else "pending"
    in_flight = bool(_touched(db, "intent", "first", number))
    return History(number, address, state, attempts, due, in_flight, reason)


def _state(db: apsw.Connection, number: int) -> tuple[str, float | None, str]:
    """The unfinished state of one recipient, when it is due and why, or "" where it is settled."""
    for _ in _touched(db, "pending", "first", number):
        return "pending", None, ""
    for due, reply in rows(db, _WHY, (number, number, number)):
        return "deferred", float(due), shown(*rows(db, _REPLY, (reply,))[0])
    for _ in _touched(db, "doubt", "first", number):
        return "in_doubt", None, ""
    return "", None, ""


def _touched(db: apsw.Connection, table: str, column: str, number: int) -> list[float]:
    query = f"SELECT {column} FROM {table} WHERE {touching(table)}"
    return [row[0] for row in rows(db, query, (number, number, number))]


# --- many at once -------------------------------------------------------------------------------------


def export(db: apsw.Connection, state: str) -> Iterator[Exported | LeftOut]:
    """See Store.export."""
    if state not in STATES:
        raise ValueError(f"{state} is not a state; they are {', '.join(STATES)}")
    if state == "pending":
        found = db.execute(_PENDING)
    elif state in ("deferred", "in_doubt"):
        found = db.execute(_DEFERRED if state == "deferred" else _IN_DOUBT)
    else:
        found = db.execute(_SETTLED, (state,))
    blocks = Blocks()
    shapes = blocks.shapes(db)
    for first, last, code, enhanced, text, stage, host in found:
        reply = shown(code, enhanced, text)
        for block, begin, end in blocks.within(db, first, last):
            for address, row in zip(block.addresses[begin:end], block.rows[begin:end], strict=True):
                fields = parse_row(row, address, shapes)
                yield Exported(address, fields, reply, code, enhanced, stage, host)
    if state in LEFT_OUT:
        query = "SELECT state, file, line, address, reason FROM left_out WHERE state = ? ORDER BY id"
        for row in db.execute(query, (state,)):
            yield LeftOut(*row)


def undelivered(db: apsw.Connection) -> Iterator[Undelivered]:
    """See Store.bounced."""
    blocks = Blocks()
    for first, last, *what in db.execute(_UNDELIVERED):
        for block, begin, end in blocks.within(db, first, last):
            for address in block.addresses[begin:end]:
                yield Undelivered._make((address, *what))


def streamed(
    path: Path, kind: files.Kind, query: Callable[..., Iterator[Row]], *args: object
) -> Iterator[Row]:
    """Run a query on a connection that lives as long as its rows are read, so that nobody waits for it."""
    db = files.connect(path, kind, read_only=True)
    try:
        with files.told(path, kind):
            yield from query(db, *args)
    finally:
        db.close()


def failures(db: apsw.Connection, limit: int) -> list[Failure]:
    """See Store.failures."""
    blocks = Blocks()
    found: list[Failure] = []
    for *what, first in rows(db, _FAILURES, (limit,)):
        [(block, at, _)] = blocks.within(db, first, first)
        found.append(Failure._make((*what, block.addresses[at])))
    return found


def domains(db: apsw.Connection, limit: int) -> list[tuple[str, dict[str, int]]]:
    """See Store.domains. Reads all intervals, and the attempts of the domains it returns."""
    biggest = (
        """SELECT domain FROM interval GROUP BY domain ORDER BY sum(last - first + 1) DESC, domain LIMIT ?"""
    )
    found: list[tuple[str, dict[str, int]]] = []
    for (domain,) in rows(db, biggest, (limit,)):
        counts: Counter[str] = Counter()
        query = "SELECT first, last FROM interval WHERE domain = ?"
        for first, last in rows(db, query, (domain,)):
            counts.update(_states_within(db, first, last))
        found.append((domain, dict(counts)))
    return found


def _states_within(db: apsw.Connection, first: int, last: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for table, state in (("pending", "pending"), ("deferral", "deferred"), ("doubt", "in_doubt")):
        query = f"SELECT first, last FROM {table} WHERE {touching(table)}"
        for a, b in db.execute(query, (first, last, first)):
            counts[state] += min(b, last) - max(a, first) + 1
    query = """SELECT state, first, last FROM attempt
        WHERE first BETWEEN ? AND ? AND last >= ? AND state NOT IN ('deferred', 'in_doubt', 'pending')"""
    for state, a, b in db.execute(query, (first & ~(BLOCK - 1), last, first)):
        counts[state] += min(b, last) - max(a, first) + 1
    return counts


def shown(code: int | None, enhanced: str | None, text: str) -> str:
    """A reply as one line for people; the text may repeat the codes, as `str` of a reply does."""
    codes = " ".join(str(part) for part in (code, enhanced) if part)
    return text if text.startswith(codes) else f"{codes} {text}".rstrip()
