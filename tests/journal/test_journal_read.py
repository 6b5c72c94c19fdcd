"""What many ask the store at once is answered in one journey to it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import trio
from journal_plans import NewStore
from trio.testing import wait_all_tasks_blocked

from bulkmail.errors import StoreError
from bulkmail.journal import Journal, Store


async def test_those_who_read_at_once_are_answered_in_one_journey_each_with_his_own_answer(
    planned: NewStore,
) -> None:
    """And whoever leaves takes nobody's answer with him."""
    journeys, answers, may_go = 0, {}, trio.Event()

    async def run_sync(fn: Callable[[], object]) -> object:
        nonlocal journeys
        await may_go.wait()
        journeys += 1
        return fn()

    def ask(store: Store, number: int) -> int:
        if number == 3:
            raise StoreError("three")
        return store.totals()["pending"] + number

    journal = Journal(planned([("a.test", 3)]), run_sync=run_sync)

    async def reader(number: int, scope: trio.CancelScope) -> None:
        with scope:
            try:
                answers[number] = await journal.read(ask, number)
            except StoreError as error:
                answers[number] = str(error)

    scopes = [trio.CancelScope() for _ in range(6)]
    async with trio.open_nursery() as readers:
        for number, scope in enumerate(scopes):
            readers.start_soon(reader, number, scope)
            await wait_all_tasks_blocked()
        scopes[0].cancel()  # whose journey it was
        await wait_all_tasks_blocked()
        may_go.set()
    journal.close()
    assert (answers, journeys) == ({1: 4, 2: 5, 3: "three", 4: 7, 5: 8}, 1)


async def test_whoever_asks_behind_many_does_not_wait_for_them_to_go_one_by_one(planned: NewStore) -> None:
    """A turn of a busy loop for each of a thousand sessions, and `top` had its answer after a minute."""
    journeys, turns, took, may_go = 0, 0, 0, trio.Event()

    async def run_sync(fn: Callable[[], object]) -> object:
        nonlocal journeys
        journeys += 1
        if journeys == 2:
            asking.start_soon(latecomer)
        if journeys == 1:
            await may_go.wait()
        await trio.lowlevel.checkpoint()
        return fn()

    async def latecomer() -> None:
        nonlocal took
        began = turns
        await journal.read(Store.totals)
        took = turns - began

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    journal = Journal(planned([("a.test", 3)]), run_sync=run_sync)
    async with trio.open_nursery() as counting:
        async with trio.open_nursery() as asking:
            for _ in range(500):
                asking.start_soon(journal.read, Store.totals)
                if not journeys:
                    await wait_all_tasks_blocked()
            counting.start_soon(count)
            may_go.set()
        counting.cancel_scope.cancel()
    journal.close()
    assert (journeys, took < 20) == (3, True)


@pytest.mark.parametrize("seed", range(30))
async def test_whoever_is_not_cancelled_is_answered_whoever_else_is(
    planned: NewStore, autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    """Nobody who is cancelled takes the turn of those behind him with him."""
    chance, answered, cancelled = random.Random(seed), set[int](), set[int]()

    async def run_sync(fn: Callable[[], object]) -> object:
        await trio.lowlevel.checkpoint()
        for _ in range(chance.randrange(4)):
            with trio.CancelScope(shield=True):  # a thread that has begun is waited for
                await trio.lowlevel.checkpoint()
        return fn()

    journal = Journal(planned([("a.test", 3)]), run_sync=run_sync)

    async def reader(number: int, scope: trio.CancelScope) -> None:
        with scope:
            for _ in range(3):
                await journal.read(Store.totals)
            answered.add(number)

    scopes = [trio.CancelScope() for _ in range(40)]
    with trio.move_on_after(1):
        async with trio.open_nursery() as readers:
            for number, scope in enumerate(scopes):
                readers.start_soon(reader, number, scope)
                if chance.random() < 0.4:
                    await trio.lowlevel.checkpoint()
                if chance.random() < 0.3:
                    cancelled.add(gone := chance.randrange(number + 1))
                    scopes[gone].cancel()
    journal.close()
    assert answered | cancelled == set(range(40))
