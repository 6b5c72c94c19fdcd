"""Threads that take what is next by themselves: nothing is lost, errors arrive, nobody waits for ever."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from bulkmail.campaign.writers import Writers, threads_for


async def test_everybody_gets_what_was_written_for_him() -> None:
    writers = Writers(2)
    got: dict[int, int] = {}

    async def ask(number: int) -> None:
        got[number] = await writers.run(lambda asked: asked * asked, number)

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(ask, number)
    writers.close()
    assert got == {number: number * number for number in range(200)}


async def test_what_writing_raises_is_raised_where_it_was_asked_for() -> None:
    writers = Writers(1)
    with pytest.raises(ZeroDivisionError):
        await writers.run(lambda asked: 1 // asked, 0)
    assert await writers.run(lambda asked: 1 // asked, 1) == 1
    writers.close()


async def test_who_is_cancelled_does_not_wait_and_what_was_not_begun_is_not_written() -> None:
    writers = Writers(1)
    begun, go_on = threading.Event(), threading.Event()
    written: list[int] = []

    def write(asked: int) -> None:
        begun.set()
        go_on.wait()
        written.append(asked)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writers.run, write, 1)
        await trio.to_thread.run_sync(begun.wait)
        nursery.start_soon(writers.run, write, 2)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    go_on.set()
    writers.close()
    assert written == [1]


@pytest.mark.parametrize(
    ("processors", "processes", "signed", "one_shape", "threads"),
    [
        (1, 1, True, True, 0),
        (2, 1, True, True, 2),
        (2, 2, True, True, 0),  # each process has its processor, and signs there
        (3, 2, True, True, 2),
        (8, 2, True, True, 4),
        (8, 1, False, True, 0),
        (2, 2, False, False, 1),  # a conversion would hold up the loop
    ],
)
def test_letters_are_written_beside_the_loop_where_that_is_sooner_or_the_loop_would_stand_still(
    processors: int,
    processes: int,
    signed: bool,
    one_shape: bool,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    composer: Any = SimpleNamespace(personal=True, keys=(1,) * signed, one_shape=one_shape)
    assert threads_for(composer, processes=processes) == threads
