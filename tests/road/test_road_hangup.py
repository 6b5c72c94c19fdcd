"""SIGHUP: what a run takes up of a changed campaign file while it goes, and what it leaves to another."""

from __future__ import annotations

import signal

import pytest
from road_child import running
from road_rig import people

from bulkmail.sandbox import World

FLAGS = {1: ("--yes", "--new"), 2: ("--yes", "--new", "--workers", "2")}
MANY = people(60)
SLOW = {"message_rate": "2/h", "connections": 2, "transaction": "individual"}


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
        road.file(*MANY, **SLOW | {"message_rate": "100000/s"}, subject="Another")
        child.process.send_signal(signal.SIGHUP)
        reloaded = await child.event("reloaded")
        finished = await child.last()
    assert "is not taken up, the limits stay as they were" in warning["text"]
    assert (reloaded["taken"], reloaded["next_run"]) == (["shaping.default.message_rate"], ["subject"])
    assert (len(slow) <= 2, finished["exit"], len(world.ledger.copies)) == (True, 0, 60)
