"""A thread that writes to the disk while tasks go on.

What is handed to it takes two hops between threads, and no thread is started for it: a third of what
`trio.to_thread` costs, which matters where hundreds of writes a second are waited for. A test with a clock
of its own gives the log a disk of its own.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import trio

Work = Callable[[], None]
Done = Callable[[BaseException | None], None]


class Disk(Protocol):
    """Where a log has its writing done."""

    def submit(self, work: Work, done: Done) -> None:
        """Do `work`, at some time; then call `done` in the submitter's thread, with what `work` raised."""

    def close(self) -> None:
        """End. All that was submitted is done, and `done` was called, when it returns. Idempotent."""


class DiskThread:
    """The disk of a run. The thread begins with the first work."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Work, Done, trio.lowlevel.TrioToken] | None] = SimpleQueue()
        self._finished: deque[tuple[Done, BaseException | None]] = deque()
        self._thread: Thread | None = None

    def submit(self, work: Work, done: Done) -> None:
        if self._thread is None:
            # a daemon: whoever leaves without closing is not held up at the end of the process
            self._thread = Thread(target=self._loop, name="journal", daemon=True)
            self._thread.start()
        self._work.put((work, done, trio.lowlevel.current_trio_token()))

    def close(self) -> None:
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None
            self._deliver()

    def _loop(self) -> None:
        while (job := self._work.get()) is not None:
            work, done, token = job
            failure: BaseException | None = None
            try:
                work()
            except BaseException as error:
                failure = error
            self._finished.append((done, failure))
            with contextlib.suppress(trio.RunFinishedError):  # then `close` delivers
                token.run_sync_soon(self._deliver)

    def _deliver(self) -> None:
        while self._finished:
            done, failure = self._finished.popleft()
            done(failure)
