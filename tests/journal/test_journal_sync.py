"""One sync for all who are about to wait for one, and for how long it waits for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from journal_logs import delivered, read
from journal_plans import HeldDisk
from trio.testing import wait_all_tasks_blocked

from bulkmail.journal import Log, LogName, log
from bulkmail.journal.disk import Disk, DiskThread, QuickDisk


async def test_callers_share_the_sync_that_is_next(name: LogName, autojump_clock: object) -> None:
    disk = HeldDisk()
    one = Log(name, disk=disk)

    async def caller(number: int) -> None:
        one.append([delivered(number)])
        await one.sync()

    async with trio.open_nursery() as callers:
        callers.start_soon(caller, 1)
        await wait_all_tasks_blocked()
        for number in range(2, 21):  # while the disk is busy with the first
            callers.start_soon(caller, number)
        await wait_all_tasks_blocked()
        disk.let(2)
    one.close()
    assert (one.writes, len(read(name))) == (2, 20)


@pytest.mark.parametrize("disk", [QuickDisk, DiskThread])
async def test_callers_of_one_moment_share_one_sync(name: LogName, disk: Callable[[], Disk]) -> None:
    one = Log(name, disk=disk())

    async def caller(number: int) -> None:
        one.append([delivered(number)])
        await one.sync()

    async with trio.open_nursery() as callers:
        for number in range(1, 51):
            callers.start_soon(caller, number)
    one.close()
    assert (one.writes, len(read(name))) == (1, 50)


async def test_who_still_has_work_to_do_before_appending_shares_it_too(name: LogName) -> None:
    one = Log(name)

    async def caller(number: int) -> None:
        for _ in range(number):
            await trio.lowlevel.checkpoint()
        one.append([delivered(number)])
        await one.sync()

    async with trio.open_nursery() as callers:
        for number in range(1, 50, 7):
            callers.start_soon(caller, number)
    one.close()
    assert (one.writes, len(read(name))) == (1, 7)


async def test_a_sync_does_not_wait_for_ever_for_who_never_waits(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "GATHER_S", 0.0)
    one = Log(name)
    one.append([delivered(1)])

    async def busy() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy)
        await one.sync()
        nursery.cancel_scope.cancel()
    one.close()
    assert one.writes == 1


def test_what_waits_for_all_to_wait_is_what_trio_has_under_its_public_name() -> None:
    assert log.wait_all_tasks_blocked is wait_all_tasks_blocked


async def test_beside_who_never_waits_a_sync_waits_less_each_time_and_longer_again_when_he_is_gone(
    name: LogName,
) -> None:
    one = Log(name)

    async def busy() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async def synced() -> float:
        one.append([delivered(1)])
        await one.sync()
        return one.patience_s

    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy)
        beside = [await synced() for _ in range(8)]
        nursery.cancel_scope.cancel()
    alone = [await synced() for _ in range(8)]
    one.close()
    least, most = log.LEAST_GATHER_S, log.GATHER_S
    assert (beside[0], beside[-1], alone[-1]) == (most / 2, least, most)
