"""The journal of a run: nothing is acknowledged before it is on disk, and nothing after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import apsw
import pytest
import trio
from journal_plans import HeldDisk, NewStore
from trio.testing import wait_all_tasks_blocked

from bulkmail.errors import StoreError
from bulkmail.journal import Intent, Journal, Record, Store, writer
from bulkmail.journal.files import transaction


def delivered(number: int, last: int | None = None) -> Record:
    return Record(number, last or number, "delivered", 1.0, 250, "2.0.0", "ok")


def intent(key: int, number: int) -> Intent:
    return Intent(key, ((number, number),), "mx.a.test", "192.0.2.1", 1.0)


async def inline(fn: Callable[[], object]) -> object:
    """For a clock that jumps past a thread."""
    await trio.lowlevel.checkpoint()
    return fn()


@asynccontextmanager
async def keeping_up(journal: Journal) -> AsyncIterator[None]:
    async with trio.open_nursery() as watchers:
        watchers.start_soon(journal.keep_up)
        yield
        watchers.cancel_scope.cancel()


async def test_what_is_committed_survives_the_process_before_it_is_taken_in(
    planned: NewStore, path: Path
) -> None:
    """J2."""
    journal = Journal(planned([("a.test", 3)]))
    await journal.commit([delivered(2)], [intent(7, 1)])
    with Store.open(path) as other:
        found = (other.totals()["delivered"], other.recover("hold", 2.0), other.totals()["delivered"])
    assert found == (0, 1, 1)


async def test_what_was_appended_is_in_the_store_when_a_call_runs(planned: NewStore) -> None:
    journal = Journal(planned([("a.test", 3)]))
    journal.append([delivered(2)])
    before = await journal.read(Store.totals)
    assert (before["delivered"], (await journal.call(Store.totals))["delivered"]) == (0, 1)
    journal.close()


async def test_what_was_appended_is_in_the_store_after_closing_and_no_log_is_left(
    planned: NewStore, path: Path
) -> None:
    store = planned([("a.test", 3)])
    journal = Journal(store)
    await journal.commit([delivered(1)])
    journal.append([delivered(2)])
    journal.close()
    assert (store.totals()["delivered"], [*path.parent.glob("*.log")], store.in_flight) == (2, [], False)


async def test_after_closing_calls_are_answered_and_nothing_can_be_appended(planned: NewStore) -> None:
    journal = Journal(planned([("a.test", 3)]))
    journal.close()
    assert (await journal.call(Store.totals))["pending"] == 3
    with pytest.raises(StoreError, match="is closed"):
        journal.append([delivered(1)])


async def test_nobody_opens_a_store_after_closing_to_read_in_it(
    planned: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(planned([("a.test", 3)]))
    await journal.read(Store.totals)
    journal.close()
    monkeypatch.setattr(Store, "open", None)
    with pytest.raises(StoreError, match="is closed"):
        await journal.read(Store.totals)


async def test_it_keeps_up_by_itself(planned: NewStore, autojump_clock: object) -> None:
    store, disk = planned([("a.test", 3)]), HeldDisk()
    journal = Journal(store, disk=disk, run_sync=inline)
    async with keeping_up(journal):
        journal.append([delivered(2)])
        disk.let(1)
        await trio.sleep(2 * writer.LAG_S)
        assert store.totals()["delivered"] == 1


async def test_many_are_taken_in_without_waiting(
    planned: NewStore, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MANY", 3)
    monkeypatch.setattr(writer, "LAG_S", 3600.0)
    store, disk = planned([("a.test", 3)]), HeldDisk()
    journal = Journal(store, disk=disk, run_sync=inline)
    async with keeping_up(journal):
        for number in (1, 2, 3):
            disk.let(1)
            await journal.commit([delivered(number)])
        await wait_all_tasks_blocked()
        assert (store.totals()["delivered"], trio.current_time()) == (3, 0.0)


async def test_what_is_not_taken_in_is_bounded_though_nobody_keeps_up(
    planned: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST", 10)
    store = planned([("a.test", 50)])
    journal = Journal(store)
    async with trio.open_nursery() as callers:
        for number in range(1, 51):
            callers.start_soon(journal.commit, [delivered(number)])
    assert store.totals()["delivered"] == 50
    journal.close()


async def test_an_intent_opened_and_closed_is_never_in_the_store(planned: NewStore) -> None:
    store = planned([("a.test", 9)])
    journal = Journal(store)
    seen: list[str] = []
    store._db.set_exec_trace(lambda _, statement, __: seen.append(statement) or True)
    for key in range(1, 6):
        journal.append(intents=[intent(key, key)])
        journal.append([delivered(key)], closed=[key])
    journal.append(intents=[intent(6, 6)])
    await journal.call(Store.totals)
    assert sum(text.startswith("INSERT INTO intent") for text in seen) == 1
    store._db.set_exec_trace(None)
    journal.close()
    assert store.recover("hold", 2.0) == 1


async def test_an_intent_is_closed_that_was_taken_in_before(planned: NewStore) -> None:
    store = planned([("a.test", 3)])
    journal = Journal(store)
    journal.append(intents=[intent(7, 2)])
    await journal.call(Store.totals)
    opened = store.in_flight
    journal.append(closed=[7])
    journal.close()
    assert (opened, store.recover("hold", 2.0)) == (True, 0)


async def test_who_is_settled_cannot_be_in_an_intent_of_the_same_moment(planned: NewStore) -> None:
    journal = Journal(planned([("a.test", 3)]))
    journal.append([delivered(1)])
    journal.append(intents=[intent(7, 1)])
    with pytest.raises(StoreError, match="recipient 1 is neither pending nor deferred"):
        await journal.call(Store.totals)


async def test_who_is_recorded_while_an_intent_stays_open_is_beyond_doubt(planned: NewStore) -> None:
    store = planned([("a.test", 9)])
    journal = Journal(store)
    journal.append([delivered(9)], [Intent(7, ((1, 3),), "mx.a.test", "192.0.2.1", 1.0)])
    journal.append([delivered(2)], [intent(8, 5)])
    journal.append([delivered(6)], [intent(9, 7)])
    journal.close()
    doubted = store.recover("hold", 2.0)
    assert (doubted, [row.address for row in store.export("in_doubt")]) == (
        4,
        ["user1@a.test", "user3@a.test", "user5@a.test", "user7@a.test"],
    )


async def test_after_a_bug_every_later_call_fails(planned: NewStore) -> None:
    """J3."""
    store = planned([("a.test", 9)])
    journal = Journal(store)
    store.commit([delivered(1)], [], [])
    await journal.commit([delivered(1)])  # settled already: noticed when it is taken in
    with pytest.raises(StoreError, match="recipient 1 is neither pending nor deferred"):
        await journal.call(Store.due, 1.0, 1)
    with pytest.raises(StoreError):
        journal.append([delivered(2)])
    with pytest.raises(StoreError):
        await journal.sync()
    journal.close()
    assert store.totals()["delivered"] == 1


async def test_who_keeps_up_tells_that_the_store_refused(planned: NewStore) -> None:
    """J3."""
    store = planned([("a.test", 9)])
    journal = Journal(store)
    store.commit([delivered(1)], [], [])
    journal.append([delivered(1)])
    with pytest.raises(StoreError):
        await journal.keep_up()


async def test_a_full_disk_under_the_store_is_told_and_stops_everything(
    planned: NewStore, path: Path
) -> None:
    """J3. What was logged is not lost by it."""
    store = planned([("a.test", 5000)])
    store._db.pragma("max_page_count", store._db.pragma("page_count"))
    journal = Journal(store)
    await journal.commit(
        [Record(n, n, "delivered", 1.0, reply=f"queued as {n:0100}") for n in range(1, 5001)]
    )
    with pytest.raises(StoreError, match="the disk is full"):
        await journal.call(Store.totals)
    with pytest.raises(StoreError, match="the disk is full"):
        await journal.commit([delivered(1)])
    journal.close()
    store.close()
    with Store.open(path) as store:
        before = store.totals()["pending"]
        store.recover("hold", 2.0)
        assert (before, store.totals()["delivered"]) == (5000, 5000)


async def test_a_failed_sync_of_the_store_is_never_retried_as_if_it_had_worked(
    planned: NewStore, path: Path
) -> None:
    """J3."""
    planned([("a.test", 3)]).close()
    with syncs_that_fail() as broken, Store.open(path) as store:
        journal = Journal(store)
        await journal.commit([delivered(1)])
        broken.append(True)
        with pytest.raises(StoreError, match="the disk is full or fails"):
            await journal.call(Store.totals)
        broken.clear()
        with pytest.raises(StoreError):
            await journal.commit([delivered(3)])
        with pytest.raises(StoreError, match="an earlier commit failed"):
            store.commit([delivered(3)], [], [])
        journal.close()
    with Store.open(path) as store:
        store.recover("hold", 2.0)
        assert store.totals()["delivered"] == 1


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
