"""A campaign that pauses itself: by a rule, with what shows it, or after its seeds."""

from __future__ import annotations

import os

import pytest
from road_rig import people

from bulkmail.campaign import config, operator, runner
from bulkmail.errors import CampaignPaused
from bulkmail.journal import writer
from bulkmail.sandbox import World

SLOW = {"message_rate": "100/s", "transaction": "individual", "connections": 1}
MANY = people(200)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are judged with the progress."""
    monkeypatch.setattr(runner, "PROGRESS_S", 0.02)
    monkeypatch.setattr(writer, "LAG_S", 0.02)


def resume(road) -> object:
    (answer,) = operator.order(config.load(road.folder / "campaign.yaml", environ=os.environ), "resume")
    return answer["paused"]


def refuse_some(domain, reply: bytes) -> None:
    for number in range(0, 200, 4):
        domain.refuse(f"p{number:05}", reply)


async def test_too_many_bounces_pause_the_campaign_and_only_what_follows_is_judged(world: World, road):
    refuse_some(world.domain("a.test"), b"550 5.1.1 no such user")
    rule = {"safety": {"pause_if": {"bounced": "20%", "after": 30}}}
    first = await road.send(*MANY, **SLOW, **rule)
    with pytest.raises(CampaignPaused) as refused:
        await road.send(*MANY, **SLOW, **rule)
    resume(road)
    second = await road.send(*MANY, **SLOW, **rule)
    resume(road)
    done = await road.send(*MANY, transaction="individual")
    (paused,) = (event for event in first.events if event["event"] == "paused")
    assert (first.exit, second.exit, done.exit) == (7, 7, 0)
    assert "recipients bounced" in paused["reason"]
    assert "550 5.1.1 no such user" in paused["evidence"][0]
    assert refused.value.evidence == tuple(paused["evidence"])
    judged = second.totals["delivered"] + second.totals["bounced"]
    assert judged - first.totals["delivered"] - first.totals["bounced"] >= 30
    assert done.totals["bounced"] == 50


async def test_who_is_blocked_counts_once_though_he_is_tried_again_and_across_runs(world: World, road):
    reply = b"450 4.7.1 Service unavailable; Client host [127.0.0.1] blocked using zen.spamhaus.org"
    for number in range(0, 40, 2):
        world.domain("a.test").refuse(f"p{number:05}", reply)
    half = await road.send(
        *MANY[:40], only=20, until=runner.Until(first_pass=True), safety={"pause_if": {"blocked": "60%"}}
    )
    rule = {"safety": {"pause_if": {"blocked": "40%", "after": 40}}, "message_rate": "100/s"}
    report = await road.send(*MANY[:40], transaction="individual", **rule)
    (paused,) = (event for event in report.events if event["event"] == "paused")
    assert (half.exit, report.exit) == (5, 7)
    count, _, rest = paused["reason"].partition(" of ")
    assert rest.startswith("40 recipients were refused as blocked")
    assert 20 <= int(count) <= 40  # with whoever was not sent to because of them


async def test_after_the_seeds_a_word_is_waited_for(world: World, road):
    world.domain("a.test")
    world.domain("qa.test").greylist("ann")
    seeds = {"recipients": {"source": "people.csv", "seeds": ["ann@qa.test", "bob@qa.test"]}}
    keys = seeds | {"safety": {"wait_after_seeds": True}}
    first = await road.send(*MANY, **keys)
    with pytest.raises(CampaignPaused):
        await road.send(*MANY, **keys)
    resume(road)
    second = await road.send(*MANY, **keys)
    (paused,) = (event for event in first.events if event["event"] == "paused")
    assert (first.exit, dict(first.totals)["delivered"], paused["by"]) == (7, 2, "seeds")
    assert [line.partition(" (")[0] for line in paused["evidence"]] == [
        "ann@qa.test: delivered",
        "bob@qa.test: delivered",
    ]
    assert (second.exit, second.totals["delivered"]) == (0, 202)
