"""Writing the plan: once, in id order, by one writer, in memory that does not grow.

Recipients are gathered into blocks (see `roll`), which go to SQLite as they fill, whatever intervals they
belong to. The transactions are many and big, and not synced one by one, because nothing depends on a plan
before its last commit: the one that puts everybody into `pending`, sets the totals and writes `planned`. What
an interrupted plan left behind is wiped by the next.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal.files import CACHE_KIB, transaction
from bulkmail.journal.records import LEFT_OUT, STATES, Interval, LeftOut, Planned, Run
from bulkmail.journal.roll import BITS

ROWS_PER_TRANSACTION = 100_000
PLAN_CACHE_KIB = 8_192  # an index is sorted in it
ROWS_PER_BATCH = 2_000  # recipients, left-out rows and intervals held back for one executemany
SEEDS_FIRST = 1 << 40  # more than any interval can hold

_BLOCK = "INSERT INTO roll VALUES (?, ?, ?)"
_INTERVAL = "INSERT INTO interval VALUES (?, ?, ?, ?, ?, ?, 1)"
_LEFT_OUT = "INSERT INTO left_out (state, file, line, address, reason) VALUES (?, ?, ?, ?, ?)"


class PlanWriter:
    """What `Store.write_plan` yields. Ids are given out in the order of the calls."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._next = 1
        self._addresses: list[str] = []  # of those before `next` whose block is not written
        self._rows: list[str] = []
        self._shapes = 0
        self._uncommitted = 0
        self._counts: Counter[str] = Counter()
        self._left_out: list[tuple[str, str, int, str, str]] = []
        self._intervals: list[tuple[int, int, str, bool, bool, int]] = []

    def intervals(
        self,
        runs: Sequence[Run],
        addresses: Sequence[str],
        rows: Sequence[str],
        *,
        seeds: bool,
        whole: bool = True,
    ) -> None:
        """Write intervals that follow each other, with all of their people, as they are stored (see `roll`).

        `whole` says that no more intervals of these domains will come, which is nothing to us.
        """
        first = self._next
        self._extend(addresses, rows)
        self._note(first, runs, seeds)

    def interval(self, domain: str, shared: bool, seeds: bool, rows: Iterable[Planned]) -> Interval:
        """One interval; its rows are read as they are written, and never held."""
        first = self._next
        source = iter(rows)
        while batch := list(islice(source, ROWS_PER_BATCH)):
            self._extend(*zip(*batch, strict=True))
        size = self._next - first
        self._note(first, [(domain, size, shared)], seeds)
        return Interval(first, domain, first, first + size - 1, shared, seeds)

    def shape(self, columns: Sequence[str]) -> str:
        """What a row of these cells begins with; "" names a cell that is not kept."""
        self._shapes += 1
        self._db.execute("INSERT INTO shape VALUES (?, ?)", (self._shapes, json.dumps(columns)))
        return str(self._shapes)

    def left_out(self, row: LeftOut) -> None:
        """List one row that will not be mailed, and count it."""
        if row.state not in LEFT_OUT:
            raise ValueError(f"{row.state} is not a state of a row that is left out")
        self._counts[row.state] += 1
        self._left_out.append((row.state, row.file, row.row, row.address, row.reason))
        if len(self._left_out) >= ROWS_PER_BATCH:
            self._wrote(len(self._left_out))
            self._flush()

    def count(self, state: str, number: int) -> None:
        """Count rows that are left out without being listed; or `source`, to be held against the sum."""
        if state not in LEFT_OUT and state != "source":
            raise ValueError(f"{state} is not counted by hand")
        self._counts[state] += number

    # --- for Store.write_plan -------------------------------------------------------------------------

    def begin(self) -> None:
        """Wipe what an interrupted plan left, and open the first transaction."""
        # NORMAL: a commit is not synced, a checkpoint is. After a power loss the file is an older one, whole.
        self._db.pragma("synchronous", "NORMAL")
        self._db.pragma("cache_size", -PLAN_CACHE_KIB)
        with transaction(self._db):
            self._db.execute(
                """DROP INDEX IF EXISTS interval_open; DROP INDEX IF EXISTS interval_domain;
                DELETE FROM roll; DELETE FROM shape; DELETE FROM interval; DELETE FROM left_out;
                DELETE FROM pending; DELETE FROM total"""
            )
        self._db.execute("BEGIN IMMEDIATE")

    def finish(self) -> None:
        """Everybody is pending, the totals add up, the plan is complete: durably, in the last commit."""
        self._flush()
        self._write_blocks()
        self._db.executemany(_BLOCK, self._blocks(self._next - len(self._addresses), len(self._addresses)))
        rows = sum(self._counts[state] for state in STATES)
        source = self._counts.setdefault("source", rows)
        if source != rows:
            raise StoreError(f"the plan lost somebody: {source} rows were read and {rows} have a state")
        self._db.execute("CREATE INDEX interval_open ON interval (rank, first) WHERE open = 1")
        self._db.execute("CREATE INDEX interval_domain ON interval (domain)")
        self._db.execute("COMMIT")
        self._db.pragma("synchronous", "FULL")
        with transaction(self._db):
            if self._next > 1:
                self._db.execute("INSERT INTO pending VALUES (1, ?)", (self._next - 1,))
            self._db.executemany(
                "INSERT INTO total VALUES (?, ?)",
                [(name, self._counts[name]) for name in (*STATES, "source", "seq")],
            )
            self._db.execute("INSERT INTO meta VALUES ('planned', '1')")
        # PRAGMA synchronous=FULL syncs the WAL at this commit, and with it the commits before it.
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def leave(self) -> None:
        """Whatever happened: what was not finished stays unplanned, for the next `begin` to wipe."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._db.pragma("synchronous", "FULL")
        self._db.pragma("cache_size", -CACHE_KIB)
        self._db.pragma("shrink_memory")  # its pages are full of people whom others will read

    def _note(self, first: int, runs: Sequence[Run], seeds: bool) -> None:
        """The recipients from `first` on, who are written, are these intervals."""
        self._counts["pending"] += self._next - first
        base = SEEDS_FIRST if seeds else 0
        for domain, size, shared in runs:
            if size < 1:
                raise ValueError(f"an interval of {domain} without recipients")
            self._intervals.append((first, first + size - 1, domain, shared, seeds, -size - base))
            first += size
        if first != self._next:
            raise ValueError(f"the intervals end before id {first}, the recipients before id {self._next}")
        if len(self._intervals) >= ROWS_PER_BATCH:
            self._flush()

    def _extend(self, addresses: Sequence[str], texts: Sequence[str]) -> None:
        self._addresses += addresses
        self._rows += texts
        self._next += len(addresses)
        if len(self._addresses) >= ROWS_PER_BATCH:
            self._write_blocks()

    def _write_blocks(self) -> None:
        """Write the blocks that are full."""
        first = self._next - len(self._addresses)
        end = (self._next >> BITS << BITS) - first
        if end > 0:
            self._db.executemany(_BLOCK, self._blocks(first, end))
            self._wrote(end)
            del self._addresses[:end], self._rows[:end]

    def _blocks(self, first: int, end: int) -> Iterator[tuple[int, str, str]]:
        """The first `end` of those held, of whom the first is `first`, as blocks."""
        begin = 0
        while begin < end:
            number = (first + begin) >> BITS
            stop = min(end, ((number + 1) << BITS) - first)
            addresses, texts = "\n".join(self._addresses[begin:stop]), "\n".join(self._rows[begin:stop])
            if not addresses.count("\n") == texts.count("\n") == stop - begin - 1:
                raise ValueError("a line break in an address or a row of the plan")
            yield number, addresses, texts
            begin = stop

    def _flush(self) -> None:
        self._db.executemany(_LEFT_OUT, self._left_out)
        self._left_out.clear()
        self._db.executemany(_INTERVAL, self._intervals)
        self._intervals.clear()

    def _wrote(self, rows: int) -> None:
        self._uncommitted += rows
        if self._uncommitted >= ROWS_PER_TRANSACTION:
            self._db.execute("COMMIT")
            self._db.execute("BEGIN IMMEDIATE")
            self._uncommitted = 0
