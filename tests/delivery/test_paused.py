"""Paused at every `await` of a delivery, one after the other: no MAIL until it goes on, everybody gets one.

What was open comes to its verdict; nobody is in doubt, nothing is given back, and no place is lost.
"""

from __future__ import annotations

import contextlib

import pytest
import trio
from stepping import Stepper
from test_stopped_anywhere import CASES, PATIENCE_S, UNWANTED, Case, Delivery, Ground
from ways import only

from bulkmail import sandbox
from bulkmail.dns.resolver import Resolver

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
        number: {3: "bounced", 5: "deferred"}.get(number, "delivered") for number in ground.case.numbers
    }
    await ground.check(delivery)
    assert await ground.copies() == [number not in UNWANTED for number in ground.case.numbers]
    return stepper.met


async def pause_everywhere(case: Case, *, at_once: bool) -> None:
    world = sandbox.World()
    domain = world.domain("a.test").refuse("p3").refuse("p5", b"450 4.2.1 later")
    case.world(domain)
    with trio.fail_after(PATIENCE_S):
        async with sandbox.serve(world) as running:
            resolver = Resolver((running.dns,))
            ground = Ground(case, running, resolver)
            with only(case.way, 3) if case.way else contextlib.nullcontext():
                step = 1
                while await paused_at(ground, step, at_once=at_once):
                    step += 1
            await resolver.aclose()


@pytest.mark.parametrize("name", NAMES)
async def test_wherever_a_delivery_is_paused_it_goes_on_from_there(name: str) -> None:
    await pause_everywhere(CASES[name], at_once=False)


@pytest.mark.parametrize("name", NAMES)
async def test_who_goes_on_before_anybody_has_paused_loses_nobody(name: str) -> None:
    await pause_everywhere(CASES[name], at_once=True)
