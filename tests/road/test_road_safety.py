"""A campaign that pauses itself: by a rule, with what shows it, or after its seeds."""

from __future__ import annotations

import os

import pytest
from road_rig import people

from bulkmail.campaign import config, operator, runner
from bulkmail.campaign.outcome import Threshold
from bulkmail.errors import CampaignPaused
from bulkmail.journal import writer
from bulkmail.sandbox import World

SLOW = {"message_rate": "100/s", "transaction": "individual", "connections": 1}
MANY = people(200)
SPAM = b"554 5.7.1 Message rejected: it looks like spam"


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
    count, _, of, rest = paused["reason"].split(" ", 3)
    assert rest.startswith("recipients were refused as blocked")
    assert 0.4 * int(of) < int(count) <= 20  # of those who were asked
    assert int(of) <= 40


async def test_a_campaign_that_is_refused_for_its_content_pauses_unasked_and_says_by_what(world: World, road):
    for number in range(200):
        world.domain("a.test").refuse(f"p{number:05}", SPAM)
    slow = {"message_rate": "100/s", "recipients_per_transaction": 25, "connections": 1}
    first = await road.send(*MANY, **slow)
    (paused,) = (event for event in first.events if event["event"] == "paused")
    assert first.exit == 7
    assert 50 <= first.totals["bounced"] < 200
    assert "were refused for the message itself" in paused["reason"]
    assert "refused: 50%" in paused["reason"]
    assert SPAM.decode() in paused["evidence"][0]
    with pytest.raises(CampaignPaused):
        await road.send(*MANY, **slow)


async def test_a_few_refusals_for_the_content_stop_no_campaign(world: World, road):
    refuse_some(world.domain("a.test"), SPAM)
    report = await road.send(*MANY)
    assert (report.exit, report.totals["bounced"]) == (0, 50)


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


async def test_a_run_that_was_told_to_fail_on_bounces_says_so_and_why(world: World, road):
    refuse_some(world.domain("a.test"), b"550 5.1.1 no such user")
    report = await road.send(*MANY, until=runner.Until(fail_on=(Threshold.parse("bounced=20%"),)))
    finished = report.events[-1]
    assert (report.exit, finished["exit"], finished["totals"]["bounced"]) == (4, 4, 50)
    assert finished["undelivered"] == [
        {"class": "unknown user", "recipients": 50, "reply": "550 5.1.1 no such user"}
    ]


async def test_a_few_refusals_among_those_who_are_taken_one_by_one_stop_no_campaign(world: World, road):
    refuse_some(world.domain("a.test"), SPAM)
    world.domain("b.test")
    report = await road.send(*MANY, *people(100, "b.test"), transaction="individual")
    assert (report.exit, report.totals["delivered"]) == (0, 250)


@pytest.mark.parametrize(
    "reply",
    [
        b"550 5.7.26 This mail is unauthenticated",
        b"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
        b"550 5.4.5 Daily user sending limit exceeded",
    ],
)
@pytest.mark.parametrize("connections", [1, 2])
async def test_who_is_refused_for_our_sake_bounces_no_list_at_one_site(
    world: World, road, reply, connections
):
    world.domain("a.test").reply("END_OF_DATA", reply)
    few = {"recipients_per_transaction": 25, "connections": connections}
    report = await road.send(*MANY, until=runner.Until(first_pass=True), **few)
    # After three it is left alone; what is open then on another connection is answered, too.
    assert report.totals["bounced"] <= (3 + connections - 1) * 25
    assert report.totals["delivered"] == report.totals["expired"] == 0
    if b"5.7.26" in reply:
        assert report.exit == 7
        (paused,) = (event for event in report.events if event["event"] == "paused")
        assert reply.decode() in paused["evidence"][0]


async def test_one_listing_that_many_small_sites_heed_pauses_the_campaign_unasked_and_bounces_nobody(
    world: World, road
):
    listed = b"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"
    domains = [f"d{number}.test" for number in range(30)]
    for name in domains:
        world.domain(name).reply("RCPT", listed)
    report = await road.send(*(one for name in domains for one in people(2, name)))
    (paused,) = (event for event in report.events if event["event"] == "paused")
    assert (report.exit, report.totals["bounced"], report.totals["delivered"]) == (7, 0, 0)
    assert "were refused as blocked" in paused["reason"]
    assert listed.decode() in paused["evidence"][0]
