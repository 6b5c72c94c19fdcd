"""The journal of a worker: it writes a log of its own, and reads the store that another process writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

import trio

from bulkmail.journal import Intent, Log, LogName, Record, Store

P = ParamSpec("P")
T = TypeVar("T")


class Notebook:
    """What a ledger needs of a journal. `with` it. Everything may raise StoreError."""

    def __init__(self, name: LogName) -> None:
        self._log = Log(name)
        self._path = name.journal
        self._reader: Store | None = None

    def append(
        self, records: Sequence[Record] = (), intents: Sequence[Intent] = (), closed: Sequence[int] = ()
    ) -> None:
        """See Log.append."""
        self._log.append(records, intents, closed)

    async def sync(self) -> None:
        """See Log.sync."""
        await self._log.sync()

    async def read(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a thread with the store as the parent left it last, for reading only."""
        found: list[T] = []

        def query() -> None:
            if self._reader is None:
                self._reader = Store.open(self._path, read_only=True)
            found.append(fn(self._reader, *args, **kwargs))

        await trio.to_thread.run_sync(query)
        return found[0]

    def close(self) -> None:
        """What was appended is on disk. Idempotent."""
        try:
            self._log.close()
        finally:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def __enter__(self) -> Notebook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
