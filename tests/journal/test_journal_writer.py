"""Group commit: shared, ordered, wholly in or wholly out when cancelled, and never again after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
import trio
from journal_plans import NewStore
from trio.testing import wait_all_tasks_blocked

from bulkmail.errors import StoreError
from bulkmail.journal import Intent, Journal, Record, Store
from bulkmail.journal.files import transaction


def delivered(number: int) -> Record:
    return Record(number, number, "delivered", 1.0, 250, "2.0.0", "ok")


class Disk:
    """Runs what the journal gives it, inline, each time when the test lets it."""

    def __init__(self) -> None:
        self.busy = 0
        self._turn = trio.Semaphore(0)

    async def __call__(self, fn: Callable[[], object]) -> object:
        self.busy += 1
        try:
            await self._turn.acquire()
            return fn()
        finally:
            self.busy -= 1

    def let(self, times: int = 1) -> None:
        for _ in range(times):
            self._turn.release()


async def test_callers_share_the_commit_that_is_next(planned: NewStore, autojump_clock: object) -> None:
    store, disk = planned([("a.test", 20)]), Disk()
    journal = Journal(store, run_sync=disk)
    async with trio.open_nursery() as callers:
        callers.start_soon(journal.commit, [delivered(1)])
        await wait_all_tasks_blocked()
        for number in range(2, 21):  # while the disk is busy with the first
            callers.start_soon(journal.commit, [delivered(number)])
        await wait_all_tasks_blocked()
        disk.let(2)
    assert (journal.commits, store.totals()["delivered"]) == (2, 20)


async def test_callers_of_one_moment_share_one_commit(planned: NewStore) -> None:
    store = planned([("a.test", 50)])
    journal = Journal(store)
    async with trio.open_nursery() as callers:
        for number in range(1, 51):
            callers.start_soon(journal.commit, [delivered(number)])
    assert (journal.commits, store.totals()["delivered"]) == (1, 50)


async def test_what_is_committed_is_in_the_file_when_commit_returns(planned: NewStore, path: Path) -> None:
    """J2."""
    journal = Journal(planned([("a.test", 3)]))
    await journal.commit([delivered(2)], [Intent(7, ((1, 1),), "mx.a.test", "192.0.2.1", 1.0)])
    with Store.open(path, read_only=True) as other:
        assert other.totals()["delivered"] == 1
    with Store.open(path) as other:
        assert other.recover("hold", 2.0) == 1


async def test_an_intent_is_closed_after_it_was_opened_even_in_one_commit(
    planned: NewStore, autojump_clock: object
) -> None:
    """A cancelled caller closes what it does not know to be written."""
    store, disk = planned([("a.test", 3)]), Disk()
    journal = Journal(store, run_sync=disk)
    async with trio.open_nursery() as callers:
        callers.start_soon(journal.commit, [delivered(1)])
        await wait_all_tasks_blocked()
        callers.start_soon(journal.commit, (), [Intent(7, ((2, 2),), "mx.a.test", "192.0.2.1", 1.0)])
        await wait_all_tasks_blocked()
        callers.start_soon(journal.commit, (), (), [7])
        await wait_all_tasks_blocked()
        disk.let(2)
    assert (journal.commits, store.recover("hold", 2.0)) == (2, 0)


async def test_a_caller_cancelled_while_it_gathers_leaves_nothing_behind(
    planned: NewStore, autojump_clock: object
) -> None:
    store, disk = planned([("a.test", 3)]), Disk()
    journal = Journal(store, run_sync=disk)
    async with trio.open_nursery() as callers:
        callers.start_soon(journal.commit, [delivered(1)])
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await journal.commit([delivered(2)])
        callers.start_soon(journal.commit, [delivered(3)])
        await wait_all_tasks_blocked()
        disk.let(2)
    assert [row.address for row in store.export("delivered")] == ["user1@a.test", "user3@a.test"]


async def test_a_leader_cancelled_before_the_disk_is_reached_hands_its_group_on(
    planned: NewStore, autojump_clock: object
) -> None:
    store, disk = planned([("a.test", 4)]), Disk()
    journal = Journal(store, run_sync=disk)
    scope = trio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await journal.commit([delivered(1)])

    async with trio.open_nursery() as callers:
        callers.start_soon(journal.commit, [delivered(4)])
        await wait_all_tasks_blocked()
        callers.start_soon(cancelled)
        await wait_all_tasks_blocked()
        callers.start_soon(journal.commit, [delivered(2)])
        callers.start_soon(journal.commit, [delivered(3)])
        await wait_all_tasks_blocked()
        disk.let()
        await wait_all_tasks_blocked()  # the one to be cancelled has waited longest, and leads now
        scope.cancel()
        await wait_all_tasks_blocked()
        disk.let()
    assert (scope.cancelled_caught, journal.commits) == (True, 2)
    assert [row.address for row in store.export("pending")] == ["user1@a.test"]


@pytest.mark.parametrize("seed", range(20))
async def test_cancelled_callers_are_wholly_in_or_wholly_out(planned: NewStore, seed: int) -> None:
    """Real threads; each caller settles two ranges and is cancelled at some point of the way, or not."""
    store = planned([("a.test", 60)])
    journal = Journal(store)

    async def caller(number: int) -> None:
        with trio.CancelScope() as scope:
            if (number * 7 + seed) % 3 == 0:
                scope.cancel()
            for _ in range((number * seed) % 4):
                await trio.lowlevel.checkpoint()
            if (number * 5 + seed) % 4 == 0:
                callers.start_soon(cancel_soon, scope, (number + seed) % 6)
            await journal.commit([delivered(number), delivered(number + 30)])

    async def cancel_soon(scope: trio.CancelScope, rounds: int) -> None:
        for _ in range(rounds):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as callers:
        for number in range(1, 31):
            callers.start_soon(caller, number)
    await journal.commit()  # nobody was left leading
    found = {row.address for row in store.export("delivered")}
    assert {n for n in range(1, 31) if f"user{n}@a.test" in found} == {
        n for n in range(1, 31) if f"user{n + 30}@a.test" in found
    }


async def test_after_a_failure_every_later_call_fails(planned: NewStore, autojump_clock: object) -> None:
    """J3."""
    store, disk = planned([("a.test", 9)]), Disk()
    journal = Journal(store, run_sync=disk)
    failed: list[int] = []

    async def caller(number: int) -> None:
        try:
            await journal.commit([delivered(number)])
        except StoreError:
            failed.append(number)

    store.commit([delivered(1)], [], [])
    async with trio.open_nursery() as callers:
        callers.start_soon(caller, 1)  # settled already: a bug, refused
        await wait_all_tasks_blocked()
        callers.start_soon(caller, 2)
        await wait_all_tasks_blocked()
        disk.let(9)
    await caller(3)
    with pytest.raises(StoreError):
        await journal.call(Store.due, 1.0, 1)
    assert (sorted(failed), store.totals()["delivered"]) == ([1, 2, 3], 1)


async def test_a_failed_sync_is_never_retried_as_if_it_had_worked(planned: NewStore, path: Path) -> None:
    """J3."""
    planned([("a.test", 3)]).close()
    with syncs_that_fail() as broken, Store.open(path) as store:
        journal = Journal(store)
        await journal.commit([delivered(1)])
        broken.append(True)
        with pytest.raises(StoreError, match="IOError"):
            await journal.commit([delivered(2)])
        broken.clear()
        with pytest.raises(StoreError):
            await journal.commit([delivered(3)])
        with pytest.raises(StoreError, match="an earlier commit failed"):
            store.commit([delivered(3)], [], [])
    with Store.open(path) as store:
        assert store.totals()["pending"] in (1, 2)  # whether the second reached the disk, nobody knows
        assert "user3@a.test" in [row.address for row in store.export("pending")]


async def test_a_full_disk_is_told_and_stops_everything(planned: NewStore, path: Path) -> None:
    """J3."""
    store = planned([("a.test", 5000)])
    journal = Journal(store)
    store._db.pragma("max_page_count", store._db.pragma("page_count"))
    many = [Record(n, n, "delivered", 1.0, reply=f"queued as {n:0100}") for n in range(1, 5001)]
    with pytest.raises(StoreError, match="the disk is full"):
        await journal.commit(many)
    with pytest.raises(StoreError, match="the disk is full"):
        await journal.commit([delivered(1)])
    assert store.totals()["pending"] == 5000


async def test_reading_does_not_wait_for_a_commit(planned: NewStore) -> None:
    store = planned([("a.test", 3)])
    journal = Journal(store)
    with transaction(store._db):
        store._db.execute("UPDATE pending SET last = 2")
        totals = await journal.read(Store.totals)
        [(_, ranges)] = await journal.read(Store.open_intervals, None, 10)
    journal.close()
    assert (totals["pending"], ranges) == (3, [(1, 3)])


@contextmanager
def syncs_that_fail() -> Iterator[list[bool]]:
    """SQLite's own file layer, but for fsync, which fails while the list is not empty."""
    broken: list[bool] = []

    class File(apsw.VFSFile):
        def xSync(self, flags: int) -> None:
            if broken:
                raise apsw.IOError("the disk said no")
            super().xSync(flags)

    class Disk(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("journal-test-disk", "unix", makedefault=True)

        def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
            return File("unix", name, flags)

    disk = Disk()
    try:
        yield broken
    finally:
        disk.unregister()
