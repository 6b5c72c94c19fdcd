"""The connection that a store stands on, and the two ways in: to read, and to write in a transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal import files


class StoreFile:
    """One call at a time, from any thread. Once a commit has failed, no later one is tried (FAULTS.md J3)."""

    def __init__(self, path: Path, db: apsw.Connection, kind: files.Kind) -> None:
        self.path = path
        self._db = db
        self._kind = kind
        self._lock = threading.RLock()
        self._failed: str | None = None

    def close(self) -> None:
        """Idempotent. Without it nothing is lost either, only a WAL file is left to be read again."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        with self._lock, files.told(self.path, self._kind):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        with self._lock:
            if self._failed is not None:
                raise StoreError(f"{self.path}: an earlier commit failed ({self._failed}); run again")
            try:
                with files.told(self.path, self._kind), files.transaction(self._db):
                    yield self._db
            except BaseException as error:
                self._rolled_back()
                if isinstance(error.__cause__, apsw.Error):
                    self._failed = str(error)
                raise

    def _rolled_back(self) -> None:
        """What was remembered of the transaction may not be in the file."""
