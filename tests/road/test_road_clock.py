"""J5: the clock of the machine is set while a campaign runs, or between two of its runs."""

from __future__ import annotations

import time

import pytest
from road_rig import FIRST_PASS, Road

from bulkmail.journal import Journal

DAY_S = 86_400.0


@pytest.fixture
def clock(monkeypatch):
    """By how much the wall clock is wrong; a function of nothing, so that a test says when."""
    real, wrong = time.time, [lambda: 0.0]
    monkeypatch.setattr(time, "time", lambda: real() + wrong[0]())
    return wrong


@pytest.mark.parametrize("by", [-30 * DAY_S, -DAY_S, -3600.0, 3600.0, DAY_S])
async def test_who_was_deferred_comes_again_in_time_though_the_clock_is_set_meanwhile(
    world, send, clock, monkeypatch, by
):
    """J5."""
    next_due = Journal.next_due

    async def asked(self, now, *, surely):
        due = await next_due(self, now, surely=surely)
        if due is not None:  # from the moment when the run knows how long it has to sleep
            clock[0] = lambda: by
        return due

    monkeypatch.setattr(Journal, "next_due", asked)
    world.domain("a.test").greylist("ann")
    report = await send("ann@a.test", "bob@a.test")
    assert clock[0]() == by
    assert (report.dispositions("ann@a.test"), report.exit) == (["deferred", "delivered"], 0)


@pytest.mark.parametrize("by", [-30 * DAY_S, -3600.0, 3000.0])
async def test_who_was_deferred_comes_again_in_time_though_the_clock_is_set_between_two_runs(
    world, road: Road, clock, by
):
    """J5."""
    world.domain("a.test").greylist("ann", times=2)
    first = await road.send("ann@a.test", "bob@a.test", until=FIRST_PASS)
    clock[0] = lambda: by
    second = await road.send("ann@a.test", "bob@a.test")
    assert (first.kinds()["ann@a.test"], second.kinds()["ann@a.test"]) == ("deferred", "delivered")
