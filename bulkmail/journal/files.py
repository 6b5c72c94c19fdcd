"""How our SQLite files are made, opened, and what is said when one of them cannot be used.

Each is private to its user (0600 in a 0700 directory), in WAL mode, and synced on every commit: what was
acknowledged as recorded survives a power loss (FAULTS.md J2). A file appears under its name only once it is
whole, so a kill leaves either no file or one that opens.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from bulkmail.errors import DiskRefused, StoreError, refusal
from bulkmail.journal.log_file import sync_directory

BUSY_MS = 10_000  # another process of ours commits within milliseconds; ten seconds means it is stuck
PAGE_OCTETS = 16_384  # of new files: each page is written twice and read once, with two calls a write
CACHE_KIB = 2_048  # what is read is read once, and what is written is written behind the last
INDEX_HEADER = 48  # octets of the header of a WAL's index
CHECKPOINT_PAGES = 1_000  # 16 MB of WAL: a checkpoint syncs twice, so not after every few commits


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file of ours is: how it is called for people, its marks, and what to do where it is unusable."""

    name: str
    application_id: int
    version: int
    schema: str
    advice: str  # what to do when the file is damaged or is not ours


def make(path: Path, kind: Kind, fill: Callable[[apsw.Connection], object] = id) -> apsw.Connection:
    """Create the file `path` of `kind`; `fill` is given it within the transaction that makes the schema.

    Raises StoreError, also where the file exists already.
    """
    if not _make(path, kind, fill):
        raise StoreError(f"{path}: exists already")
    return connect(path, kind)


def open_or_make(path: Path, kind: Kind) -> apsw.Connection:
    """`connect`, after `make` where there is no such file: right also when two processes do it at once."""
    if not path.exists():
        _make(path, kind, id)
    return connect(path, kind)


def look(path: Path, kind: Kind) -> apsw.Connection:
    """To read only; where there is none, an empty one in memory: none is made. Raises StoreError."""
    if path.exists():
        return connect(path, kind, read_only=True)
    nothing = apsw.Connection(":memory:")
    nothing.execute(kind.schema)
    return nothing


def _make(path: Path, kind: Kind, fill: Callable[[apsw.Connection], object]) -> bool:
    """Whether the file was made; False where it existed by the time it was our turn."""
    try:
        make_directory(path.parent)
        with directory_locked(path.parent), told(path, kind):
            if path.exists():
                return False
            new = path.with_name(path.name + ".new")
            for leftover in (new, *beside(new), *beside(path)):
                leftover.unlink(missing_ok=True)
            os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            _fill(new, kind, fill)
            os.rename(new, path)
    except OSError as error:
        raise refusal(error, f"{path}: cannot be created") from error
    return True


def _fill(path: Path, kind: Kind, fill: Callable[[apsw.Connection], object]) -> None:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.pragma("page_size", PAGE_OCTETS)
        db.pragma("journal_mode", "WAL")
        with transaction(db):
            db.execute(kind.schema)
            db.pragma("application_id", kind.application_id)
            db.pragma("user_version", kind.version)
            fill(db)
        # Closing does it, too, but says nothing where the disk refuses; and without its WAL, which keeps
        # the old name, the file would be an empty shell.
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        db.close()


def connect(path: Path, kind: Kind, *, read_only: bool = False) -> apsw.Connection:
    """Open `path`. Raises StoreError saying what to do: missing, not ours, damaged, newer (J6)."""
    if not path.exists():
        raise StoreError(f"{path}: there is no {kind.name} here")
    db: apsw.Connection | None = None
    try:
        with told(path, kind):
            mode = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
            db = apsw.Connection(str(path), flags=mode)
            db.set_busy_timeout(BUSY_MS)
            if db.pragma("application_id") != kind.application_id:
                raise StoreError(f"{path}: is not a {kind.name} of bulkmail. {kind.advice}")
            version = db.pragma("user_version")
            if version > kind.version:
                raise StoreError(
                    f"{path}: was written by a newer bulkmail (format {version}, this one knows "
                    f"{kind.version}). Upgrade bulkmail; nothing was changed."
                )
            db.pragma("cache_size", -CACHE_KIB)
            if not read_only:
                db.pragma("journal_mode", "WAL")
                db.pragma("synchronous", "FULL")
                db.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    except BaseException:
        if db is not None:
            db.close()
        raise
    return db


@contextmanager
def told(path: Path, kind: Kind) -> Iterator[None]:
    """Whatever SQLite raises becomes a StoreError that says what to do."""
    try:
        yield
    except (
        apsw.CorruptError,
        apsw.NotADBError,
        UnicodeDecodeError,
    ) as error:  # SQLite reads any octets as text
        raise StoreError(f"{path}: is damaged, or is not a {kind.name}: {error}. {kind.advice}") from error
    except apsw.FullError as error:
        raise DiskRefused(f"{path}: the disk is full. Make room and run again.") from error
    except apsw.IOError as error:
        raise DiskRefused(f"{path}: the disk is full or fails ({error}). Mend that and run again.") from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreError(f"{path}: another process is writing to it and does not finish") from error
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError) as error:
        if not isinstance(error, apsw.PermissionsError) and _may_write(path):
            # what could not be opened to be written has SQLite open to be read
            raise DiskRefused(
                f"{path}: cannot be opened: {error}. The disk is full or fails; mend that and run again."
            ) from error
        raise StoreError(f"{path}: cannot be opened: {error}. Look at its owner and mode.") from error
    except apsw.Error as error:
        raise StoreError(f"{path}: {type(error).__name__}: {error}") from error


def _may_write(path: Path) -> bool:
    """Nothing but the disk itself keeps us from it."""
    return os.access(path.parent, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))


@contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """All of it is written, and synced, or none.

    Not apsw's own: where SQLite has rolled back already (disk full, I/O error) that one tries to do it again,
    and its complaint hides the reason.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def rows(db: apsw.Connection, query: str, bindings: Sequence[apsw.SQLiteValue] = ()) -> list[Any]:
    """All rows of a query, as tuples: read before anything else is written."""
    return db.execute(query, bindings).fetchall()


def make_directory(path: Path) -> None:
    """Make `path` and its parents; what is made is for its user alone, what exists is left as it is.

    It is on disk, name and all: else a power cut could take it away, and whatever was synced in it. OSError.
    """
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_directory(path.parent)


def beside(path: Path) -> tuple[Path, Path]:
    """The files that SQLite keeps beside `path`. Those of a deleted one would spoil a new one."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


class WalIndex:
    """The header of the index that SQLite keeps of the WAL of `path`; or OSError or ValueError.

    Its counter of changes is part of the documented format (sqlite.org/walformat.html, section 2.1), and the
    file stays as long as anybody, such as we, has the store open. To be closed after the store: to close any
    descriptor of a file gives up all locks that the process has on it (POSIX), and so those of SQLite.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(path.name + "-shm").open("rb")
        self._map = mmap.mmap(self._file.fileno(), INDEX_HEADER, prot=mmap.PROT_READ)

    def header(self) -> bytes:
        """It changes with every commit of anybody."""
        return self._map[:INDEX_HEADER]

    def close(self) -> None:
        self._map.close()
        self._file.close()


def wal_index(path: Path) -> WalIndex | None:
    """None where there is none (yet)."""
    try:
        return WalIndex(path)
    except (OSError, ValueError):
        return None


@contextmanager
def directory_locked(path: Path) -> Iterator[None]:
    """One process at a time makes files in `path`; what was made is on disk, name and all, afterwards."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
