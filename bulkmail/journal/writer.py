"""Group commit: one sync serves every session that is waiting for one.

A sync takes as long for one record as for a thousand. So while the disk is busy, what callers bring gathers;
when it is free, one of them (the leader) writes everything that has gathered, in the order it came, and the
others (the followers) only wait. There is no task of its own to start, to stop, or to die unnoticed.

A caller that is cancelled while it gathers takes its data out again; once the leader has handed the group to
the disk it is in, whole. A cancelled follower may then not see the end of the commit, but the order of the
commits is kept: what it closes later is closed after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import trio

from bulkmail.errors import StoreError
from bulkmail.journal.records import Intent, Record
from bulkmail.journal.store import Batch, Store

P = ParamSpec("P")
T = TypeVar("T")


class _Waiting:
    """One caller's data, until it is on disk."""

    __slots__ = ("batch", "done", "failure", "woken")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.done = False
        self.failure: StoreError | None = None
        self.woken = trio.Event()  # done, or it is this one's turn to lead


class Journal:
    """The store for tasks. All writing of a run goes through here, or through `call`."""

    def __init__(
        self, store: Store, *, run_sync: Callable[..., Awaitable[object]] = trio.to_thread.run_sync
    ) -> None:
        self.store = store
        self.commits = 0  # groups written, to see how well they share
        self._run_sync = run_sync
        self._queue: list[_Waiting] = []
        self._writing = False
        self._failure: StoreError | None = None
        self._reader: Store | None = None

    async def commit(
        self, records: Sequence[Record] = (), intents: Sequence[Intent] = (), closed: Sequence[int] = ()
    ) -> None:
        """Durable when it returns. Raises StoreError if it failed, and ever after (FAULTS.md J3)."""
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure
        mine = _Waiting((records, intents, closed))
        self._queue.append(mine)
        try:
            while not mine.done:
                if self._writing:
                    await mine.woken.wait()
                    mine.woken = trio.Event()
                else:
                    await self._lead()
        except BaseException:
            if mine in self._queue:
                self._queue.remove(mine)
                self._pass_on()
            raise
        if mine.failure is not None:
            raise StoreError(str(mine.failure)) from mine.failure

    async def _lead(self) -> None:
        """Write all that has gathered. Cancelled before the disk has it, the group goes back in the queue."""
        group: list[_Waiting] = []
        reached = "queue"

        def write() -> None:
            nonlocal reached
            reached = "store"
            self.store.commit_all([waiting.batch for waiting in group])
            reached = "disk"

        self._writing = True
        try:
            # One round of the scheduler: who is about to bring something in the same tick can join.
            await trio.lowlevel.checkpoint()
            group, self._queue = self._queue, []
            await self._run_sync(write)
        except BaseException as error:
            if reached == "queue" and isinstance(error, trio.Cancelled):
                self._queue = group + self._queue
                group = []
            elif reached != "disk":
                self._fail(error, group)
                group, self._queue = group + self._queue, []
            if not isinstance(error, Exception):
                raise
        finally:
            self._writing = False
            self.commits += reached == "disk"
            for waiting in group:
                waiting.done = True
                waiting.woken.set()
            self._pass_on()

    def _fail(self, error: BaseException, group: Sequence[_Waiting]) -> None:
        failure = error if isinstance(error, StoreError) else StoreError(f"the commit failed: {error!r}")
        self._failure = failure
        for waiting in (*group, *self._queue):
            waiting.failure = failure

    def _pass_on(self) -> None:
        """Whoever waits longest leads next."""
        if self._queue and not self._writing:
            self._queue[0].woken.set()

    async def call(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the store that writes, such as `Store.due`, in a thread, between two commits."""
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure
        found: list[T] = []
        await self._run_sync(lambda: found.append(fn(self.store, *args, **kwargs)))
        return found[0]

    async def read(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a thread with a second, read-only store, which waits for no commit: `Store.totals`."""
        found: list[T] = []

        def query() -> None:
            if self._reader is None:
                self._reader = Store.open(self.store.path, read_only=True)
            found.append(fn(self._reader, *args, **kwargs))

        await self._run_sync(query)
        return found[0]

    def close(self) -> None:
        """Close the reader; the store belongs to who opened it."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
