"""The journal of a worker: it writes a log of its own, and reads the store that another process writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import trio

from bulkmail.journal import Intent, Log, LogName, Record, Store

P = ParamSpec("P")
T = TypeVar("T")


class Notebook:
    """What a ledger needs of a journal. Closed at the end of its `with`. Everything may raise StoreError."""

    def __init__(self, name: LogName) -> None:
        self._log = Log(name)
        self._reader = Store.open(name.journal, read_only=True)
        self._reading = trio.Lock()  # it answers one at a time: no thread for each who waits

    def append(
        self,
        records: Sequence[Record] = (),
        intents: Sequence[Intent] = (),
        closed: Sequence[int] = (),
        then: Callable[[], None] | None = None,
    ) -> None:
        """See Log.append."""
        self._log.append(records, intents, closed, then)

    async def sync(self) -> None:
        """See Log.sync."""
        await self._log.sync()

    def check(self) -> None:
        """See Log.check."""
        self._log.check()

    async def read(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a thread with the store as the parent left it last, for reading only."""
        async with self._reading:
            return await trio.to_thread.run_sync(lambda: fn(self._reader, *args, **kwargs))

    def close(self) -> None:
        """What was appended is on disk. Idempotent."""
        try:
            self._log.close()
        finally:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
