"""The journal of a worker, which writes a log of its own and reads the store that another process writes; and
the ledger over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import trio

from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.learning import Learning
from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.campaign.prepare import Prepared
from bulkmail.campaign.writers import Writers, threads_for
from bulkmail.journal import Intent, Log, LogName, Record, Store, Suppressions

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


@contextmanager
def ledger_of(prepared: Prepared, log: LogName, learned: Learning, *, of: int) -> Iterator[CampaignLedger]:
    """What a worker, one `of` so many, notes in its log, reads in the store and writes letters with."""
    path, accounting = prepared.campaign.log, None
    with ExitStack() as stack:
        if path is not None:
            accounting = AccountingLog(path, prepared.campaign.campaign)
            stack.callback(accounting.close)
        notebook = stack.enter_context(Notebook(log))  # closed before: what is to be accounted for is written
        threads = threads_for(prepared.composer, processes=of)
        writers = Writers(threads) if threads else None
        if writers is not None:
            stack.callback(writers.close)
        suppressions = stack.enter_context(Suppressions.look(prepared.suppressions.path))
        yield CampaignLedger(
            notebook,
            prepared.composer,
            suppressions,
            accounting,
            now=time.time,
            suppressed_until=prepared.suppressed_until,
            writers=writers,
            checks=learned.checks,
        )
