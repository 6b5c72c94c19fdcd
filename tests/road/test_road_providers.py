"""Proof 2: limits hold exactly with one worker and with several, over all sites of a provider."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
import trio
from road_child import running
from road_rig import FIRST_PASS, people

from bulkmail import cli

SITES = 6
LIMITS = {"connections": 3, "messages_per_connection": 10}
SHAPING = {
    "default": {"connections": 2, "message_rate": "100000/s", "connection_rate": "100000/s"},
    "providers": {"big.test": LIMITS},
    "domains": {"a1.test": {"connections": 1}},
}


@pytest.fixture
def provider(world):
    """Of six sites; it refuses a fourth connection, a third at a site, and a second for a1.test."""
    provider = world.provider("big.test", hosts=["mx0.big.test"])
    for number in range(SITES):
        world.domain(f"a{number}.test").host(f"mx{number}.big.test")
        provider.add(world.host(f"mx{number}.big.test"))
    return provider.connections(3)


def everybody() -> list[str]:
    return [one for number in range(SITES) for one in people(60, f"a{number}.test")]


def kept(world, provider) -> tuple[int, int, bool]:
    """Refusals, connections at once to a1.test, and whether nobody had more than he may."""
    peaks = world.ledger.peak_by_host
    within = provider.account.peak_together <= 3 and all(peaks[f"mx{n}.big.test"] <= 2 for n in range(SITES))
    return provider.account.count("throttled"), peaks["mx1.big.test"], within


async def test_one_process_keeps_to_what_all_sites_of_a_provider_take_together(world, send, provider):
    report = await send(*everybody(), shaping=SHAPING, transaction="individual")
    assert set(report.kinds().values()) == {"delivered"}
    assert kept(world, provider) == (0, 1, True)
    assert provider.account.peak_together == 3


@pytest.mark.parametrize("workers", [2, 3])
async def test_several_workers_together_keep_to_the_same(world, road, provider, workers):
    flags = ("--yes", "--new", "--workers", str(workers))
    async with running(road, *everybody(), flags=flags, shaping=SHAPING, transaction="individual") as child:
        finished = await child.event("finished")
    assert (finished["exit"], finished["totals"]["delivered"]) == (0, 60 * SITES)
    assert world.ledger.copies == dict.fromkeys(everybody(), 1)
    assert kept(world, provider) == (0, 1, True)


async def test_a_domain_belongs_to_no_more_workers_than_its_connections(world, road, provider):
    """Its one connection is not divided, though the site's two are."""
    world.domain("b.test").host("mx1.big.test")
    provider.add(world.host("mx1.big.test"))
    them = [*people(60, "a1.test"), *people(200, "b.test")]
    flags = ("--yes", "--new", "--workers", "2")
    async with running(road, *them, flags=flags, shaping=SHAPING, transaction="individual") as child:
        finished = await child.event("finished")
    assert (finished["exit"], finished["totals"]["delivered"]) == (0, 260)
    assert world.ledger.peak_by_host["mx1.big.test"] <= 2
    assert provider.account.count("throttled") == 0


async def test_a_provider_and_a_domain_may_have_schedules_of_their_own(world, send, provider):
    """The narrowest has it; what it does not say is that of the campaign."""
    for domain in ("a0.test", "a1.test", "b.test"):
        world.domain(domain).reply("RCPT", b"451 4.7.1 later")
    shaping = {
        "default": SHAPING["default"],
        "providers": {"big.test": {"retry": {"first": "2h"}}},
        "domains": {"a1.test": {"retry": {"first": "9h", "max": "9h"}}},
    }
    them = ["ann@a0.test", "ann@a1.test", "ann@b.test"]
    report = await send(*them, until=FIRST_PASS, shaping=shaping, retry={"first": "1h", "max": "5h"})
    hours = [(report.last(one).due - report.last(one).at) / 3600 for one in them]
    assert [int(one) for one in hours] == [2, 9, 1]


async def told(*arguments: str) -> str:
    """What a command prints; it has a loop of its own, in a thread."""

    def say() -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert cli.exit_code(arguments) == 0
        return out.getvalue()

    return await trio.to_thread.run_sync(say)


async def test_a_plan_says_which_limit_binds_whom_and_whence_it_is(world, road, provider):
    world.domain("elsewhere.test")
    file = road.file(*everybody(), "x@elsewhere.test", "y@gone.test", shaping=SHAPING)
    found = json.loads(await told("plan", str(file), "--json", "--top", "1"))
    rows = {one["provider"]: (one["recipients"], one["domains"]) for one in found["providers"]}
    big = found["providers"][0]
    assert rows == {"big.test": (360, 6), "elsewhere.test": (1, 1), "not looked up": (1, 1)}
    assert (big["binds"]["kind"], big["binds"]["value"]) == ("connections", 3)
    assert big["binds"]["scope"] == "provider big.test"
    assert big["binds"]["whence"].rpartition(":")[2].isdecimal()
    assert (found["expected_seconds"], len(found["top"])) == (big["seconds"], 1)
    shown = await told("plan", str(file))
    assert "connections 3 (provider big.test, " in shown
    nobody_asked = json.loads(await told("plan", str(file), "--json", "--offline"))
    assert [one["provider"] for one in nobody_asked["providers"]] == ["not looked up"]


async def test_explain_says_what_binds_somebody_who_waits(world, send, road, provider):
    world.domain("a1.test").reply("RCPT", b"451 4.7.1 later")
    report = await send("ann@a1.test", until=FIRST_PASS, shaping=SHAPING, retry={"first": "1h", "max": "1h"})
    file = str(road.folder / "campaign.yaml")
    limits = json.loads(await told("explain", file, "ann@a1.test", "--json"))["limits"]
    by_kind = {one["kind"]: (one["value"], one["scope"]) for one in limits}
    assert report.kinds() == {"ann@a1.test": "deferred"}
    assert by_kind["connections"] == (1, "domain a1.test")
    assert by_kind["messages_per_connection"] == (10, "provider big.test")
    assert "messages_per_connection 10 (provider big.test, " in await told("explain", file, "ann@a1.test")
