"""Warm-up: what a new source may send to a provider is kept to each day, to the recipient, across restarts.

In virtual time over memory. The days are counted by the clock of the hosts.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
from road_child import running
from road_rig import Until, people
from still_road import EPOCH, StillRoad

from bulkmail.campaign import learning, leasing, orders
from bulkmail.sandbox import World

DAY_S = 86_400
TWO, THREE = "127.0.0.2", "127.0.0.3"
WARMUP = {"start": "10/day", "growth": 1.3, "until": "100000/day"}
FIRST = int(EPOCH // DAY_S)


def quota(day: int, start: float = 10) -> int:
    return int(start * 1.3 ** (day - 1) + 1e-6)


def to_midnight() -> float:
    return DAY_S - (EPOCH + trio.current_time()) % DAY_S


class Days:
    """Recipients that were accepted, by (day, client)."""

    def __init__(self, world: World) -> None:
        self.counts: Counter[tuple[int, str]] = Counter()
        ledger, days = world.ledger, self

        class Messages(list[Any]):
            def append(self, one: Any) -> None:
                session = next(s for s in reversed(ledger.sessions) if s.id == one.session)
                day = int((EPOCH + trio.current_time()) // DAY_S) - FIRST + 1
                days.counts[day, session.client] += len(one.recipients)
                super().append(one)

        ledger.messages = Messages()

    def of(self, client: str) -> list[int]:
        last = max(day for day, _ in self.counts)
        return [self.counts[day, client] for day in range(1, last + 1)]


@pytest.fixture
def days(world):
    return Days(world)


@pytest.fixture
def still(world, tmp_path, monkeypatch):
    # who looks every second for what nobody does here would look a million times in two weeks
    for module, name in (
        (leasing, "LOOK_S"),
        (leasing, "DEATHS_S"),
        (orders, "LOOK_S"),
        (learning, "WRITE_S"),
    ):
        monkeypatch.setattr(module, name, 3600.0)
    shaping = {"default": {"message_rate": "1/s"}, "warmup": WARMUP}
    return StillRoad(world, tmp_path, shaping=shaping, transaction="individual")


@pytest.mark.parametrize("transaction", ["individual", "auto"])
async def test_two_weeks_of_warm_up_keep_the_quota_of_each_day_to_the_recipient_across_restarts(
    world, still, days, autojump_clock, transaction
):
    """Proof 7."""
    world.domain("a.test").host("mx1.big.test")
    world.domain("b.test").host("mx2.big.test")  # another site of the same provider
    wanted = [quota(day, 4) for day in range(1, 15)]
    everybody = people(sum(wanted)) + people(sum(wanted), "b.test")
    shaping = {"default": {"message_rate": "1/s"}, "warmup": {**WARMUP, "start": "4/day"}}
    settings = {"sources": [TWO, THREE], "transaction": transaction, "shaping": shaping}
    for hours in (
        1,
        30,
        0.002,
        48,
    ):  # then broken off: a day is counted and half of it sent
        await still.send(*everybody, until=Until(seconds=hours * 3600), **settings)
        with trio.move_on_after(to_midnight() + 2.5) as broken_off:
            await still.send(*everybody, **settings)
        assert broken_off.cancelled_caught
    report = await still.send(*everybody, until=Until(seconds=20 * DAY_S), **settings)
    for client in (TWO, THREE):  # at last one of them has nobody left
        sent = days.of(client)
        assert sent[:12] == wanted[:12]
        assert all(count <= most for count, most in zip(sent, wanted, strict=False))
    assert set(report.states.values()) == {"delivered"}
    assert report.exit == 0


async def test_what_is_too_much_for_today_waits_for_tomorrow_and_explain_says_so(
    world, still, days, autojump_clock
):
    world.domain("a.test").host("mx.big.test")
    report = await still.send(*people(30), until=Until(seconds=3600))
    waiting = [one for one, state in report.states.items() if state == "deferred"]
    told = still.explained(waiting[0])
    assert (len(waiting), report.exit) == (20, 5)
    assert "it waits for that: warm-up of this machine at big.test: 10 of 10 today" in told
    assert "next attempt due 2027-01-16T00:00:00+00:00" in told
    assert report.histories[waiting[0]].attempts == ()


async def test_nobody_expires_for_having_waited_for_the_warm_up(world, still, days, autojump_clock):
    """A greylist meets somebody who waited for five days, and he is tried again."""
    world.domain("a.test").host("mx.big.test").greylist("p00099")
    retry = {"first": "10m", "factor": 1, "max": "10m", "give_up": "1h"}
    report = await still.send(*people(100), retry=retry)
    assert (set(report.states.values()), len(days.counts)) == ({"delivered"}, 6)
    assert report.dispositions("p00099@a.test") == ["deferred", "delivered"]


async def test_the_overflow_takes_a_warm_source_where_the_campaign_says_so(
    world, still, days, autojump_clock
):
    world.domain("a.test").host("mx.big.test")
    shaping = {"warmup": {**WARMUP, "overflow": "warm"}}
    sources = [TWO, {"address": THREE, "warm": True}]
    report = await still.send(*people(400), sources=sources, shaping=shaping)
    assert (set(report.states.values()), days.of(TWO)) == ({"delivered"}, [10])
    assert days.of(THREE) == [390]


async def test_workers_keep_to_one_quota(world, road):
    world.domain("a.test").host("mx.big.test")
    shaping = {"default": {"message_rate": "5000/s"}, "warmup": WARMUP}
    flags = ("--yes", "--new", "--workers", "2", "--until", "first-pass")
    async with running(
        road, *people(300), flags=flags, transaction="individual", sources=[TWO, THREE], shaping=shaping
    ) as child:
        finished = await child.event("finished")
    assert (finished["exit"], finished["totals"]["deferred"]) == (5, 280)
    assert sum(len(message.recipients) for message in world.ledger.messages) == 20
    assert {session.client for session in world.ledger.sessions} == {TWO, THREE}


async def test_each_provider_has_a_quota_of_its_own(world, still, days, autojump_clock):
    for name in ("a", "b", "c"):
        world.domain(f"{name}.test").host(f"mx.{name}.test")
    report = await still.send(
        *(one for name in "abc" for one in people(25, f"{name}.test")), until=Until(seconds=3600)
    )
    by_domain = Counter(one.partition("@")[2] for one, state in report.states.items() if state == "delivered")
    assert by_domain == {"a.test": 10, "b.test": 10, "c.test": 10}


async def test_a_source_whose_quota_has_grown_to_until_is_warm(world, still, days, autojump_clock):
    world.domain("a.test").host("mx.big.test")
    shaping = {"warmup": {"start": "10/day", "growth": 2, "until": "40/day"}}
    await still.send(*people(300), sources=[TWO], shaping=shaping)
    assert days.of(TWO) == [10, 20, 270]


async def test_two_campaigns_share_the_quota_of_a_day(world, still, days, autojump_clock):
    world.domain("a.test").host("mx.big.test")
    world.domain("b.test").host("mx.big.test")
    for name in ("a.test", "b.test"):
        await still.send(*people(8, name), campaign=name[0], sources=[TWO], until=Until(seconds=60))
    assert days.of(TWO) == [10]


async def test_what_a_run_that_is_broken_off_has_not_sent_is_left_to_other_campaigns(
    world, still, days, autojump_clock
):
    for name in ("a.test", "b.test"):
        world.domain(name).host("mx.big.test")
    with trio.move_on_after(2.5) as broken_off:
        await still.send(*people(8), campaign="a", sources=[TWO])
    assert (broken_off.cancelled_caught, 0 < days.of(TWO)[0] < 8) == (True, True)
    await still.send(*people(12, "b.test"), campaign="b", sources=[TWO], until=Until(seconds=60))
    assert days.of(TWO) == [10]


async def test_a_backup_host_of_another_provider_has_a_quota_of_its_own(world, still, days, autojump_clock):
    """What it took counts there, today and afterwards, whoever the site belongs to."""
    for name in ("a.test", "b.test"):
        world.domain(name).host("mx.big.test", 10).host("mx.backup.test", 20)
    world.host("mx.big.test").greeting(b"421 4.3.2 closed")
    report = await still.send(*people(12), campaign="a", sources=[TWO], until=Until(seconds=3600))
    await still.send(*people(12, "b.test"), campaign="b", sources=[TWO], until=Until(seconds=3600))
    waiting = [one for one, state in report.states.items() if state == "deferred"]
    assert (days.of(TWO), len(waiting)) == ([10], 2)
    assert all("at backup.test: 10 of 10" in str(report.histories[one]) for one in waiting)


async def test_a_run_leaves_its_counts_and_nothing_open(world, still, days, autojump_clock):
    world.domain("a.test").host("mx.big.test")
    await still.send(*people(3), sources=[TWO])
    (counts,) = still.folder.rglob("warmup.db*")  # the last who closes it takes in its WAL
    assert counts.name == "warmup.db"
