"""Several egress addresses: who leaves from where, as the hosts see it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from road_child import running
from road_rig import FIRST_PASS, Road, people

from bulkmail.errors import ConfigError
from bulkmail.sandbox import Ledger, World

TWO, THREE = "127.0.0.2", "127.0.0.3"
BOTH = [{"address": TWO, "ehlo": "two.test", "weight": 3}, {"address": THREE, "ehlo": "three.test"}]


def clients(ledger: Ledger) -> Counter[tuple[str, str]]:
    """Recipients by the address and the name that they came from."""
    by_session = {session.id: (session.client, session.helo) for session in ledger.sessions}
    found: Counter[tuple[str, str]] = Counter()
    for message in ledger.messages:
        found[by_session[message.session]] += len(message.recipients)
    return found


def came_from(ledger: Ledger) -> dict[str, set[str]]:
    """By recipient, of all that was said of him, whatever was answered."""
    found: dict[str, set[str]] = {}
    for session in ledger.sessions:
        for command in session.commands:
            if command.startswith("RCPT "):
                found.setdefault(command[5:], set()).add(session.client)
    return found


@pytest.mark.parametrize("transaction", ["auto", "individual"])
async def test_a_large_domain_comes_from_each_source_by_its_weight(world: World, road: Road, transaction):
    world.domain("a.test")
    report = await road.send(*people(512), sources=BOTH, transaction=transaction)
    assert report.exit == 0
    # blocks of 64, and ids begin at 1: the first has 63, the last has one
    counts = clients(report.ledger)
    assert counts.keys() == {(TWO, "two.test"), (THREE, "three.test")}
    assert 128 - 64 <= counts[THREE, "three.test"] <= 128 + 64
    assert {(line["source"]) for line in report.lines} == {TWO, THREE}


async def test_small_domains_are_spread_over_the_sources_and_each_keeps_to_one(world: World, road: Road):
    names = [f"d{number}.test" for number in range(60)]
    for name in names:
        world.domain(name).host("mx.shared.test")
    report = await road.send(
        *(f"{who}@{name}" for name in names for who in ("ann", "bob")), sources=[TWO, THREE]
    )
    counts = clients(report.ledger)
    assert (counts.keys(), min(counts.values()) > 30) == ({(TWO, "out.test"), (THREE, "out.test")}, True)
    assert {len(found) for found in came_from(report.ledger).values()} == {1}


async def test_with_one_place_at_the_host_the_sources_take_turns(world: World, road: Road):
    world.domain("a.test").host("mx.a.test")
    report = await road.send(*people(2000), sources=[TWO, THREE], transaction="individual", connections=1)
    order = [session.client for session in report.ledger.sessions]
    assert (report.exit, report.ledger.peak_by_host["mx.a.test"]) == (0, 1)
    assert sum(one != other for one, other in pairwise(order)) > 4


async def test_a_greylisted_recipient_is_tried_again_from_the_same_source_in_this_run_and_the_next(
    world: World, road: Road
):
    """X13."""
    addresses = people(400)
    world.domain("a.test").greylist(times=2)
    first = await road.send(*addresses, sources=[TWO, THREE], until=FIRST_PASS)
    assert set(first.kinds().values()) == {"deferred"}
    report = await road.send(*addresses, sources=[TWO, THREE])
    assert set(report.kinds().values()) == {"delivered"}
    assert {len(found) for found in came_from(report.ledger).values()} == {1}
    assert len(clients(report.ledger)) == 2


async def test_workers_agree_on_who_leaves_from_where(world: World, road: Road):
    """X13."""
    names = [f"d{number}.test" for number in range(12)]
    for name in (*names, "a.test"):
        world.domain(name).greylist("p00001")
    addresses = [*people(700), *(one for name in names for one in people(3, name))]
    flags = ("--yes", "--new", "--workers", "2")
    async with running(road, *addresses, flags=flags, transaction="individual", sources=BOTH) as child:
        finished = await child.event("finished")
    counts = clients(world.ledger)
    assert (finished["exit"], sum(counts.values()), len(counts)) == (0, len(addresses), 2)
    assert {len(found) for found in came_from(world.ledger).values()} == {1}


async def test_an_address_that_this_machine_does_not_have_is_an_error_before_anything_is_sent(
    world: World, road: Road
):
    world.domain("a.test")
    with pytest.raises(
        ConfigError, match=r"delivery\.sources\[1\]: this machine has no address 192\.0\.2\.99: give"
    ):
        await road.send("ann@a.test", sources=[TWO, "192.0.2.99"])
    assert world.ledger.connections == 0


async def test_an_exchanger_of_another_family_than_all_sources_is_said_to_be_out_of_reach(
    world: World, road: Road
):
    world.domain("a.test")
    report = await road.send("ann@a.test", sources=["::1"], until=FIRST_PASS)
    assert report.kinds() == {"ann@a.test": "deferred"}
    assert report.reply("ann@a.test").endswith(
        "has IPv4 addresses only, and no source of this machine is of IPv4"
    )


async def test_where_one_source_is_blocked_nobody_bounces_and_everybody_leaves_from_elsewhere(
    world: World, road: Road
):
    world.domain("a.test").host("mx.a.test").provider.block(TWO)
    report = await road.send(
        *people(600), sources=[TWO, THREE], transaction="individual", connections=2, messages_in_flight=1
    )
    refused = Counter(line["recipient"] for line in report.lines if line["disposition"] == "deferred")
    assert (set(report.kinds().values()), set(refused.values())) == ({"delivered"}, {1})
    assert 1 <= len(refused) <= 2  # those on whom it was found out
    assert clients(report.ledger).keys() == {(THREE, "out.test")}
    told = [event for event in report.events if event["event"] == "site"]
    assert [event["site"] for event in told] == ["mx.a.test from 127.0.0.2"]
