"""`sites.db`: what the project knows of the sites it sends to, and which of its campaigns sends where now.

It lies beside `project.db` and is not a part of it. Who must not be mailed is synced with every change, must
never be lost, and makes every campaign look again before its next MAIL; what is in here is worth nothing of
that. It may be moved away at any time when nobody sends: then it is learned anew. So a commit is not synced,
and nobody waits for a writer for longer than a moment, for it is written by the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

from bulkmail.errors import DiskRefused, StoreError
from bulkmail.journal import files

NAME = "sites.db"
BUSY_MS = 500  # others commit within a millisecond

SCHEMA = """
CREATE TABLE learned (
    site  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    value REAL NOT NULL,
    at    REAL NOT NULL,   -- UTC epoch seconds: when it was met last
    until REAL NOT NULL,   -- and when it is to be forgotten
    PRIMARY KEY (site, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX learned_until ON learned (until);
CREATE TABLE sender (
    id       INTEGER PRIMARY KEY AUTOINCREMENT, -- also the octet of the lock file that it holds
    campaign TEXT NOT NULL,
    first    INTEGER NOT NULL,                  -- 1: its mail goes before that of others (transactional)
    sharing  INTEGER NOT NULL                   -- 0: it believes to be alone, and holds what it wants
) STRICT;
CREATE TABLE lease (
    scope   TEXT NOT NULL,
    sender  INTEGER NOT NULL REFERENCES sender,
    place   INTEGER NOT NULL,  -- the order among those of the scope
    changed INTEGER NOT NULL,  -- the number of the division that holds now: the same for all of the scope
    seen    INTEGER NOT NULL,  -- that of the last one that this sender keeps to
    starved INTEGER NOT NULL DEFAULT 0,  -- its part of that is nothing
    terms   TEXT NOT NULL DEFAULT '',    -- its own limits there, which hold for all who send there
    PRIMARY KEY (scope, sender)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_sender ON lease (sender);
"""

KIND = files.Kind(
    name="store of sites",
    application_id=int.from_bytes(b"bkms", "big"),
    version=1,
    schema=SCHEMA,
    advice="It holds only what was learned of sites: while no campaign runs, move it away.",
)


def site_store(project_state: Path) -> Path:
    """Where it is, in the state directory of a project."""
    return project_state / NAME


class SiteFile:
    """One connection to it, to be used by one thread. Methods raise StoreError."""

    def __init__(self, path: Path, db: apsw.Connection) -> None:
        self.path = path
        self._db = db
        self._refused: DiskRefused | None = None
        self._index: files.WalIndex | None = None  # the WAL's, which every commit of anybody changes
        self._seen = b""  # of it

    @classmethod
    def open(cls, path: Path) -> Self:
        """Made where there is none (0600, in a 0700 directory)."""
        db = files.open_or_make(path, KIND)
        db.set_busy_timeout(BUSY_MS)
        db.pragma("synchronous", "NORMAL")
        with files.told(path, KIND):
            _complete(db)
        return cls(path, db)

    @classmethod
    def look(cls, path: Path) -> Self:
        """To read only; where there is none, as an empty one, and none is made."""
        return cls(path, files.look(path, KIND))

    def close(self) -> None:
        self._db.close()
        if self._index is not None:  # after it: see WalIndex
            self._index.close()
            self._index = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def changed(self) -> bool:
        """Whether anybody may have changed it since the last call; mostly told without a system call."""
        if self._index is None:
            self._index = files.wal_index(self.path)
        if self._index is None:
            return True
        seen, self._seen = self._seen, self._index.header()
        return seen != self._seen

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        with self._noticed(), files.told(self.path, KIND):
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        with self._noticed(), files.told(self.path, KIND), files.transaction(self._db):
            yield self._db

    def check(self) -> None:
        """Raise DiskRefused where the disk has refused a page: the journal lies on the same one."""
        if self._refused is not None:
            raise DiskRefused(str(self._refused)) from self._refused

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        try:
            yield
        except DiskRefused as error:
            self._refused = error
            raise


def _complete(db: apsw.Connection) -> None:
    """One that was made before campaigns told each other their limits."""
    query = "SELECT 1 FROM pragma_table_info('lease') WHERE name = 'terms'"
    if not files.rows(db, query):
        with files.transaction(db):
            if not files.rows(db, query):
                db.execute("ALTER TABLE lease ADD COLUMN terms TEXT NOT NULL DEFAULT ''")


@contextmanager
def dispensable() -> Iterator[None]:
    """What is done to the file in this block may fail, but for a disk that is full or fails: DiskRefused."""
    try:
        yield
    except DiskRefused:
        raise
    except StoreError:
        return


@contextmanager
def at_last(act: Callable[[], object]) -> Iterator[None]:
    """Do it to the file after the block, `dispensable`; where that has failed, its error is what is told."""
    try:
        yield
    except BaseException:
        with suppress(StoreError):
            act()
        raise
    with dispensable():
        act()
