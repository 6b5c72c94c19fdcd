"""What the parent says first, and how it ends: in order, once, and with the error that was the reason."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from bulkmail.campaign.way import Way
from bulkmail.campaign.workers import parent
from bulkmail.campaign.workers.channel import Channel, pair
from bulkmail.campaign.workers.crew import Crew
from bulkmail.campaign.workers.hush import Hush
from bulkmail.campaign.workers.messages import Begin, Bye, Learnt, Pause, Paused, Stop, Used
from bulkmail.campaign.workers.parent import Distributor
from bulkmail.campaign.workers.process import Process
from bulkmail.delivery.plant import OTHERS, REPLIES, Plant, Tally
from bulkmail.delivery.rules import Rules
from bulkmail.delivery.slots import Slots
from bulkmail.journal import Fact, Journal, Store

WAY = Way("out.test", 25)


@dataclass
class Rig:
    """A distributor and its only worker: a process that does nothing, and the end of the channel it has."""

    distributor: Distributor
    worker: Channel
    process: subprocess.Popen[bytes]
    warnings: list[str]
    learned: list[Fact]
    hush: Hush

    def end(self) -> None:
        """Both, as when a worker ends; the process is left to be reaped."""
        self.worker.close()
        assert self.process.stdin is not None
        self.process.stdin.close()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process


@pytest.fixture
async def rig(tmp_path: Path, process: subprocess.Popen[bytes]) -> AsyncIterator[Rig]:
    ours, theirs = pair()
    warnings: list[str] = []
    learned: list[Fact] = []
    with Store.create(tmp_path / "c.journal", {"campaign": "c"}) as store:
        with store.write_plan():
            pass  # of nobody
        crew = Crew((Process(0, process.pid, ours),), (store.new_log(1),))
        journal = Journal(store)
        distributor = Distributor(
            cast(Plant, SimpleNamespace(slots=Slots(10), rules=Rules(), tally=Tally())),
            crew,
            way=WAY,
            journal=journal,
            on_doubt="hold",
            held=lambda site, why, held_s: None,
            learned=learned.extend,
            warn=warnings.append,
        )
        yield Rig(distributor, Channel(theirs), process, warnings, learned, crew.hush)
        journal.close()
        ours.close()
        theirs.close()


async def nothing() -> Any:
    return None


async def test_a_worker_is_told_to_begin_before_it_is_told_to_stop(rig: Rig) -> None:
    """P1: the signal may come while the road is being built."""
    rig.distributor.stop()
    heard: list[object] = []

    async def live() -> None:
        while len(heard) < 2:
            heard.extend(await rig.worker.read())
        rig.worker.tell(Bye())
        await rig.worker.flush()
        rig.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        await rig.distributor.run(nothing)
    assert (heard[:2], rig.warnings) == ([Begin(WAY, (0,)), Stop()], [])


async def test_what_a_worker_learns_is_its_parents_to_write(rig: Rig) -> None:
    facts = (Fact("mx.a.test", "recipients", 5.0), Fact("mx.b.test", "lockstep", 1.0))

    async def live() -> None:
        rig.worker.tell(Learnt(facts))
        rig.worker.tell(Bye())
        await rig.worker.flush()
        rig.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        await rig.distributor.run(nothing)
    assert rig.learned == [*facts]


async def test_replies_that_are_all_different_are_not_all_kept(rig: Rig) -> None:
    """Some quote the recipient; a worker reports twice a second, each time of so many."""

    async def live() -> None:
        for report in range(3):
            blocked = {f"blocked: p{report}-{n}@a.test": 1 for n in range(REPLIES)}
            rig.worker.tell(Used(1, 1, {}, {**blocked, OTHERS: 100}, 0, {}, 0, {}, 0))
        rig.worker.tell(Bye())
        await rig.worker.flush()
        rig.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        await rig.distributor.run(nothing)
    blocked = rig.distributor.plant.tally.blocked
    assert (len(blocked), blocked.total(), blocked[OTHERS]) == (
        REPLIES + 1,
        3 * (REPLIES + 100),
        2 * REPLIES + 300,
    )


async def test_who_was_reaped_as_the_run_was_broken_off_is_not_ended_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2: there is nobody to wait for, and what broke it off is not forgotten over that."""
    really, times = parent.reaped, 0

    async def reaped(process: Process) -> str:
        nonlocal times
        times += 1
        how = await really(process)
        broken_off.cancel()
        return how

    monkeypatch.setattr(parent, "reaped", reaped)

    async def live() -> None:
        await rig.worker.read()
        rig.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        with trio.CancelScope() as broken_off:
            await rig.distributor.run(trio.sleep_forever)
    assert (times, broken_off.cancelled_caught, rig.warnings) == (1, True, [])


@pytest.mark.parametrize("dies", [False, True])
async def test_a_pause_is_no_pause_before_each_worker_that_lives_has_said_so(rig: Rig, dies: bool) -> None:
    """MAIL of a worker that had not read the word yet followed the answer to it."""
    heard: list[object] = []

    async def live() -> None:
        while len(heard) < 3:
            heard.extend(await rig.worker.read())
        rig.worker.tell(Paused(1))  # to the word before
        await rig.worker.flush()
        await trio.testing.wait_all_tasks_blocked()
        heard.append([*quiet])
        if not dies:
            rig.worker.tell(Paused(2))
        rig.worker.tell(Bye())
        await rig.worker.flush()
        rig.end()

    quiet: list[bool] = []

    async def pause() -> None:
        rig.distributor.pause()
        rig.distributor.pause()
        quiet.append(await rig.hush.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        nursery.start_soon(pause)
        await rig.distributor.run(nothing)
    assert (heard[1:3], heard[3:], quiet) == ([Pause(1), Pause(2)], [[]], [True])
