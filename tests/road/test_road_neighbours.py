"""Hosts and name servers that keep others waiting, in front of those who do not: these are not held up.

Large domains come first, so the bad ones have two recipients each, and the good ones one. Nobody bad answers
as long as a test lasts: they are held when the last of the good has his mail, and then the run is broken off.
"""

from __future__ import annotations

import pytest
import trio
from road_rig import FIRST_PASS, PATIENCE_S, people

from bulkmail.campaign import planting
from bulkmail.delivery import dispatch, slots

FEW = 8  # sessions, half of them for those who have not answered yet; and as many who are only waited for
GOOD = 4


async def good_ones_are_done(road, bad: list[str], good: list[str], **settings: object) -> dict[str, int]:
    """What had become of all when the good ones were delivered to, and how many bad hosts were `held`.

    Hangs where they are not.
    """
    seen: dict[str, int] = {}
    ledger = road.running.world.ledger
    addresses = [f"{one}@{domain}" for domain in bad for one in ("ann", "bob")]
    addresses += [f"ann@{domain}" for domain in good]

    def tell(event) -> None:
        if event["event"] == "progress" and event["totals"]["delivered"] == len(good):
            seen.update(event["totals"], held=sum(ledger.open_at(f"mx.{domain}") for domain in bad))
            running.cancel()

    with trio.fail_after(PATIENCE_S), trio.CancelScope() as running:
        await road.send(*addresses, tell=tell, **settings)
    return seen


@pytest.mark.parametrize("kind", ["never greets", "slow", "black hole", "tarpit"])
async def test_tarpits_are_all_held_while_the_others_finish(world, road, monkeypatch, kind):
    """P3."""
    monkeypatch.setattr(planting, "SESSIONS", FEW)
    bad, good = [f"bad{n}.test" for n in range(FEW)], [f"good{n}.test" for n in range(GOOD)]
    for name in good:
        world.domain(name)
    for name in bad:
        domain = world.domain(name)
        match kind:
            case "never greets":
                domain.stall("GREETING")
            case "slow":
                domain.slow(10.0)
            case "tarpit":
                domain.tarpit(60.0)
            case _:
                domain.black_hole()
    seen = await good_ones_are_done(road, bad, good)
    held = 0 if kind == "black hole" else FEW  # which knows nothing of who tries
    assert (seen["pending"], seen["held"]) == (2 * FEW, held)


async def test_name_servers_that_say_nothing_hold_up_no_other_domain(world, road, monkeypatch):
    """P3, D1."""
    monkeypatch.setattr(dispatch, "ROUTERS", 2)
    bad, good = [f"mute{n}.test" for n in range(6)], [f"good{n}.test" for n in range(GOOD)]
    for name in good:
        world.domain(name)
    for name in bad:
        world.domain(name).dns_timeout()
    seen = await good_ones_are_done(road, bad, good)
    assert seen["pending"] == 2 * len(bad)


async def test_a_slow_site_with_many_domains_leaves_room_for_others(world, road, monkeypatch):
    """P3."""
    monkeypatch.setattr(dispatch, "OPEN_PARCELS", 8)
    monkeypatch.setattr(dispatch, "REOPEN", 7)
    bad, good = [f"many{n}.test" for n in range(40)], [f"good{n}.test" for n in range(GOOD)]
    for name in good:
        world.domain(name)
    for name in bad:
        world.domain(name).host("mx.slow.test")
    world.host("mx.slow.test").stall("MAIL")
    seen = await good_ones_are_done(road, bad, good)
    assert seen["pending"] == 2 * len(bad)


async def test_what_was_kept_back_for_a_crowded_site_is_delivered_in_its_turn(world, send, monkeypatch):
    """P3: nobody is forgotten, nobody gets two (which `send` looks at)."""
    monkeypatch.setattr(dispatch, "OPEN_PARCELS", 8)
    monkeypatch.setattr(dispatch, "REOPEN", 7)
    monkeypatch.setattr("bulkmail.campaign.feed.PAGE", 2)
    bad = [f"many{n}.test" for n in range(40)]
    for name in bad:
        world.domain(name).host("mx.one.test").greylist()
    report = await send(*(one for name in bad for one in people(2, name)))
    assert (report.totals["delivered"], report.exit) == (80, 0)


async def test_in_a_crowd_of_silent_hosts_the_next_exchanger_is_still_tried(world, send, monkeypatch):
    """P3, T3: who is given up for others is one host, and not its whole site."""
    monkeypatch.setattr(planting, "SESSIONS", 2)
    monkeypatch.setattr(slots, "MOMENT_S", 0.02)
    monkeypatch.setattr(slots, "LEAST_S", 0.05)
    names = [f"a{number}.test" for number in range(FEW)]
    for name in names:
        world.domain(name).host(f"mute.{name}", 10).host(f"mx.{name}", 20)
        world.host(f"mute.{name}").stall("GREETING")
    report = await send(
        *(f"ann@{name}" for name in names), time_limits={"greeting": "300ms"}, until=FIRST_PASS
    )
    assert report.totals["delivered"] == FEW


async def test_a_seed_is_the_first_of_its_domain(world, send):
    """And they are in transactions of their own."""
    world.domain("large.test")
    world.domain("team.test")
    seeds = ["qa@large.test", "boss@team.test"]
    report = await send(*people(200, "large.test"), seeds=seeds, connections=1, transaction="individual")
    at_large = [one.recipients[0] for one in report.ledger.messages if one.domain == "large.test"]
    assert (report.totals["delivered"], at_large[0]) == (202, "qa@large.test")
