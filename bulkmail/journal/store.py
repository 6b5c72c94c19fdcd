"""The journal of one campaign: one SQLite file, one writer, everybody in exactly one state at every commit.

The schema says how (schema.sql); this is the door. A Store may be used from several threads, one call at a
time. What SQLite raises comes out as StoreError; once a commit has failed, no later one is tried, for a sync
that failed may have lost what came before it (FAULTS.md J3).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from itertools import chain, groupby
from pathlib import Path

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal import files, history, leftovers, queries
from bulkmail.journal.log_file import LogName, segments
from bulkmail.journal.outcomes import Outcomes, Texts
from bulkmail.journal.plan_writer import PlanWriter
from bulkmail.journal.ranges import Piece
from bulkmail.journal.records import (
    Due,
    Entry,
    Exported,
    Failure,
    History,
    Intent,
    Interval,
    LeftOut,
    Mark,
    Record,
    Undelivered,
)
from bulkmail.journal.roll import Blocks, Roll
from bulkmail.journal.store_file import StoreFile

KIND = files.Kind(
    name="campaign journal",
    application_id=int.from_bytes(b"bkmj", "big"),
    version=1,
    schema=resources.files("bulkmail.journal").joinpath("schema.sql").read_text("utf-8"),
    advice="Do not delete it: it alone knows who has been mailed. Put back a copy of it, or move it away and "
    "send under a new campaign name to those who are still to be mailed.",
)
RANGES_PER_TRANSACTION = 10_000  # of those settled all at once: by recovery, by the operator

IDENTITY = "identity"  # in meta: what marks the logs of this journal as its own


class Store(StoreFile):
    """See the module. Every method raises StoreError where the file cannot be read or written."""

    def __init__(self, path: Path, db: apsw.Connection) -> None:
        super().__init__(path, db, KIND)
        self._texts = Texts()
        self._blocks = Blocks()

    @classmethod
    def create(cls, path: Path, identity: Mapping[str, str], *, anew: bool = False) -> Store:
        """Make a journal at `path` (mode 0600, its directory 0700) whose meta is `identity`.

        Logs of one that is not there any more are removed if `anew`, else a StoreError.
        """

        def fill(db: apsw.Connection) -> None:
            meta = {**identity, IDENTITY: secrets.token_hex(8)}
            db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))

        leftovers.clear(path, anew=anew)
        return cls(path, files.make(path, KIND, fill))

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Store:
        """Open the journal at `path`. StoreError says what to do: missing, damaged, foreign, newer (J6)."""
        store = cls(path, files.connect(path, KIND, read_only=read_only))
        try:
            totals = store.totals()
            if totals.pop("source") != sum(totals.values()):
                raise StoreError(f"{path}: is damaged: its totals do not add up. {KIND.advice}")
        except BaseException:
            store.close()
            raise
        return store

    # --- meta and plan --------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        with self._reading() as db:
            for (value,) in db.execute("SELECT value FROM meta WHERE key = ?", (key,)):
                return str(value)
        return None

    def set_meta(self, key: str, value: str) -> None:
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    @property
    def planned(self) -> bool:
        """Whether the plan is complete. What an interrupted `write_plan` left does not count."""
        return self.meta("planned") is not None

    @contextmanager
    def write_plan(self) -> Iterator[PlanWriter]:
        """Write the plan; it exists once the block has ended without an exception, and never changes again.

        Raises StoreError where there is a plan, and where the counts do not add up.
        """
        if self.planned:
            raise StoreError(f"{self.path}: the campaign is planned already")
        with self._lock, files.told(self.path, KIND):
            self._blocks.clear()
            writer = PlanWriter(self._db)
            try:
                writer.begin()
                yield writer
                writer.finish()
            finally:
                writer.leave()

    def totals(self) -> dict[str, int]:
        """`source` and all 13 states; `source` is their sum at any moment. All 0 before there is a plan."""
        with self._reading() as db:
            return queries.totals(db)

    # --- what is to be done ---------------------------------------------------------------------------

    def open_intervals(
        self, after: tuple[int, int] | None, limit: int, *, which: queries.Which = queries.ALL
    ) -> list[tuple[Interval, list[tuple[int, int]]]]:
        """Intervals with somebody pending, and those ranges: seeds first, then by falling size.

        `after` is the (size, id) of the last interval of the previous page. Who is deferred, in doubt or
        settled is not in the ranges. Costs the page, however much is done.
        """
        with self._reading() as db:
            return queries.open_intervals(db, None if after is None else after[1], limit, which)

    def fetch(self, ids: Sequence[tuple[int, int]]) -> Roll:
        """The recipients of these ranges, which are disjoint, in the order of their ids."""
        with self._reading() as db:
            return queries.fetch(db, ids, self._blocks)

    def due(self, now: float, limit: int) -> list[Due]:
        """Deferred recipients due at `now`, in at most `limit` ranges, longest due first.

        They are taken: not returned again until a record speaks of them, or a `recover`.
        """
        with self._writing() as db:
            return queries.take_due(db, now, limit)

    def next_due(self, now: float) -> float | None:
        """When the next deferred who are not taken are due, never before `now`; None without any."""
        with self._reading() as db:
            due = queries.next_due(db)
        return None if due is None else max(due, now)

    def in_hand(self, ids: Sequence[tuple[int, int]], attempts: int) -> Sequence[tuple[int, int]]:
        """Of these, given out with `attempts` behind them, who has no fate since: the pending without any, or
        the taken with as many still. Who has more was deferred since, and is given out again by `due`.
        """
        with self._reading() as db:
            return queries.in_hand(db, ids, attempts)

    def bring_forward(self, later_than: float, to: float) -> int:
        """Who is due later than `later_than` is due at `to`; returns how many recipients that were.

        No wait is that long by the policy: the clock was set back since (FAULTS.md J5).
        """
        with self._writing() as db:
            return queries.bring_forward(db, later_than, to)

    # --- what happened --------------------------------------------------------------------------------

    def commit(self, records: Sequence[Record], intents: Sequence[Intent], closed: Sequence[int]) -> None:
        """Close intents, apply records, open intents, in ONE transaction; on disk when it returns.

        Raises StoreError, with nothing written, where a record or an intent speaks of a recipient who is
        settled or in doubt: that is a bug of the caller, and the last moment to notice it.
        """
        with self._recording() as outcomes:
            outcomes.take_in([(records, intents, closed)])

    def take_in(self, said: Iterable[tuple[Sequence[Entry], Mark]]) -> None:
        """`commit` what was said in a log, or in several, and how far each of them is taken in with it."""
        with self._recording() as outcomes:
            for log, groups in groupby(said, key=lambda group: group[1].log):
                entries, marks = zip(*groups, strict=True)
                outcomes.take_in(list(chain.from_iterable(entries)), log)
                outcomes.taken_in(marks[-1])

    def mark(self, log: int) -> Mark | None:
        """How far `log` is taken in; None where nothing of it ever was."""
        with self._reading() as db:
            return leftovers.mark(db, log)

    def new_log(self, log: int = 0) -> LogName:
        """A log to be written from now on, by one process; nobody may be writing to it any more."""
        return leftovers.next_log(self.path, self.meta(IDENTITY) or "", log, self.mark(log))

    def take_in_leftovers(self) -> None:
        """What the logs of dead processes still hold: for who has the campaign's lock."""
        leftovers.take_in(self.path, self.meta(IDENTITY) or "", self.mark, self.take_in)

    def recover(self, on_doubt: str, now: float) -> int:
        """At the start of a run, the lock being ours: who is in an open intent may have been delivered to.

        They are held in doubt, or with `on_doubt` "resend" deferred, due now; either way the attempt is
        listed as in doubt. Nobody is taken any more. Returns how many recipients that were.
        """
        due = now if _resend(on_doubt, "hold") else None
        if not self.planned:
            return 0
        self.take_in_leftovers()
        with self._recording() as outcomes:
            outcomes.release()
            return outcomes.doubt(due)

    def doubt_log(self, log: int, on_doubt: str, now: float) -> int:
        """`recover` of one log alone, all of which is taken in: its process died, and others go on."""
        due = now if _resend(on_doubt, "hold") else None
        with self._recording() as outcomes:
            return outcomes.doubt(due, log)

    @property
    def in_flight(self) -> bool:
        """Whether a message may be on its way, or was when a run was killed: `recover` will tell."""
        with self._reading() as db:
            return bool(segments(self.path)) or any(db.execute("SELECT 1 FROM intent LIMIT 1"))

    def resolve_doubt(self, to: str, now: float) -> int:
        """The operator's word on everybody in doubt: "delivered", or "resend" (deferred, due now)."""
        resend = _resend(to, "delivered")
        state, due = ("deferred", now) if resend else ("delivered", None)
        text = f"resolved by the operator: {'to be sent again' if resend else 'taken as delivered'}"

        def verdict(piece: Piece) -> Record:
            return Record(piece.first, piece.last, state, now, reply=text, due=due, attempted=False)

        return self._in_parts(lambda outcomes: outcomes.resolve(RANGES_PER_TRANSACTION, verdict))

    def cancel_open(self, now: float, reason: str = "cancelled by the operator") -> int:
        """Everybody pending or deferred is cancelled; who is in doubt stays so. Returns how many."""

        return self._in_parts(lambda outcomes: outcomes.cancel(RANGES_PER_TRANSACTION, now, reason))

    # --- what is told ---------------------------------------------------------------------------------

    def history(self, address: str) -> list[History | LeftOut]:
        """Everything about one address: its recipients with all attempts, then the rows left out."""
        with self._reading() as db:
            return history.of_address(db, address)

    def export(self, state: str) -> Iterator[Exported | LeftOut]:
        """Everybody in `state`, in id order, streamed from a connection of its own; then rows left out."""
        return history.streamed(self.path, KIND, history.export, state)

    def bounced(self) -> Iterator[Undelivered]:
        """Everybody who bounced or expired, in id order, streamed from a connection of its own."""
        return history.streamed(self.path, KIND, history.undelivered)

    def failures(self, limit: int) -> list[Failure]:
        """Why recipients bounced, expired, are deferred or in doubt: the most frequent reasons first."""
        with self._reading() as db:
            return history.failures(db, limit)

    def domains(self, limit: int) -> list[tuple[str, dict[str, int]]]:
        """The `limit` biggest domains, with the number of their recipients in each state."""
        with self._reading() as db:
            return history.domains(db, limit)

    @contextmanager
    def _recording(self) -> Iterator[Outcomes]:
        with self._writing() as db:
            outcomes = Outcomes(db, self._texts)
            yield outcomes
            outcomes.finish()

    def _rolled_back(self) -> None:
        self._texts.clear()

    def _in_parts(self, part: Callable[[Outcomes], int]) -> int:
        """Repeat `part`, a transaction each, until it finds nothing more to do."""
        total = 0
        while self.planned:  # killed while planning: there is nobody yet
            with self._recording() as outcomes:
                count = part(outcomes)
            if not count:
                break
            total += count
        return total


def _resend(word: str, other: str) -> bool:
    if word not in ("resend", other):
        raise ValueError(f"{word} is neither resend nor {other}")
    return word == "resend"
