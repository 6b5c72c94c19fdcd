"""Who must not be mailed any more, by any campaign of the project: `project.db`, shared by all its processes.

An address is found by its key: the mailbox in canonical form, in lower case throughout. RFC 5321 lets a host
tell `Ann` from `ann`; somebody who asked to be left alone is better served by one who does not.
What another process adds is noticed before the next MAIL, at the price of one PRAGMA where nothing was added;
what was added is never read as a whole, for it may be an import of millions: those at hand are asked for.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType

import apsw

from bulkmail.journal import files
from bulkmail.journal.files import rows, transaction
from bulkmail.smtp.address import AddressError, Mailbox

BATCH = 5_000  # addresses in one statement or transaction: an import never holds others up for long
COMPLAINTS = 100  # kept of an import; the rest are counted

SCHEMA = """
CREATE TABLE suppression (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: what is newer has a greater one
    address TEXT NOT NULL UNIQUE,               -- the key
    reason  TEXT NOT NULL,
    added   REAL NOT NULL                       -- UTC epoch seconds
) STRICT;
"""

KIND = files.Kind(
    name="project store",
    application_id=int.from_bytes(b"bkmp", "big"),
    version=1,
    schema=SCHEMA,
    advice="It holds who must not be mailed: put back a copy of it, or move it away and import the "
    "suppressions again before anything is sent.",
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """One address that is not mailed, why, and since when (UTC epoch seconds)."""

    address: str
    reason: str
    added: float


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `complaints`: the first rows that are no addresses, as (row from 1, text, why)."""

    added: int
    known: int
    invalid: int
    complaints: tuple[tuple[int, str, str], ...]


def suppression_key(address: str | Mailbox) -> str:
    """What an address is stored and looked up by. Raises AddressError where it is none."""
    return str(address if isinstance(address, Mailbox) else Mailbox.parse(address)).lower()


class Suppressions:
    """The suppressions of one project. Usable from several threads. Methods raise StoreError."""

    def __init__(self, path: Path, db: apsw.Connection) -> None:
        self.path = path
        self._db = db
        self._lock = threading.Lock()
        self._version = -1  # of the file as `changed` last saw it
        self._index: files.WalIndex | None = None  # the WAL's, which every commit of anybody changes
        self._seen = b""  # of it

    @classmethod
    def open(cls, path: Path) -> Suppressions:
        """Open the project's store, made where there is none (0600, in a 0700 directory)."""
        return cls(path, files.open_or_make(path, KIND))

    @classmethod
    def look(cls, path: Path) -> Suppressions:
        """Open it for reading only; where there is none, as an empty one, and none is made."""
        return cls(path, files.look(path, KIND))

    def close(self) -> None:
        with self._lock:
            self._db.close()
            if self._index is not None:  # after it: see WalIndex
                self._index.close()
                self._index = None

    def __enter__(self) -> Suppressions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- changing -------------------------------------------------------------------------------------

    def add(self, addresses: Iterable[str | Mailbox], reason: str, *, now: float | None = None) -> int:
        """Suppress addresses; durable when it returns. How many were not suppressed before.

        Raises AddressError, with nothing added, where one is none. Who is in keeps the first reason.
        """
        return self._insert([suppression_key(address) for address in addresses], reason, now)

    def import_(self, addresses: Iterable[str], reason: str, *, now: float | None = None) -> Imported:
        """Suppress a stream of addresses of any length, batch by batch; what is none is skipped and told."""
        added = known = invalid = 0
        complaints: list[tuple[int, str, str]] = []
        stream = enumerate(addresses, 1)
        while batch := list(islice(stream, BATCH)):
            keys = []
            for row, text in batch:
                try:
                    keys.append(suppression_key(text))
                except AddressError as error:
                    invalid += 1
                    if len(complaints) < COMPLAINTS:
                        complaints.append((row, text, str(error)))
            new = self._insert(keys, reason, now)
            added += new
            known += len(keys) - new
        return Imported(added, known, invalid, tuple(complaints))

    def add_each(self, reasons: Iterable[tuple[str, str]], *, now: float | None = None) -> int:
        """Suppress (address, reason) after (address, reason), of any number; durable when it returns.

        Raises AddressError where one is none. How many were not suppressed before.
        """
        added = time.time() if now is None else now
        count = 0
        stream = iter(reasons)
        while batch := list(islice(stream, BATCH)):
            count += self._insert_each([(suppression_key(one), reason, added) for one, reason in batch])
        return count

    def remove(self, addresses: Iterable[str | Mailbox]) -> int:
        """Mail these again. How many were suppressed. Raises AddressError where one is none."""
        keys = [(suppression_key(address),) for address in addresses]
        with self._using() as db:
            before = db.total_changes()
            with transaction(db):
                db.executemany("DELETE FROM suppression WHERE address = ?", keys)
            self._version = -1
            return db.total_changes() - before

    def take_back(
        self, reasons: Collection[str], domains: Collection[str] = (), *, dry_run: bool = False
    ) -> Iterator[Suppression]:
        """Those whose reason begins with one of `reasons`, of all domains or of `domains`: mail them again.

        Batch by batch, each durable before it is handed out. `dry_run`: nothing is changed.
        """
        beginning = " OR ".join(["substr(reason, 1, length(?)) = ?"] * len(reasons))
        query = f"""SELECT id, address, reason, added FROM suppression
            WHERE id > ? AND ({beginning}) ORDER BY id LIMIT {BATCH}"""
        texts = [text for reason in reasons for text in (reason, reason)]
        last = 0
        while True:
            with self._using() as db:
                page = rows(db, query, (last, *texts))
                last = page[-1][0] if page else last
                found = [row for row in page if not domains or row[1].rpartition("@")[2] in domains]
                if found and not dry_run:
                    with transaction(db):
                        db.executemany("DELETE FROM suppression WHERE id = ?", [row[:1] for row in found])
                    self._version = -1
            if not page:
                return
            yield from (Suppression(*row[1:]) for row in found)

    def _insert(self, keys: Collection[str], reason: str, now: float | None) -> int:
        added = time.time() if now is None else now
        return self._insert_each([(key, reason, added) for key in keys])

    def _insert_each(self, rows: Collection[tuple[str, str, float]]) -> int:
        with self._using() as db:
            before = db.total_changes()
            with transaction(db):
                db.executemany(
                    "INSERT OR IGNORE INTO suppression (address, reason, added) VALUES (?, ?, ?)", rows
                )
            self._version = -1  # data_version does not tell of what this very connection commits
            return db.total_changes() - before

    # --- asking ---------------------------------------------------------------------------------------

    def check(self, address: str | Mailbox) -> Suppression | None:
        """Why and since when `address` is suppressed, or None. Raises AddressError."""
        query = "SELECT address, reason, added FROM suppression WHERE address = ?"
        with self._using() as db:
            found = rows(db, query, (suppression_key(address),))
        return Suppression(*found[0]) if found else None

    def contains_many(self, addresses: Iterable[str]) -> set[str]:
        """Those of `addresses`, as they were given, that are suppressed; what is no address is not."""
        given: dict[str, list[str]] = {}
        for address in addresses:
            try:
                given.setdefault(suppression_key(address), []).append(address)
            except AddressError:
                continue
        return {address for key in self.contains_keys(given) for address in given[key]}

    def contains_keys(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` (`suppression_key`) that are suppressed: `contains_many` without the parsing."""
        query = """SELECT wanted.value FROM json_each(?) wanted
            WHERE EXISTS (SELECT 1 FROM suppression WHERE address = wanted.value)"""
        found: set[str] = set()
        stream = iter(keys)
        while batch := list(islice(stream, BATCH)):
            with self._using() as db:
                found.update(key for (key,) in db.execute(query, (json.dumps(batch),)))
        return found

    def reasons_of(self, keys: Iterable[str]) -> dict[str, str]:
        """Those of `keys` (`suppression_key`) that are suppressed, and why."""
        query = """SELECT wanted.value, s.reason FROM json_each(?) wanted
            JOIN suppression s ON s.address = wanted.value"""
        found: dict[str, str] = {}
        stream = iter(keys)
        while batch := list(islice(stream, BATCH)):
            with self._using() as db:
                found.update(rows(db, query, (json.dumps(batch),)))
        return found

    def changed(self) -> bool:
        """Whether anybody has changed the file since the last call; asked before each MAIL. At first: yes.

        Where nobody has, that is seen in memory that all who have the file open share, without a system call.
        """
        if self._index is not None and self._index.header() == self._seen:
            return False
        with self._using() as db:
            if self._index is None:
                self._index = files.wal_index(self.path)
            self._seen = b"" if self._index is None else self._index.header()
            version, self._version = self._version, rows(db, "PRAGMA data_version")[0][0]
            return version != self._version

    def newest(self) -> str:
        """What names the last one that was added: while it stays the same, nobody was added.

        Not its id alone: a store that was put back, or filled again, counts anew.
        """
        with self._using() as db:
            found = rows(db, "SELECT id, added FROM suppression ORDER BY id DESC LIMIT 1")
        return " ".join(map(repr, found[0])) if found else ""

    def __bool__(self) -> bool:
        """Whether anybody is suppressed; unlike their number, known at once."""
        with self._using() as db:
            return bool(rows(db, "SELECT 1 FROM suppression LIMIT 1"))

    def __len__(self) -> int:
        with self._using() as db:
            return int(rows(db, "SELECT count(*) FROM suppression")[0][0])

    def __iter__(self) -> Iterator[Suppression]:
        """All of them in the order of addition, in pages, so that nobody waits for the reader."""
        last = 0
        query = "SELECT id, address, reason, added FROM suppression WHERE id > ? ORDER BY id LIMIT ?"
        while True:
            with self._using() as db:
                page = rows(db, query, (last, BATCH))
            if not page:
                return
            last = page[-1][0]
            yield from (Suppression(*row[1:]) for row in page)

    @contextmanager
    def _using(self) -> Iterator[apsw.Connection]:
        with self._lock, files.told(self.path, KIND):
            yield self._db
