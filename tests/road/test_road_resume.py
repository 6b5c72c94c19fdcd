"""The second run of a campaign, and the run that ends before everybody is settled."""

from __future__ import annotations

import os

import pytest
from road_rig import FIRST_PASS, people

from bulkmail.campaign import config
from bulkmail.errors import CampaignChanged, CampaignLocked
from bulkmail.journal import Store, Suppressions


async def test_a_finished_campaign_sends_nothing_when_it_is_run_again(world, send):
    world.domain("a.test").refuse("bob")
    await send("ann@a.test", "bob@a.test")
    report = await send("ann@a.test", "bob@a.test")
    assert (report.kinds(), report.outcome.transactions) == (
        {"ann@a.test": "delivered", "bob@a.test": "bounced"},
        0,
    )


async def test_the_first_pass_tries_everybody_once_and_a_second_run_goes_on(world, send):
    world.domain("a.test").greylist("bob")
    world.domain("b.test").reply("MAIL", b"451 4.3.0 later", times=1)
    first = await send("ann@a.test", "bob@a.test", "cat@b.test", until=FIRST_PASS)
    second = await send("ann@a.test", "bob@a.test", "cat@b.test")
    assert (first.kinds(), first.exit, second.kinds(), second.exit) == (
        {"ann@a.test": "delivered", "bob@a.test": "deferred", "cat@b.test": "deferred"},
        5,
        {"ann@a.test": "delivered", "bob@a.test": "delivered", "cat@b.test": "delivered"},
        0,
    )


async def test_a_limit_hands_out_so_many_and_a_second_run_goes_on(world, send):
    world.domain("a.test").greylist("p00000")
    world.domain("b.test")
    addresses = [*people(5), *people(4, "b.test")]
    first = await send(*addresses, only=3)
    second = await send(*addresses)
    assert (first.totals["delivered"], first.totals["pending"], first.exit) == (3, 6, 5)
    assert (second.totals["delivered"], second.exit) == (9, 0)


async def test_whoever_is_suppressed_during_a_run_is_not_mailed_any_more(world, road):
    """Honoured before the next MAIL: the first message has ended when the second recipient opts out."""
    world.domain("a.test")
    campaign = road.load("ann@a.test", "bob@a.test", "cat@a.test")

    world.ledger.accept = _then(world.ledger.accept, campaign)
    report = await road.send(
        "ann@a.test", "bob@a.test", "cat@a.test", transaction="individual", connections=1
    )
    assert report.kinds() == {
        "ann@a.test": "delivered",
        "bob@a.test": "suppressed",
        "cat@a.test": "delivered",
    }


def _then(accept, campaign):
    """The host accepts a message, and before its 250 is written somebody opts out."""

    def accepting(received):
        accept(received)
        with Suppressions.open(campaign.project_state / "project.db") as suppressions:
            suppressions.add(["Bob@A.test"], "asked us to stop")

    return accepting


def change(road, what):
    """The settings of the second run, in which something is not as it was."""
    people = ["ann@a.test", "bob@a.test"]
    return {
        "recipients": ([*people, "eve@a.test"], {}),
        "content": (people, {"text_of_message": "Something else.\n"}),
        "delivery": (people, {"via": f"smtp://relay.test:{road.running.smtp_port}"}),
    }[what]


@pytest.mark.parametrize("what", ["recipients", "content", "delivery"])
async def test_what_changed_before_a_resume_is_named_and_refused(world, road, what):
    """I11."""
    world.domain("a.test").greylist("bob")
    world.host("relay.test").set(relay=True)
    await road.send("ann@a.test", "bob@a.test", until=FIRST_PASS)
    before = world.ledger.transactions
    addresses, settings = change(road, what)
    with pytest.raises(CampaignChanged, match=what):
        await road.send(*addresses, **settings)
    assert world.ledger.transactions == before


@pytest.mark.parametrize("what", ["recipients", "content", "delivery"])
async def test_an_accepted_change_concerns_those_who_remain_and_reopens_nobody(world, road, what):
    """I11."""
    world.domain("a.test").greylist("bob")
    world.host("relay.test").set(relay=True)
    await road.send("ann@a.test", "bob@a.test", until=FIRST_PASS)
    addresses, settings = change(road, what)
    report = await road.send(*addresses, accept=[what], **settings)
    last = report.ledger.messages[-1]
    assert (report.kinds(), last.recipients, b"Something else" in last.content, last.host) == (
        {"ann@a.test": "delivered", "bob@a.test": "delivered"},
        ("bob@a.test",),
        what == "content",
        "relay.test" if what == "delivery" else "mx.a.test",
    )


async def test_a_list_that_was_only_touched_has_not_changed(world, road):
    """I11."""
    world.domain("a.test").greylist("bob")
    await road.send("ann@a.test", "bob@a.test", until=FIRST_PASS)
    os.utime(road.folder / "people.csv", (1, 1))
    report = await road.send("ann@a.test", "bob@a.test")
    assert report.totals["delivered"] == 2


async def test_a_second_runner_is_refused_and_told_of_the_first(world, road):
    """J4."""
    world.domain("a.test")
    refused = []

    def tell(event):
        if event["event"] == "started":
            from bulkmail.campaign.prepare import prepared

            campaign = config.load(road.folder / "campaign.yaml", environ=os.environ)
            with pytest.raises(CampaignLocked) as raised, prepared(campaign, tell=lambda _: None):
                pass
            refused.append(str(raised.value))

    report = await road.send("ann@a.test", tell=tell)
    assert (report.kinds(), len(refused), str(os.getpid()) in refused[0]) == (
        {"ann@a.test": "delivered"},
        1,
        True,
    )


async def test_the_operator_settles_who_is_in_doubt(world, road):
    world.domain("a.test").drop("END_OF_DATA", times=1)
    first = await road.send("ann@a.test")
    with Store.open(road.folder / ".bulkmail" / "road.journal") as store:
        resolved = store.resolve_doubt("resend", 0.0)
    second = await road.send("ann@a.test")
    assert (first.kinds(), resolved, second.kinds()) == (
        {"ann@a.test": "in_doubt"},
        1,
        {"ann@a.test": "delivered"},
    )
