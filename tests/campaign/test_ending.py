"""Signals and `--until`: who drains, who stops at once, and how long a drain lasts. On a virtual clock."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bulkmail.campaign.ending import DRAIN_S, SIGNALS, Ending

OPEN_DOT_S = 20.0


class Run:
    """A run whose open transaction ends `OPEN_DOT_S` after no new one may begin, unless it `hangs`."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.told: list[str | None] = []
        self.stopped = trio.Event()
        self.hangs = hangs
        self.finished_at: float | None = None  # the open transaction had its verdict
        self.ended_at = 0.0
        self.interrupted = False

    async def go(self, until: float | None, story: Callable[[Run], Awaitable[None]]) -> Run:
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as everything:
                ending = Ending(everything.cancel_scope, stop=self.stopped.set, tell=self.told.append)
                everything.start_soon(ending.on_signals, signals)
                if until is not None:
                    everything.start_soon(ending.after, until)
                everything.start_soon(story, self)
                await self.stopped.wait()
                await trio.sleep(DRAIN_S * 10 if self.hangs else OPEN_DOT_S)
                self.finished_at = trio.current_time()
                everything.cancel_scope.cancel()
        self.ended_at = trio.current_time()
        self.interrupted = ending.interrupted
        return self


async def kill(number: int) -> None:
    signal.raise_signal(number)
    await wait_all_tasks_blocked()


async def nothing(run: Run) -> None:
    pass


async def test_the_first_signal_during_the_drain_of_a_duration_leaves_open_dots_their_time(
    autojump_clock: MockClock,
) -> None:
    """P1."""

    async def story(run: Run) -> None:
        await run.stopped.wait()
        await kill(signal.SIGTERM)

    run = await Run().go(100.0, story)
    assert (run.told, run.finished_at, run.interrupted) == ([None, "SIGTERM"], 100.0 + OPEN_DOT_S, False)


async def test_the_second_signal_stops_at_once(autojump_clock: MockClock) -> None:
    """P2."""

    async def story(run: Run) -> None:
        await trio.sleep(5)
        await kill(signal.SIGINT)
        await kill(signal.SIGINT)

    run = await Run().go(None, story)
    assert (run.told, run.finished_at, run.ended_at, run.interrupted) == (["SIGINT"], None, 5.0, True)


async def test_the_drain_of_a_duration_has_an_end(autojump_clock: MockClock) -> None:
    """P1."""
    run = await Run(hangs=True).go(100.0, nothing)
    assert (run.finished_at, run.ended_at, run.interrupted) == (None, 100.0 + DRAIN_S, False)


async def test_a_signal_does_not_prolong_the_drain_of_a_duration(autojump_clock: MockClock) -> None:
    """P1."""

    async def story(run: Run) -> None:
        await run.stopped.wait()
        await trio.sleep(DRAIN_S / 2)
        await kill(signal.SIGINT)

    run = await Run(hangs=True).go(100.0, story)
    assert (run.ended_at, run.interrupted) == (100.0 + DRAIN_S, False)
