"""Who writes to the disk: the caller while it is quick, a thread after it was slow."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import trio

from bulkmail.journal.disk import FORGIVEN, LEAST, MOST, SLOW_S, DiskThread, QuickDisk


class Clock:
    """Time passes where a work lets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def where(disk: QuickDisk | DiskThread, work: Callable[[], None]) -> tuple[str, BaseException | None]:
    """Who did it, and what it came to."""
    told, told_of = trio.Event(), []
    names: list[str] = []

    def done(failure: BaseException | None) -> None:
        told_of.append(failure)
        told.set()

    def noted() -> None:
        names.append("here" if threading.current_thread() is threading.main_thread() else "thread")
        work()

    disk.submit(noted, done)
    await told.wait()
    return names[0], told_of[0]


async def test_what_is_quick_is_done_before_it_is_waited_for() -> None:
    disk, done = QuickDisk(clock=Clock()), []
    disk.submit(lambda: None, done.append)
    assert done == [None]


async def test_when_it_is_slow_again_a_thread_does_the_next_and_longer_each_time() -> None:
    clock = Clock()
    disk = QuickDisk(clock=clock)

    def slow() -> None:
        clock.now += 2 * SLOW_S

    found = [(await where(disk, slow))[0] for _ in range(2 + LEAST + 1 + 2 * LEAST + 1)]
    disk.close()
    assert found == ["here", "here", *["thread"] * LEAST, "here", *["thread"] * 2 * LEAST, "here"]


async def test_where_there_is_no_thread_to_be_had_it_is_done_here() -> None:
    """T6."""
    clock = Clock()

    class Without:
        def submit(self, work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
            raise RuntimeError("can't start new thread")

        def close(self) -> None:
            pass

    def slow() -> None:
        clock.now += 2 * SLOW_S

    disk = QuickDisk(Without(), clock)
    assert [await where(disk, slow) for _ in range(4)] == [("here", None)] * 4


async def test_one_that_is_slow_after_many_quick_ones_is_forgiven() -> None:
    clock, thread = Clock(), InThread()
    disk = QuickDisk(thread, clock)
    for number in range(10 * (FORGIVEN + 1)):
        took = 0 if number % (FORGIVEN + 1) else 2 * SLOW_S
        disk.submit(lambda took=took: setattr(clock, "now", clock.now + took), lambda _: None)
    assert thread.works == 0


async def test_however_slow_it_is_it_is_tried_again_and_forgiven_when_it_is_quick() -> None:
    clock = Clock()
    thread = InThread()
    disk = QuickDisk(thread, clock)
    for _ in range(10 * MOST):
        disk.submit(lambda: setattr(clock, "now", clock.now + 1), lambda _: None)
    slow = 10 * MOST - thread.works
    for _ in range(2 * MOST):  # until it is trusted again
        disk.submit(lambda: None, lambda _: None)
    before = thread.works
    for _ in range(1000):
        disk.submit(lambda: None, lambda _: None)
    assert (8 <= slow <= 20, thread.works - before) == (True, 0)


class InThread:
    """As good as one."""

    def __init__(self) -> None:
        self.works = 0

    def submit(self, work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
        self.works += 1
        done(None)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("made", [QuickDisk, DiskThread])
async def test_what_goes_wrong_is_told(made: type[QuickDisk] | type[DiskThread]) -> None:
    disk, wrong = made(), OSError("no")

    def work() -> None:
        raise wrong

    _, told = await where(disk, work)
    disk.close()
    assert told is wrong
