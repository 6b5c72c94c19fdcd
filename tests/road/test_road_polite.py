"""Providers that say "later" and "not now": who waits for what, and how `explain` tells it.

In virtual time over memory: five minutes of a greylist are over at once, and the journal has their times.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from road_rig import people
from still_road import StillRoad

from bulkmail.sandbox.behaviour import Said

RETRY = {"first": "1m", "factor": 2, "max": "4h", "give_up": "2d"}
FULL_TWICE = Said(raw=b"452 4.2.2 Mailbox full\r\n", times=2)


@pytest.fixture
def still(world, tmp_path):
    return StillRoad(world, tmp_path, retry=RETRY)


def waits(report, address):
    """Seconds from each attempt to the next; the retry policy adds up to a tenth."""
    times = [attempt.at for attempt in report.histories[address].attempts]
    return [after - before for before, after in pairwise(times)]


async def test_a_greylist_is_come_back_to_when_it_says_and_everybody_is_delivered(
    world, still, autojump_clock
):
    provider = world.provider("big.test", domains=["a.test"])
    provider.greylisting(300, reply=b"451 4.7.1 Greylisted, come back in {minutes} minutes")
    report = await still.send("ann@a.test", "bob@a.test")
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "delivered"}
    assert all(300 <= wait <= 331 for one in report.states for wait in waits(report, one))
    assert (provider.account.count("greylisted"), provider.account.count("accepted")) == (2, 2)
    told = still.explained("ann@a.test")
    assert "451 4.7.1 Greylisted, come back in 5 minutes" in told
    assert "to be tried again at 2027-01-15T08:05:" in told
    assert "2027-01-15T08:05:" in told.split("to be tried again")[1]


async def test_who_comes_back_sooner_than_a_greylist_wants_is_told_the_rest_and_waits_for_it(
    world, still, autojump_clock
):
    """The reply states no time: our own schedule is too early at first."""
    provider = world.provider("big.test", domains=["a.test"])
    provider.greylisting(300, reply=b"450 4.2.0 Greylisted, see you later")
    report = await still.send("ann@a.test")
    assert report.kinds() == {"ann@a.test": "delivered"}
    assert [round(wait / 66) for wait in waits(report, "ann@a.test")] in ([1, 2, 4], [1, 2, 3])
    assert provider.account.count("greylisted") == 3


async def test_come_back_in_five_minutes_is_done_as_told(world, still, autojump_clock):
    world.domain("a.test").reply("MAIL", b"451 4.3.2 Please come back in 5 minutes", times=1)
    report = await still.send("ann@a.test")
    (wait,) = waits(report, "ann@a.test")
    told = still.explained("ann@a.test")
    assert (report.kinds(), 300 <= wait <= 331) == ({"ann@a.test": "delivered"}, True)
    assert "come back in 5 minutes" in told


async def test_a_full_mailbox_is_tried_less_and_less_often_and_holds_up_nobody(world, still, autojump_clock):
    world.domain("a.test").mailbox_full("ann")
    report = await still.send("ann@a.test", "bob@a.test", retry={**RETRY, "max": "30m", "give_up": "2h"})
    times = waits(report, "ann@a.test")
    assert report.kinds() == {"ann@a.test": "expired", "bob@a.test": "delivered"}
    assert len(report.histories["bob@a.test"].attempts) == 1
    assert (times[0] < 67, max(times) <= 33 * 60, 2 * 3600 <= sum(times) < 3 * 3600) == (True, True, True)
    assert "452 4.2.2 Mailbox full" in still.explained("ann@a.test")


async def test_a_full_mailbox_that_is_emptied_gets_its_message(world, still, autojump_clock):
    world.domain("a.test").recipient("ann", FULL_TWICE)
    report = await still.send("ann@a.test")
    assert (report.kinds(), len(waits(report, "ann@a.test"))) == ({"ann@a.test": "delivered"}, 2)


async def test_a_refused_content_bounces_whom_it_was_for_and_suppresses_nobody(world, still, autojump_clock):
    world.domain("a.test").reply("END_OF_DATA", b"554 5.7.1 Message rejected as spam by content filtering")
    world.domain("b.test")
    report = await still.send(*people(2), *people(2, "b.test"))
    assert report.totals["delivered"] == 2
    assert report.states["p00000@b.test"] == "delivered"
    told = still.explained("p00000@a.test")
    assert "at end_of_data" in told
    assert "rejected as spam by content filtering" in told
    assert "suppressed" not in told
