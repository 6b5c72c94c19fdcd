"""Orders to a run: what becomes of them where the journal is busy, and where they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

from bulkmail.campaign import orders as module
from bulkmail.campaign.control import Answer
from bulkmail.campaign.orders import Orders
from bulkmail.campaign.standing import Pause
from bulkmail.cli.ordering import told
from bulkmail.journal import Journal, Planned, Store

BLOCKED = Pause("safety", "2026-11-22T10:00:00+00:00", "too many were blocked")


class Road:
    """A run that notes what it is told."""

    def __init__(self) -> None:
        self.held = False
        self.stopping = False
        self.loud = trio.Event()
        self.loud.set()

    def hold(self) -> None:
        self.held = True

    def go_on(self) -> None:
        self.held = False

    def drain(self) -> None:
        self.stopping = True

    async def quiet(self) -> bool:
        await self.loud.wait()
        return True

    async def look(self) -> Mapping[str, object]:
        return {}


class Busy:
    """A journal that answers at once, or once it is `free`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.free = trio.Event()
        self.free.set()

    async def call(self, fn: Callable[..., Any], *args: object) -> Any:
        await self.free.wait()
        await trio.lowlevel.checkpoint()
        return fn(self.store, *args)

    read = call


class Rig:
    """Orders over both, the events that were told, and the answers."""

    def __init__(self, store: Store) -> None:
        self.road, self.journal = Road(), Busy(store)
        self.events: list[str] = []
        self.answers: list[Answer] = []
        self.orders = Orders(
            self.road, cast(Journal, self.journal), lambda name, **fields: self.events.append(name)
        )

    async def give(self, word: str) -> None:
        async def reply(answer: Answer) -> None:
            self.answers.append(answer)

        await self.orders.heed({"do": word}, reply)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "c.journal", {"campaign": "c"}) as store:
        with store.write_plan() as writer:
            writer.interval("a.test", False, False, [Planned("ann@a.test", "{}")])
        yield store


@pytest.fixture
def rig(store: Store) -> Rig:
    return Rig(store)


@pytest.mark.parametrize("word", ["pause", "cancel", "resume"])
async def test_an_order_that_the_journal_does_not_take_is_answered_and_the_run_goes_on(
    rig: Rig, autojump_clock: object, word: str
) -> None:
    """It ended the run, for the journal was busy for a minute."""
    rig.journal.free = trio.Event()
    await rig.give(word)
    (answer,) = rig.answers
    assert (answer["done"], "busy for 20 seconds" in str(answer["error"])) == (True, True)
    assert (rig.road.held, rig.road.stopping, rig.orders.may_send, rig.events) == (False, False, True, [])
    rig.journal.free.set()
    await rig.give("pause")
    assert (rig.answers[1]["paused"] is not None, rig.road.held, rig.events) == (True, True, ["paused"])


async def test_an_order_behind_one_that_takes_long_is_answered_in_time_too(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    rig.journal.free = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.orders.by_itself, BLOCKED)
        await trio.testing.wait_all_tasks_blocked()
        await rig.give("resume")
        assert trio.current_time() <= module.WRITTEN_S + 1
        assert (len(rig.answers), "error" in rig.answers[0], rig.road.held) == (1, True, True)
        rig.journal.free.set()
    assert (rig.events, rig.road.stopping) == (["paused"], True)


async def test_while_a_pause_for_safety_ends_the_run_nobody_is_told_that_it_goes_on(rig: Rig) -> None:
    await rig.orders.by_itself(BLOCKED)
    await rig.give("resume")
    (answer,) = rig.answers
    text = " ".join(told(answer, "campaign.yaml"))
    assert (answer["running"], answer["paused"], rig.road.held, rig.events) == (False, None, True, ["paused"])
    assert "goes on" not in text
    assert "bulkmail run campaign.yaml" in text


async def test_a_rule_that_comes_behind_a_cancellation_does_not_pause(rig: Rig, store: Store) -> None:
    """It had looked before the cancellation was on disk."""
    rig.journal.free = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.give, "cancel")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(rig.orders.by_itself, BLOCKED)
        await trio.testing.wait_all_tasks_blocked()
        rig.journal.free.set()
        await trio.testing.wait_all_tasks_blocked()
        rig.orders.over(store.totals())
    assert (rig.events, rig.orders.paused, rig.orders.cancelled) == (["cancelled"], None, True)


async def test_a_pause_is_answered_once_no_mail_follows(rig: Rig) -> None:
    rig.road.loud = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.give, "pause")
        await trio.testing.wait_all_tasks_blocked()
        assert (rig.answers, rig.events, rig.road.held) == ([], ["paused"], True)
        rig.road.loud.set()
    assert [answer["quiet"] for answer in rig.answers] == [True]
