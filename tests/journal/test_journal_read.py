"""What many ask the store at once is answered in one journey to it."""

from __future__ import annotations

from collections.abc import Callable

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
