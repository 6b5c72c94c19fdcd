"""Who writes to the disk: whoever asks, while that is over in no time, else a thread.

A sync of a good disk takes 0.15 to 0.3 ms. Two hops between threads, and the struggle for the interpreter,
cost as much, all of it processor time; so it is done on the spot. A disk that is slow, and not just once in a
while, gets a thread, for tasks go on meanwhile, and is tried again later, each time later than the last. A
thread of our own takes a third of what `trio.to_thread` costs. A test with a clock of its own gives the log a
disk of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import trio

Work = Callable[[], None]
Done = Callable[[BaseException | None], None]


SLOW_S = 0.001  # with more, the loop stands still for longer than the hops take, though it had little to do
FORGIVEN = 8  # quick ones in a row make up for one that was slow
LEAST, MOST = 16, 4_096  # works that the thread does after one that was slow


class Disk(Protocol):
    """Where a log has its writing done."""

    def submit(self, work: Work, done: Done) -> None:
        """Do `work`, now or later; then call `done` in the submitter's thread, with what `work` raised.

        One at a time: the next is submitted when `done` was called, or by it. Where it raises RuntimeError,
        there is no thread to be had, and neither is done or called.
        """

    def close(self) -> None:
        """End. All that was submitted is done, and `done` was called, when it returns. Idempotent."""


class QuickDisk:
    """The disk of a run: on the spot, or in `thread` after that was slow again and again."""

    def __init__(self, thread: Disk | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._thread = DiskThread() if thread is None else thread
        self._clock = clock
        self._away = 0  # works that the thread is still to do before it is tried again here
        self._penalty = LEAST
        self._quick = FORGIVEN  # in a row

    def submit(self, work: Work, done: Done) -> None:
        if self._away:
            self._away -= 1
            with contextlib.suppress(RuntimeError):  # no thread to be had: here, then (T6)
                self._thread.submit(work, done)
                return
        began = self._clock()
        failure = attempt(work)
        if self._clock() - began <= SLOW_S:
            self._quick += 1
            self._penalty = max(LEAST, self._penalty - 1)  # slow now and then is no reason to stay away long
        else:
            if self._quick < FORGIVEN:
                self._away = self._penalty
                self._penalty = min(2 * self._penalty, MOST)
            self._quick = 0
        done(failure)

    def close(self) -> None:
        self._thread.close()


class DiskThread:
    """Every work in a thread, which begins with the first."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Work, Done, trio.lowlevel.TrioToken] | None] = SimpleQueue()
        self._finished: deque[tuple[Done, BaseException | None]] = deque()
        self._thread: Thread | None = None

    def submit(self, work: Work, done: Done) -> None:
        if self._thread is None:
            # a daemon: whoever leaves without closing is not held up at the end of the process
            thread = Thread(target=self._loop, name="journal", daemon=True)
            thread.start()
            self._thread = thread  # only one that has begun can be waited for
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
            self._finished.append((done, attempt(work)))
            with contextlib.suppress(trio.RunFinishedError):  # then `close` delivers
                token.run_sync_soon(self._deliver)

    def _deliver(self) -> None:
        while self._finished:
            done, failure = self._finished.popleft()
            done(failure)


def attempt(work: Work) -> BaseException | None:
    """What it raised."""
    try:
        work()
    except BaseException as error:
        return error
    return None
