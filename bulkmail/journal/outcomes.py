"""Writing what happened: intents and records become ranges, attempts and totals, within one transaction.

Every record cuts its recipients out of where they are unfinished and puts them where the record says; the
totals move by exactly what was cut. That is all of the bookkeeping, and the reason why a recipient cannot be
in two states, nor a settled one be reopened.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise
from operator import itemgetter, le, lt

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal import intents
from bulkmail.journal.files import rows
from bulkmail.journal.ranges import (
    BLOCK,
    Piece,
    blocks,
    find_open,
    hand_back,
    take_doubt,
    take_open,
    touching,
)
from bulkmail.journal.records import Entry, Mark, Record

SETTLING = frozenset({"delivered", "bounced", "expired", "cancelled", "suppressed"})
UNFINISHED = frozenset({"pending", "deferred", "in_doubt"})

FIRST, LAST, STATE = itemgetter(0), itemgetter(1), itemgetter(2)  # of a Record
ALIKE = itemgetter(2, 4, 5, *range(7, 14))  # of a Record, all but whom, when, and the text of the reply
WORTH = 8  # records, for a statement of their own

Reply = tuple[int | None, str | None, str]
Place = tuple[str, ...]  # stage, host, address, source, tls

# Pending is only ever left, so an interval that holds no pending row any more never will.
_CLOSE_INTERVALS = f"""
UPDATE interval SET open = 0 WHERE {touching("interval")} AND open = 1 AND NOT EXISTS (
    SELECT 1 FROM pending WHERE pending.last >= interval.first
        AND pending.first = (SELECT max(first) FROM pending WHERE first <= interval.last))"""

_REPLIES = "INSERT OR ROLLBACK INTO reply SELECT ?1 + key, ?2, ?3, value FROM json_each(?4)"
_ATTEMPTS = """
INSERT OR ROLLBACK INTO attempt SELECT ?1 + key, ?2 + key, ?1 + key, ?3, value, ?4 + key, ?5, NULL, 1
FROM json_each(?6)"""


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
        self._new_places: list[tuple[int | str, ...]] = []
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
        check(records)
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
        doubts: list[Record] = []
        of, bindings = ("", ()) if log is None else ("WHERE log = ?", (log,))
        query = f"SELECT first, last, host, address, at FROM intent {of} ORDER BY first"
        for begin, end, host, address, at in rows(self._db, query, bindings):
            # Whoever was recorded without the intent being closed is beyond doubt.
            doubts += [
                Record(
                    piece.first, piece.last, "in_doubt", at, None, None,
                    "interrupted before the reply to the end of data", "end_of_data", host, address, due=due,
                )
                for piece in find_open(self._db, begin, end)
            ]  # fmt: skip
        self.record(doubts)
        self._db.execute(f"DELETE FROM intent {of}", bindings)
        return sum(one.last - one.first + 1 for one in doubts)

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
        states = set(map(STATE, run))
        if len(pieces) == 1 and len(states) == 1 and states <= SETTLING:  # nearly always
            self._moved[pieces[0].state] -= (size := run[-1].last - run[0].first + 1)
            self._moved[run[0].state] += size
        else:
            deferred: list[tuple[int, int, float, int, float, int]] = []
            for record, part in overlaps(run, pieces):
                self._move(record, part, deferred)
            self._db.executemany("INSERT INTO deferral VALUES (?, ?, ?, ?, ?, ?, 0)", deferred)
        self._tell(run)

    def _move(
        self, record: Record, part: Piece, deferred: list[tuple[int, int, float, int, float, int]]
    ) -> None:
        state = "deferred" if record.state == "in_doubt" and record.due is not None else record.state
        size = part.last - part.first + 1
        self._moved[part.state] -= size
        self._moved[state] += size
        if state in SETTLING:
            return
        # What is in doubt was counted as an attempt when it came into doubt.
        attempts = part.attempts + (part.state != "in_doubt")
        since = record.at if part.since is None else part.since
        reply = self._texts.replies.get(record[4:7]) or self._new_reply(record[4:7])
        if state == "deferred":
            if record.due is None:
                raise StoreError(f"recipients {record.first} to {record.last} are deferred without a time")
            deferred.append((part.first, part.last, record.due, attempts, since, reply))
        else:
            self._db.execute(
                "INSERT INTO doubt VALUES (?, ?, ?, ?, ?)",
                (part.first, part.last, attempts, since, reply),
            )

    def _hand_back(self, record: Record) -> None:
        first, last, due = record.first, record.last, record.due
        why = None if due is None else self._texts.replies.get(record[4:7]) or self._new_reply(record[4:7])
        count = hand_back(self._db, first, last, record.at, due, why)
        self._moved.update(pending=-count, deferred=count)
        self._db.execute(_CLOSE_INTERVALS, (first, last, first))
        if record.attempted:
            self._tell([record])

    def _tell(self, run: Iterable[Record]) -> None:
        """What is said of each in `attempt`."""
        for _, alike in groupby(run, key=ALIKE):
            records = list(alike)
            if not self._tell_at_once(records):
                self._tell_each(records)

    def _tell_at_once(self, records: Sequence[Record]) -> bool:
        """Neighbours who are told apart by time and reply only, as nearly all with a queue id of their own:
        SQLite makes their rows itself, and who else wants the interpreter has it meanwhile.
        """
        one, size = records[0], len(records)
        texts = [record.reply for record in records]
        if size < WORTH or records[-1].last - one.first + 1 != size or one.due is not None:
            return False
        if not one.attempted or len(set(texts)) < size:
            return False
        place = self._texts.places.get(one[7:12]) or self._new_place(one[7:12])
        reply = self._last_reply + 1
        self._db.execute(_REPLIES, (reply, one.code, one.enhanced, json.dumps(texts)))
        times = json.dumps([record.at for record in records])
        self._db.execute(_ATTEMPTS, (one.first, self._seq + 1, one.state, reply, place, times))
        self._last_reply += size
        self._seq += size
        return True

    def _tell_each(self, records: Sequence[Record]) -> None:
        seq, attempts, replies, places = self._seq, self._attempts, self._texts.replies, self._texts.places
        for record in records:
            first, last, state, at = record[:4]
            reply = replies.get(text := record[4:7]) or self._new_reply(text)
            place = places.get(where := record[7:12]) or self._new_place(where)
            for begin, end in ((first, last),) if last <= first | (BLOCK - 1) else blocks(first, last):
                seq += 1
                attempts.append((begin, seq, end, state, at, reply, place, *record[12:]))
        self._seq = seq

    def _new_reply(self, text: Reply) -> int:
        self._last_reply += 1
        self._new_replies.append((self._last_reply, *text))
        if len(self._texts.replies) >= Texts.MOST:
            self._texts.replies.clear()
        self._texts.replies[text] = self._last_reply
        return self._last_reply

    def _new_place(self, place: Place) -> int:
        self._last_place += 1
        self._new_places.append((self._last_place, *place))
        if len(self._texts.places) >= Texts.MOST:
            self._texts.places.clear()
        self._texts.places[place] = self._last_place
        return self._last_place


def check(records: Sequence[Record]) -> None:
    """Raise StoreError where a record says what none can."""
    for state in set(map(STATE, records)) - SETTLING - UNFINISHED:
        raise StoreError(f"{state} is not a state that a record can lead to")
    if not all(map(le, map(FIRST, records), map(LAST, records))) or min(map(FIRST, records), default=1) < 1:
        wrong = next(record for record in records if not 0 < record.first <= record.last)
        raise StoreError(f"{wrong.first} to {wrong.last} is not a range of recipients")


def runs(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Records that follow each other without a gap, whatever they say: cut out of the unfinished at once."""
    begin = 0
    for position, (one, following) in enumerate(pairwise(records), 1):
        if one[1] + 1 != following[0] or (one[2] == "pending") != (following[2] == "pending"):
            yield records[begin:position]
            begin = position
    if records:
        yield records[begin:]


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
