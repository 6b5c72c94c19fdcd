"""A terminal that goes away: the run that was started there drains, or goes on unseen; nobody is lost."""

from __future__ import annotations

import fcntl
import os
import pty
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from control_rig import FLAGS, MANY, ONE_BY_ONE, drains, open_messages, states
from road_rig import PATIENCE_S

from bulkmail.sandbox import World


class Seen:
    """A run that shows itself at a terminal, and has it as its own (`controlling`) or only writes there."""

    def __init__(self, process: trio.Process, ours: int) -> None:
        self.process, self._ours = process, ours
        self.shown = b""

    async def shows(self, text: bytes) -> None:
        while text not in self.shown:
            await trio.lowlevel.wait_readable(self._ours)
            self.shown += os.read(self._ours, 65_536)

    def close(self) -> None:
        """The terminal has gone."""
        os.close(self._ours)
        self._ours = -1


@asynccontextmanager
async def at_a_terminal(road, *addresses, flags, controlling: bool, **settings) -> AsyncIterator[Seen]:
    command = [sys.executable, "-m", "bulkmail", "run", str(road.file(*addresses, **settings)), *flags]
    ours, theirs = pty.openpty()
    started = partial(
        trio.run_process,
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        check=False,
        start_new_session=True,
        preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if controlling else None,
    )
    async with trio.open_nursery() as nursery:
        process = await nursery.start(started)
        os.close(theirs)
        with trio.fail_after(PATIENCE_S):
            yield Seen(process, ours)
            await process.wait()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_run_whose_terminal_goes_away_finishes_what_is_open_and_ends(
    world: World, road, held, workers
):
    """P1: as after SIGTERM; and the next run goes on."""
    world.domain("a.test")
    async with at_a_terminal(road, *MANY, flags=FLAGS[workers], controlling=True, **ONE_BY_ONE) as seen:
        await open_messages(held, 2)
        await seen.shows(b"road")
        seen.close()
        await drains(road)
        held.release.set()
    delivered = len(world.ledger.copies)
    assert seen.process.returncode == 5
    assert states(road) == ["delivered"] * delivered + ["pending"] * (60 - delivered)
    report = await road.send(*MANY, **ONE_BY_ONE)
    assert (report.exit, world.ledger.copies) == (0, dict.fromkeys(MANY, 1))


async def test_a_run_that_is_not_told_that_its_terminal_has_gone_goes_on_unseen(world: World, road, held):
    """It was disowned, say; to write there is an error that breaks nothing off."""
    world.domain("a.test")
    flags = FLAGS[1]
    async with at_a_terminal(road, *MANY, flags=flags, controlling=False, **ONE_BY_ONE) as seen:
        await open_messages(held, 2)
        await seen.shows(b"road")
        seen.close()
        held.release.set()
    assert seen.process.returncode == 0
    assert (states(road), world.ledger.copies) == (["delivered"] * 60, dict.fromkeys(MANY, 1))
