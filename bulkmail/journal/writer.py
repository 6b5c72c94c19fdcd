"""The journal for the tasks of a run: what happens is logged at once, and taken into the store soon after.

Only what is on disk in the log is taken in, so the store never knows more than the log, and a mark in the
store says how far it knows. What a task must find in the store it asks for by `call`, which takes in before.
Worker processes have logs of their own; the journal follows those, and takes them in with its own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar, cast

import trio

from bulkmail.errors import StoreError
from bulkmail.journal.disk import Disk
from bulkmail.journal.intake import Intake
from bulkmail.journal.log import Log
from bulkmail.journal.log_file import LogName
from bulkmail.journal.records import Due, Entry, Intent, Mark, Record, size
from bulkmail.journal.store import Store

P = ParamSpec("P")
T = TypeVar("T")

LAG_S = 0.5  # how long what is synced may wait to be taken in
MANY = 10_000  # records and intents that are taken in at once, without waiting
MOST = 50_000  # not taken in; whoever syncs waits until they are
LEAVING = 4  # readers that go on in one turn of the loop: a thousand at once take more memory


class _Query:
    """What one caller of `Journal.read` wants to know."""

    def __init__(self, ask: Callable[[Store], object]) -> None:
        self.ask = ask
        self.answered = False
        self.found: object = None
        self.failure: Exception | None = None


class Journal:
    """The store for tasks: all writing of a run goes through it. After one failure everything fails."""

    def __init__(
        self,
        store: Store,
        *,
        disk: Disk | None = None,
        run_sync: Callable[..., Awaitable[object]] = trio.to_thread.run_sync,
    ) -> None:
        self.store = store
        self._run_sync = run_sync
        self._log = Log(store.new_log(), disk=disk, written=self._written)
        self._intake = Intake(store)
        self._ready: deque[tuple[Sequence[Entry], Mark]] = deque()  # synced, not taken in
        self._behind = 0  # records and intents of those
        self._turn = trio.Lock()  # whose turn it is to take in
        self._some, self._many = trio.Event(), trio.Event()
        self._reader: Store | None = None
        self._closed = False
        self._reading = False  # somebody is in the thread, for all
        self._asking = trio.lowlevel.ParkingLot()  # who waits to be answered
        self._leaving = trio.lowlevel.ParkingLot()  # who is, and goes on soon
        self._queries: list[_Query] = []
        self._no_sooner = -math.inf  # than this is anybody due

    # --- writing --------------------------------------------------------------------------------------

    def append(
        self,
        records: Sequence[Record] = (),
        intents: Sequence[Intent] = (),
        closed: Sequence[int] = (),
        then: Callable[[], None] | None = None,
    ) -> None:
        """Say what happened: intents are closed, records apply, intents are opened. Order is kept.

        Durable after the next `sync`, whoever asks for it; for `then` see Log.append. Raises StoreError if
        anything failed before (FAULTS.md J3).
        """
        self._log.append(records, intents, closed, then)
        for record in records:
            if record.due is not None or record.state == "pending":
                self._no_sooner = min(self._no_sooner, record.at if record.due is None else record.due)
        self._some.set()

    async def sync(self) -> None:
        """All that was appended before the call is durable when it returns. Raises StoreError.

        A caller that is cancelled takes nothing back.
        """
        await self._log.sync()
        if self._behind > MOST:
            async with self._turn:
                if self._behind > MOST:
                    await self._visit_now(nothing)

    def check(self) -> None:
        """Raise StoreError where something has failed. Cheap: asked before each MAIL."""
        self._log.check()

    async def commit(
        self, records: Sequence[Record] = (), intents: Sequence[Intent] = (), closed: Sequence[int] = ()
    ) -> None:
        """`append` and `sync`."""
        self.append(records, intents, closed)
        await self.sync()

    async def keep_up(self) -> None:
        """Take in what is logged, again and again, until cancelled. StoreError."""
        while True:
            await self._some.wait()
            with trio.move_on_after(LAG_S):
                await self._many.wait()
            self._some, self._many = trio.Event(), trio.Event()
            await self._log.sync()
            if self._ready or self._intake.following:
                await self._visit(nothing)

    # --- reading, and writing without the log ---------------------------------------------------------

    async def call(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the store in a thread, all that was appended being taken in: `Store.totals`."""
        try:
            return await self._ask(lambda: fn(self.store, *args, **kwargs))
        finally:
            self._no_sooner = -math.inf  # who knows what it did

    async def due(self, now: float, limit: int) -> list[Due]:
        """`Store.due`; not asked where nobody can be due, as far as the store and we ourselves have said."""
        if now < self._no_sooner:
            await trio.lowlevel.checkpoint()
            return []
        self._no_sooner = math.inf  # but for what is said from now on
        soonest = -math.inf
        try:
            found, then = await self._ask(lambda: (self.store.due(now, limit), self.store.next_due(now)))
            if not self._intake.following:  # what others say we do not hear
                soonest = math.inf if then is None else then
        finally:
            self._no_sooner = min(self._no_sooner, soonest)
        return found

    async def next_due(self, now: float, *, surely: bool) -> float | None:
        """`Store.next_due`; unless `surely`, it may be that nobody is due at that time after all."""
        if self._no_sooner > now and not surely:
            await trio.lowlevel.checkpoint()
            return self._no_sooner if self._no_sooner < math.inf else None
        return await self._ask(lambda: self.store.next_due(now))

    async def read(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a thread with a second, read-only store, which waits for nothing: `Store.totals`.

        What is not taken in yet it does not know. StoreError once it is closed.
        """
        query = _Query(lambda reader: fn(reader, *args, **kwargs))
        self._queries.append(query)
        try:
            while not query.answered:
                if self._closed:  # nobody would close what is opened now
                    raise StoreError(f"{self.store.path}: is closed")
                if self._reading:
                    await self._asking.park()
                    continue
                self._reading = True
                queries, parked = self._queries.copy(), len(self._asking)
                try:
                    await self._run_sync(partial(self._answer, queries))
                finally:
                    self._queries = [one for one in self._queries if not one.answered]
                    self._reading = False
                    if query not in self._queries:  # the journey was not cancelled before it began
                        self._asking.repark(self._leaving, count=parked)
                        self._leaving.unpark(count=LEAVING)
        finally:  # whoever leaves, cancelled or not, lets another leave, and another ask
            self._leaving.unpark()
            if not self._reading:
                self._asking.unpark()
        if query.failure is not None:
            raise query.failure
        return cast("T", query.found)

    def _answer(self, queries: Sequence[_Query]) -> None:
        """In a thread: one journey for all who wait, who may be a thousand sessions."""
        for query in queries:
            try:
                if self._reader is None:
                    self._reader = Store.open(self.store.path, read_only=True)
                query.found = query.ask(self._reader)
            except Exception as error:
                query.failure = error
            query.answered = True

    # --- the logs of other processes ------------------------------------------------------------------

    def follow(self, name: LogName) -> None:
        """From now on, take in this log, too: one from `Store.new_log`, that a worker process writes."""
        self._intake.follow(name)

    def told(self) -> None:
        """A log that we follow has grown. Cheap; without it a `call` would take it in all the same."""
        self._some.set()

    async def unfollow(self, log: int, on_doubt: str, now: float) -> int:
        """The process that wrote this log is gone: take in the rest; who is in its open intents is in doubt.

        Returns how many recipients that were; for `on_doubt` see Store.recover.
        """
        try:
            return await self._ask(lambda: self._intake.unfollow(log, on_doubt, now))
        finally:
            self._no_sooner = -math.inf

    # --- the end --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take in the rest. Idempotent; `call` goes on answering. Raises StoreError.

        After a failure nothing is taken in: the log holds it, for `Store.recover`.
        """
        self._closed = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        try:
            self._log.close()
            if self._log.failure is None:
                self._intake.take_in(self._ready)
                self._ready.clear()
                self._behind = 0
                self._intake.forget(self._log.name.log)
        finally:
            self._intake.close()

    # --- within ---------------------------------------------------------------------------------------

    def _written(self, entries: Sequence[Entry], mark: Mark) -> None:
        self._ready.append((entries, mark))
        self._behind += size(entries)
        if self._behind >= MANY:
            self._many.set()

    async def _ask(self, work: Callable[[], T]) -> T:
        """`work`, all that was appended being taken in."""
        await self._log.sync()
        return await self._visit(work)

    async def _visit(self, work: Callable[[], T]) -> T:
        """Take in what is synced, then `work`, in one visit to the store."""
        async with self._turn:
            return await self._visit_now(work)

    async def _visit_now(self, work: Callable[[], T]) -> T:
        self._log.check()
        groups = list(self._ready)
        taken = False
        found: list[T] = []

        def visit() -> None:
            nonlocal taken
            self._intake.take_in(groups)
            taken = True
            found.append(work())

        try:
            await self._run_sync(visit)
        except Exception as error:
            if not taken:
                self._log.fail(error)
                self._log.check()
            raise
        finally:
            if taken:
                for entries, _ in groups:
                    self._ready.popleft()
                    self._behind -= size(entries)
        return found[0]


def nothing() -> None:
    """What to do in the store beside taking in."""
