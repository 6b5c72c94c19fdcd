"""Writing what happened: intents and records become ranges, attempts and totals, within one transaction.

Every record cuts its recipients out of where they are unfinished and puts them where the record says; the
totals move by exactly what was cut. That is all of the bookkeeping, and the reason why a recipient cannot be
in two states, nor a settled one be reopened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import itemgetter, lt

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal import intents
from bulkmail.journal.files import rows
from bulkmail.journal.ranges import (
    Piece,
    blocks,
    demand_cover,
    find_open,
    give_back,
    take_doubt,
    take_open,
    touching,
)
from bulkmail.journal.records import Entry, Mark, Record

SETTLING = frozenset({"delivered", "bounced", "expired", "cancelled", "suppressed"})
UNFINISHED = frozenset({"pending", "deferred", "in_doubt"})

FIRST, LAST = itemgetter(0), itemgetter(1)  # of a Record

Reply = tuple[int | None, str | None, str]
Place = tuple[str, str, str, str, str]

# Pending is only ever left, so an interval that holds no pending row any more never will.
_CLOSE_INTERVALS = f"""
UPDATE interval SET open = 0 WHERE {touching("interval")} AND open = 1 AND NOT EXISTS (
    SELECT 1 FROM pending WHERE pending.last >= interval.first
        AND pending.first = (SELECT max(first) FROM pending WHERE first <= interval.last))"""


class Texts:
    """The ids of texts that attempts repeat, of those seen lately; replies and places are bounded each."""

    MOST = 1_000  # a queue id in each reply makes them all different: then this only bounds the memory

    def __init__(self) -> None:
        self.replies: dict[Reply, int] = {}
        self.places: dict[Place, int] = {}

    def clear(self) -> None:
        """After a rollback: what was cached may not be in the file."""
        self.replies.clear()
        self.places.clear()


class Outcomes:
    """One transaction's worth of outcomes. Rows that are only appended are held back until `finish`."""

    def __init__(self, db: apsw.Connection, texts: Texts) -> None:
        self._db = db
        self._texts = texts
        self._moved: Counter[str] = Counter()
        self._attempts: list[tuple[int, int, int, str, float, int, int, float | None, int]] = []
        self._new_replies: list[tuple[int, int | None, str | None, str]] = []
        self._new_places: list[tuple[int, str, str, str, str, str]] = []
        self._seq: int = rows(db, "SELECT value FROM total WHERE name = 'seq'")[0][0]
        self._seq_before = self._seq
        self._last_reply: int = rows(db, "SELECT coalesce(max(id), 0) FROM reply")[0][0]
        self._last_place: int = rows(db, "SELECT coalesce(max(id), 0) FROM place")[0][0]

    def take_in(self, entries: Sequence[Entry], log: int = 0) -> None:
        """Apply what was said, in order, as far as it shows: an intent opened and closed here is not written.

        Raises StoreError where a record speaks of somebody who is not open, or an intent of somebody who is
        settled, in doubt or in another intent: a bug, and the last moment to notice it.
        """
        said = intents.condense(entries)
        intents.close(self._db, said.closed, log)
        for records, opened in said.turns():
            self.record(records)
            intents.open_all(self._db, opened, log)

    def record(self, records: Sequence[Record]) -> None:
        """Apply records in order. Raises StoreError where one speaks of a recipient who is not open."""
        ordered = sorted(records, key=FIRST)
        # Who is spoken of once only may be spoken of in any order: in that of ids, neighbours are found.
        if all(map(lt, map(LAST, ordered), map(FIRST, islice(ordered, 1, None)))):
            records = ordered
        for run in runs(records):
            if run[0].state == "pending":
                for record in run:
                    self._hand_back(record)
            else:
                first, last = run[0].first, run[-1].last
                self._place(run, take_open(self._db, first, last))
                self._db.execute(_CLOSE_INTERVALS, (first, last, first))

    def doubt(self, due: float | None, log: int | None = None) -> int:
        """Who is in an open intent (of `log`, or of any) comes into doubt, or is deferred until `due`."""
        count = 0
        of, bindings = ("", ()) if log is None else ("WHERE log = ?", (log,))
        query = f"SELECT first, last, host, address, at FROM intent {of} ORDER BY first"
        for begin, end, host, address, at in rows(self._db, query, bindings):
            # Whoever was recorded without the intent being closed is beyond doubt.
            for piece in find_open(self._db, begin, end):
                doubt = Record(
                    piece.first, piece.last, "in_doubt", at,
                    reply="interrupted before the reply to the end of data",
                    stage="end_of_data", host=host, address=address, due=due,
                )  # fmt: skip
                self.record([doubt])
                count += piece.last - piece.first + 1
        self._db.execute(f"DELETE FROM intent {of}", bindings)
        return count

    def release(self) -> None:
        """Nobody is taken any more."""
        self._db.execute("UPDATE deferral SET taken = 0 WHERE taken = 1")

    def taken_in(self, mark: Mark) -> None:
        """Keep how far a log was taken in."""
        self._db.execute("INSERT OR REPLACE INTO log VALUES (?, ?, ?)", mark)

    def cancel(self, most: int, now: float, reason: str) -> int:
        """Cancel about `most` ranges of the pending and deferred; returns how many recipients that were."""
        count = 0
        for table in ("pending", "deferral"):
            query = f"SELECT first, last FROM {table} ORDER BY first LIMIT ?"
            for first, last in rows(self._db, query, (most,)):
                self.record([Record(first, last, "cancelled", now, reply=reason, attempted=False)])
                count += last - first + 1
        return count

    def resolve(self, most: int, verdict: Callable[[Piece], Record]) -> int:
        """Give each of the first `most` ranges in doubt its record; returns how many recipients that were."""
        pieces = take_doubt(self._db, most)
        for piece in pieces:
            self._place([verdict(piece)], [piece])
        return sum(piece.last - piece.first + 1 for piece in pieces)

    def finish(self) -> None:
        """Write what was held back. The transaction can be committed then."""
        db = self._db
        db.executemany("INSERT INTO reply VALUES (?, ?, ?, ?)", self._new_replies)
        db.executemany("INSERT INTO place VALUES (?, ?, ?, ?, ?, ?)", self._new_places)
        db.executemany("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._attempts)
        self._moved["seq"] = self._seq - self._seq_before
        moved = [(by, name) for name, by in self._moved.items() if by]
        db.executemany("UPDATE total SET value = value + ? WHERE name = ?", moved)

    # --- one run of records against the pieces they cut out -------------------------------------------

    def _place(self, run: Sequence[Record], pieces: Sequence[Piece]) -> None:
        for record, part in overlaps(run, pieces):
            state = "deferred" if record.state == "in_doubt" and record.due is not None else record.state
            size = part.last - part.first + 1
            self._moved[part.state] -= size
            self._moved[state] += size
            if state in SETTLING:
                continue
            # What is in doubt was counted as an attempt when it came into doubt.
            attempts = part.attempts + (part.state != "in_doubt")
            since = record.at if part.since is None else part.since
            reply = self._reply(record)
            if state == "deferred":
                if record.due is None:
                    raise StoreError(
                        f"recipients {record.first} to {record.last} are deferred without a time"
                    )
                self._db.execute(
                    "INSERT INTO deferral VALUES (?, ?, ?, ?, ?, ?, 0)",
                    (part.first, part.last, record.due, attempts, since, reply),
                )
            else:
                self._db.execute(
                    "INSERT INTO doubt VALUES (?, ?, ?, ?, ?)",
                    (part.first, part.last, attempts, since, reply),
                )
        for record in run:
            self._attempt(record)

    def _hand_back(self, record: Record) -> None:
        demand_cover(find_open(self._db, record.first, record.last), record.first, record.last)
        give_back(self._db, record.first, record.last, record.at if record.due is None else record.due)
        if record.attempted:
            self._attempt(record)

    def _attempt(self, record: Record) -> None:
        reply, place = self._reply(record), self._where(record)
        for first, last in blocks(record.first, record.last):
            self._seq += 1
            self._attempts.append(
                (first, self._seq, last, record.state, record.at, reply, place, record.due, record.attempted)
            )

    def _reply(self, record: Record) -> int:
        text = (record.code, record.enhanced, record.reply)
        known = self._texts.replies.get(text)
        if known is None:
            self._last_reply = known = self._last_reply + 1
            self._new_replies.append((known, *text))
            if len(self._texts.replies) >= Texts.MOST:
                self._texts.replies.clear()
            self._texts.replies[text] = known
        return known

    def _where(self, record: Record) -> int:
        place = (record.stage, record.host, record.address, record.source, record.tls)
        known = self._texts.places.get(place)
        if known is None:
            self._last_place = known = self._last_place + 1
            self._new_places.append((known, *place))
            if len(self._texts.places) >= Texts.MOST:
                self._texts.places.clear()
            self._texts.places[place] = known
        return known


def runs(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Records that follow each other without a gap, whatever they say: cut out of the unfinished at once."""
    run: list[Record] = []
    for record in records:
        if record.state not in SETTLING and record.state not in UNFINISHED:
            raise StoreError(f"{record.state} is not a state that a record can lead to")
        if not 0 < record.first <= record.last:
            raise StoreError(f"{record.first} to {record.last} is not a range of recipients")
        if run and (
            run[-1].last + 1 != record.first or (run[-1].state == "pending") != (record.state == "pending")
        ):
            yield run
            run = []
        run.append(record)
    if run:
        yield run


def overlaps(run: Sequence[Record], pieces: Sequence[Piece]) -> Iterator[tuple[Record, Piece]]:
    """Each record with each part of a piece that it covers. Both cover one range, gapless and in order."""
    i = j = 0
    position = run[0].first
    while i < len(run):
        record, piece = run[i], pieces[j]
        last = min(record.last, piece.last)
        if (position, last) != (piece.first, piece.last):
            piece = Piece(position, last, piece.state, piece.attempts, piece.since)
        yield record, piece
        i += last == record.last
        j += last == pieces[j].last
        position = last + 1
