"""`run --json`: what scripts are told, line by line, and at the end why it ended."""

from __future__ import annotations

import signal

from road_child import running
from road_events import FORMS, complaints

RELAY = "relay.test"


async def test_every_event_of_a_run_is_as_the_schema_says(world, road, held):
    world.domain("a.test").refuse("bob")
    world.domain("ops.test")
    async with running(road, "ann@a.test", "bob@a.test", report_to="ops@ops.test") as child:
        await child.event("progress")
        child.process.send_signal(signal.SIGTERM)
        await child.event("stopping")
        held.release.set()
        await child.last()
    names = [event["event"] for event in child.events if event["event"] != "progress"]
    assert names == ["planned", "started", "stopping", "reported", "finished"]
    assert (child.events[-1]["exit"], child.process.returncode) == (0, 0)


async def test_the_report_is_an_event_of_the_run(world, road):
    world.domain("a.test").refuse("bob")
    world.domain("ops.test")
    async with running(road, "ann@a.test", "bob@a.test", report_to="Ops <ops@ops.test>") as child:
        reported = await child.event("reported")
        await child.last()
    assert (reported["to"], reported["disposition"], child.events[-1]["event"]) == (
        "ops@ops.test",
        "delivered",
        "finished",
    )


async def test_the_last_event_of_a_run_that_was_broken_off_says_why(world, road, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    monkeypatch.setenv("RELAY_PASSWORD", "wrong")
    world.host(RELAY).set(relay=True).users({"user": "right"})
    via = f"smtp://user@{RELAY}:{road.running.smtp_port}"
    async with running(road, "ann@a.test", via=via, password={"env": "RELAY_PASSWORD"}) as child:
        last = await child.last()
    assert (last["event"], last["exit"], child.process.returncode) == ("stopped", 5, 5)
    assert ("535" in last["reason"], "wrong" in last["reason"]) == (True, False)


def test_what_is_not_as_the_schema_says_is_noticed():
    """The rig's own check, for it must be able to fail."""
    good = {"event": "stopping", "at": "2026-11-21T10:00:00.000+00:00", "campaign": "c", "signal": None}
    bad = {"at": "2026-11-21T10:00:00", "signal": 2, "campaign": None, "more": 1}
    assert (complaints(good), len(complaints({"event": "stopping", **bad}))) == ([], 4)
    assert complaints({"event": "finished"})[0] == "finished lacks totals"
    assert complaints({"event": "new"}) == ["no event new"]
    assert {"planned", "started", "progress", "stopping", "reported", "finished", "stopped"} <= FORMS.keys()
