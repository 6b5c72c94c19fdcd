"""SIGHUP: what a run takes up of a changed campaign file while it goes, and what it leaves to another."""

from __future__ import annotations

import signal

import pytest
import trio
from control_rig import open_messages
from road_child import Child, running
from road_rig import people

from bulkmail.sandbox import World

FLAGS = {1: ("--yes", "--new"), 2: ("--yes", "--new", "--workers", "2")}
MANY = people(60)
SLOW = {"message_rate": "2/h", "connections": 2, "transaction": "individual"}


async def reload(road, child: Child, *addresses, **settings):
    """What the run says of the file as it is now."""
    road.file(*addresses, **settings)
    child.process.send_signal(signal.SIGHUP)
    return await child.event("reloaded")


def standing(world: World) -> int:
    """Connections that have not ended, as the host sees it."""
    return sum(not session.ended for session in world.ledger.sessions)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_changed_limit_holds_at_once_and_what_else_has_changed_is_named(world: World, road, workers):
    world.domain("a.test")
    async with running(road, *MANY, flags=FLAGS[workers], **SLOW) as child:
        while not (await child.event("progress"))["totals"]["delivered"]:
            pass
        road.file(*MANY, **SLOW, text_of_message="another")
        (road.folder / "campaign.yaml").write_text("campaign: [")
        child.process.send_signal(signal.SIGHUP)
        warning = await child.event("warning")
        slow = dict(world.ledger.copies)
        fast = SLOW | {"message_rate": "100000/s"}
        reloaded = await reload(road, child, *MANY, **fast, subject="Another")
        finished = await child.last()
    assert "is not taken up, the limits stay as they were" in warning["text"]
    assert (reloaded["taken"], reloaded["next_run"]) == (["shaping.default.message_rate"], ["subject"])
    assert (len(slow) <= 2, finished["exit"], len(world.ledger.copies)) == (True, 0, 60)


@pytest.mark.parametrize("workers", [1, 2])
async def test_of_fewer_connections_those_too_many_are_closed(world: World, road, held, workers):
    """They finish what is open on them, and are not kept idle."""
    world.domain("a.test")
    many = people(300)
    one_by_one = {"transaction": "individual", "messages_in_flight": 1}
    async with running(road, *many, flags=FLAGS[workers], connections=6, **one_by_one) as child:
        await open_messages(held, 6)
        at_first = standing(world)
        reloaded = await reload(road, child, *many, connections=2, **one_by_one)
        held.release.set()
        while standing(world) > 2:
            await trio.lowlevel.checkpoint()
        left = 300 - len(world.ledger.copies)
        finished = await child.last()
    assert (at_first, reloaded["taken"]) == (6, ["shaping.default.connections"])
    assert (left > 0, finished["exit"], world.ledger.copies) == (True, 0, dict.fromkeys(many, 1))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_rule_that_was_changed_judges_what_has_been(world: World, road, workers):
    domain, many = world.domain("a.test"), people(1_200)  # a minute, and a third of all until then
    for number in range(0, 1_200, 3):
        domain.refuse(f"p{number:05}", b"550 5.1.1 no such user")
    slow = {"message_rate": "20/s", "connections": 1, "transaction": "individual"}
    lenient = {"safety": {"pause_if": {"bounced": "90%", "after": 5}}}
    strict = {"safety": {"pause_if": {"bounced": "5%", "after": 5}, "suppress_unknown": False}}
    async with running(road, *many, flags=FLAGS[workers], **slow, **lenient) as child:
        while (await child.event("progress"))["totals"]["bounced"] < 3:
            pass
        reloaded = await reload(road, child, *many, **slow, **strict)
        paused = await child.event("paused")
        finished = await child.last()
    assert (reloaded["taken"], reloaded["next_run"]) == (
        ["safety.pause_if.bounced"],
        ["safety.suppress_unknown"],
    )
    assert (paused["by"], "(bounced: 5%)" in paused["reason"], finished["exit"]) == ("safety", True, 7)


async def test_what_has_not_changed_is_not_named_and_a_warm_up_waits(world: World, road, monkeypatch):
    """A secret is the same, though it is not read again."""
    world.domain("a.test")
    monkeypatch.setenv("SECRET", "this-is-a-secret-of-many-octets!")
    same = SLOW | {"unsubscribe": {"mailto": "u@acme.test", "secret": {"env": "SECRET"}}}
    async with running(road, *MANY, **same) as child:
        await child.event("progress")
        unchanged = await reload(road, child, *MANY, **same)
        warm = {"shaping": {"default": {"message_rate": "2/h", "connections": 2}}}
        warm["shaping"]["domains"] = {"a.test": {"connections": 1}}
        warm["shaping"]["warmup"] = {"start": "10/day", "until": "100/day"}
        warmed = await reload(road, child, *MANY, transaction="individual", **warm)
        child.process.send_signal(signal.SIGTERM)
        await child.last()
    assert (unchanged["taken"], unchanged["next_run"]) == ([], [])
    assert (warmed["taken"][0], warmed["next_run"][-2:]) == (
        "shaping.domains",
        ["shaping.warmup", "shaping.domains.a.test"],
    )
