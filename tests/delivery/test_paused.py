"""Paused at every `await` of a delivery, one after the other: no MAIL until it goes on, everybody gets one.

What was open comes to its verdict; nobody is in doubt, nothing is given back, and no place is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
from stepping import Stepper
from test_stopped_anywhere import (
    CASES,
    LATER,
    PATIENCE_S,
    REFUSED,
    UNWANTED,
    Delivery,
    Ground,
    everywhere,
)

from bulkmail import sandbox
from bulkmail.dns.resolver import Resolver
from bulkmail.dns.routes import NoRoute, Route, Routes

NAMES = (
    "riding",
    "whole, TLS",
    "one place for two sessions",
    "another host in the middle",
)


def mails(ledger: sandbox.Ledger) -> int:
    return sum(command.startswith("MAIL") for session in ledger.sessions for command in session.commands)


class Paused:
    """A delivery that is paused behind that step; `at_once` it goes on before anybody has noticed."""

    def __init__(self, ground: Ground, delivery: Delivery, *, at_once: bool) -> None:
        self.ground, self.delivery, self.at_once = ground, delivery, at_once
        self.paused = trio.Event()

    def pause(self) -> None:
        self.delivery.dispatcher.pause()
        if self.at_once:
            self.delivery.dispatcher.go_on()
        else:
            self.paused.set()

    async def go_on(self) -> None:
        """Once all sessions have ended; then nobody says MAIL."""
        await self.paused.wait()
        dispatcher, ledger = self.delivery.dispatcher, self.ground.running.world.ledger
        while any(destination.seats.taken for destination in dispatcher.destinations.values()):
            await trio.lowlevel.checkpoint()
        said = mails(ledger)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert (mails(ledger), self.delivery.post.open) == (said, {})
        dispatcher.go_on()


async def paused_at(ground: Ground, step: int, *, at_once: bool) -> bool:
    """False if it came to its end before."""
    ground.forget()
    delivery = Delivery(ground.case, ground.approach, ground.routes)
    story = Paused(ground, delivery, at_once=at_once)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.go_on)
        with Stepper(step, story.pause) as stepper:
            await delivery.run([(1, ground.case.people)])
        nursery.cancel_scope.cancel()
    assert delivery.states == {
        number: {REFUSED: "bounced", LATER: "deferred"}.get(number, "delivered")
        for number in ground.case.numbers
    }
    await ground.check(delivery)
    assert await ground.copies() == [number not in UNWANTED for number in ground.case.numbers]
    return stepper.met


@pytest.mark.parametrize("name", NAMES)
async def test_wherever_a_delivery_is_paused_it_goes_on_from_there(name: str) -> None:
    await everywhere(CASES[name], partial(paused_at, at_once=False))


@pytest.mark.parametrize("name", NAMES)
async def test_who_goes_on_before_anybody_has_paused_loses_nobody(name: str) -> None:
    await everywhere(CASES[name], partial(paused_at, at_once=True))


class PausedBehind(Routes):
    """Whoever has asked them is paused as soon as they know, and before anybody hears of it."""

    def __init__(self, resolver: Resolver, pause: Callable[[], None]) -> None:
        super().__init__(resolver, allow_private=True)
        self._pause = pause

    async def route(self, domain: str) -> Route | NoRoute:
        found = await super().route(domain)
        self._pause()
        return found


async def test_who_is_routed_while_it_is_paused_waits_for_it_to_go_on() -> None:
    case = CASES["riding"]
    world = sandbox.World()
    case.world(world.domain("a.test"))
    with trio.fail_after(PATIENCE_S):
        async with sandbox.serve(world) as running:
            resolver = Resolver((running.dns,))
            ground = Ground(case, running, resolver)
            delivery = Delivery(case, ground.approach, PausedBehind(resolver, lambda: story.pause()))
            story = Paused(ground, delivery, at_once=False)

            async def go_on() -> None:
                await story.paused.wait()
                while not (waiting := delivery.dispatcher.destinations):
                    await trio.lowlevel.checkpoint()
                assert [one.seats.taken for one in waiting.values()] == [0]
                delivery.dispatcher.go_on()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(go_on)
                await delivery.run([(1, case.people)])
            assert (set(delivery.states.values()), mails(world.ledger)) == ({"delivered"}, case.people)
            await delivery.pool.aclose()
            await resolver.aclose()
