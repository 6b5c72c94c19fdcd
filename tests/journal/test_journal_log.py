"""Writing a log: shared syncs, nothing lost by who is cancelled, and nothing after a failure."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
import trio
from journal_logs import delivered, flat, read, written
from journal_plans import HeldDisk
from trio.testing import wait_all_tasks_blocked

from bulkmail.errors import StoreError
from bulkmail.journal import Intent, Log, LogName, Mark, log
from bulkmail.journal.disk import Disk, DiskThread, QuickDisk
from bulkmail.journal.log_file import segments
from bulkmail.journal.tail import Tail


async def test_what_is_synced_can_be_read_and_marks_say_where(name: LogName) -> None:
    one = Log(name)
    one.append([delivered(1)])
    first = await one.sync()
    one.append([delivered(2)], [Intent(7, ((3, 4),), "mx.a.test", "192.0.2.1", 1.5)], [6])
    second = await one.sync()
    found = read(name, mark=first)
    assert (found, read(name, mark=second)) == (
        [6, delivered(2), Intent(7, ((3, 4),), "mx.a.test", "192.0.2.1", 1.5)],
        [],
    )
    one.close()


async def test_a_cancelled_caller_takes_nothing_back_and_holds_nobody_up(
    name: LogName, autojump_clock: object
) -> None:
    disk = HeldDisk()
    one = Log(name, disk=disk)
    one.append([delivered(1)])
    with trio.move_on_after(1) as first:
        await one.sync()
    one.append([delivered(2)])
    with trio.move_on_after(1) as second:
        await one.sync()
    one.append([delivered(3)])
    async with trio.open_nursery() as callers:
        callers.start_soon(one.sync)
        await wait_all_tasks_blocked()
        disk.let(2)
    assert (first.cancelled_caught, second.cancelled_caught) == (True, True)
    assert read(name) == [delivered(1), delivered(2), delivered(3)]
    one.close()


@pytest.mark.parametrize("disk", [QuickDisk, DiskThread])
@pytest.mark.parametrize("seed", range(20))
async def test_whenever_callers_are_cancelled_nothing_is_lost_and_nobody_hangs(
    name: LogName, seed: int, disk: Callable[[], Disk]
) -> None:
    """Real threads; each caller is cancelled at some point of the way, or not."""
    one = Log(name, disk=disk())

    async def caller(number: int) -> None:
        with trio.CancelScope() as scope:
            for _ in range((number * seed) % 4):
                await trio.lowlevel.cancel_shielded_checkpoint()
            one.append([delivered(number)])
            if (number * 7 + seed) % 3 == 0:
                scope.cancel()
            if (number * 5 + seed) % 4 == 0:
                callers.start_soon(cancel_soon, scope, (number + seed) % 6)
            await one.sync()

    async def cancel_soon(scope: trio.CancelScope, rounds: int) -> None:
        for _ in range(rounds):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as callers:
        for number in range(1, 31):
            callers.start_soon(caller, number)
    one.close()
    assert {record.first for record in read(name)} == set(range(1, 31))  # type: ignore[attr-defined]


async def test_what_was_appended_is_written_when_it_is_closed(name: LogName) -> None:
    one = Log(name)
    one.append([delivered(1)])
    one.close()
    one.close()
    assert read(name) == [delivered(1)]


async def test_without_anything_to_say_there_is_no_file(name: LogName) -> None:
    one = Log(name)
    await one.sync()
    one.close()
    assert segments(name.journal) == {}


async def test_nobody_can_write_where_somebody_writes(name: LogName) -> None:
    await written(name, [delivered(1)])
    one = Log(name)
    one.append([delivered(2)])
    with pytest.raises(StoreError, match=r"c\.journal\.0\.1\.log: cannot be written: File exists"):
        await one.sync()
    one.close()
    assert read(name) == [delivered(1)]


@pytest.mark.parametrize(
    ("instead", "told"),
    [("/dev/full", "the disk is full. Make room"), ("/dev/null", "cannot be written: Invalid argument")],
)
@pytest.mark.parametrize("disk", [QuickDisk, DiskThread])
async def test_a_disk_that_refuses_is_told_and_stops_everything(
    name: LogName, instead: str, told: str, disk: Callable[[], Disk]
) -> None:
    """J3: one that is full, and one that takes what is written and cannot sync it."""
    one = Log(name, disk=disk())
    one.append([delivered(1)])
    await one.sync()
    assert one._file is not None
    refusing = os.open(instead, os.O_WRONLY)
    os.dup2(refusing, one._file)
    one.append([delivered(2)])
    with pytest.raises(StoreError, match=told):
        await one.sync()
    with pytest.raises(StoreError, match=told):
        one.append([delivered(3)])
    with pytest.raises(StoreError, match=told):
        await one.sync()
    one.close()
    os.close(refusing)
    assert read(name) == [delivered(1)]


async def test_where_no_thread_can_be_had_all_who_wait_are_told(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J3."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    one, told = Log(name, disk=DiskThread()), []

    async def caller(number: int) -> None:
        one.append([delivered(number)])
        try:
            await one.sync()
        except StoreError as error:
            told.append((number, "can't start new thread" in str(error)))

    with trio.fail_after(60):
        async with trio.open_nursery() as callers:
            callers.start_soon(caller, 1)
            callers.start_soon(caller, 2)
    one.close()
    assert sorted(told) == [(1, True), (2, True)]


async def test_all_who_wait_are_told_of_a_failure(name: LogName, autojump_clock: object) -> None:
    """J3."""
    name.path(1).write_text("somebody's")
    disk, failed = HeldDisk(), []
    one = Log(name, disk=disk)

    async def caller(number: int) -> None:
        one.append([delivered(number)])
        try:
            await one.sync()
        except StoreError:
            failed.append(number)

    async with trio.open_nursery() as callers:
        callers.start_soon(caller, 1)
        await wait_all_tasks_blocked()
        callers.start_soon(caller, 2)
        await wait_all_tasks_blocked()
        disk.let()
    one.close()
    assert sorted(failed) == [1, 2]


async def test_a_full_segment_is_followed_by_the_next(name: LogName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 300)
    await written(name, *([delivered(number)] for number in range(1, 11)))
    assert len(segments(name.journal)[0]) > 2
    assert read(name) == [delivered(number) for number in range(1, 11)]


async def test_the_file_grows_now_and_then_and_ends_where_the_last_line_ends(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 5000)
    monkeypatch.setattr(log, "AHEAD_OCTETS", 1000)
    one, sizes = Log(name), set()
    for number in range(1, 71):
        one.append([delivered(number)])
        await one.sync()
        sizes.add(name.path(1).stat().st_size)
    one.close()
    ends = [path.read_bytes()[-1:] for path in (name.path(1), name.path(2))]
    assert (len(sizes) < 10, ends, len(read(name))) == (True, [b"\n", b"\n"], 70)


async def test_a_reader_beside_the_writer_sees_every_segment_once(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 300)
    one, tail = Log(name), Tail(name.journal, name.identity, Mark(0, 1, 0))
    found: list[object] = []
    for number in range(1, 31):
        one.append([delivered(number)])
        await one.sync()
        if number % 3 == 0:
            found += [said for entries, _ in tail.read() for said in flat(entries)]
    one.close()
    tail.close()
    assert found == [delivered(number) for number in range(1, 31)]
