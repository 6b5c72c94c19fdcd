"""G2: a host may say 421 at any point. Whoever it leaves unanswered is tried again, and nobody bounces."""

from __future__ import annotations

import pytest
from road_rig import people

BYE = b"421 4.3.2 going down, come back later"
LOCKSTEP = ("PIPELINING", "CHUNKING")


STAGES = [
    ("GREETING", 0),
    ("EHLO", 0),
    ("STARTTLS", 0),
    ("EHLO", 1),  # the one after TLS
    ("MAIL", 0),
    ("RCPT", 0),
    ("RCPT", 1),
    ("RCPT", 3),
    ("DATA", 0),
    ("BODY", 0),
    ("END_OF_DATA", 0),
]


@pytest.mark.parametrize(
    ("stage", "after", "without"),
    [(*stage, ()) for stage in STAGES] + [(*stage, LOCKSTEP) for stage in STAGES[4:]],
)
async def test_a_421_at_any_stage_defers_whoever_is_unanswered(world, send, stage, after, without):
    """G2."""
    world.domain("a.test").extensions(without=without).reply(stage, BYE, times=1, after=after)
    report = await send(*people(4), connections=1)
    assert (set(report.kinds().values()), {tuple(report.dispositions(one)) for one in report.states}) == (
        {"delivered"},
        {("deferred", "delivered")},
    )


@pytest.mark.parametrize(
    ("stage", "after"),
    [("MAIL", 1), ("MAIL", 5), ("RCPT", 5), ("DATA", 1), ("BODY", 1), ("BDAT", 0), ("BDAT", 2), ("BDAT", 5)],
)
async def test_a_421_in_the_middle_of_many_messages_bounces_nobody_and_leaves_nobody_in_doubt(
    world, send, stage, after
):
    """G2."""
    world.domain("a.test").reply(stage, BYE, times=1, after=after)
    report = await send(*people(14), connections=1, transaction="individual")
    attempts = [report.dispositions(one) for one in report.states]
    assert set(report.kinds().values()) == {"delivered"}
    assert {state for states in attempts for state in states} <= {"deferred", "delivered"}
    assert sum(len(states) > 1 for states in attempts) <= 1  # who was being spoken of
    assert world.tally["mx.a.test", stage] > after  # it was said


async def test_a_421_to_auth_defers_and_is_no_refusal_of_the_password(world, road, monkeypatch):
    """G2."""
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    monkeypatch.setenv("RELAY_PASSWORD", "right")
    relay = world.host("relay.test").set(relay=True).users({"user": "right"})
    relay.reply("AUTH", BYE, times=1)
    via = f"smtp://user@relay.test:{road.running.smtp_port}"
    report = await road.send("ann@a.test", via=via, password={"env": "RELAY_PASSWORD"})
    assert report.dispositions("ann@a.test") == ["deferred", "delivered"]


async def test_a_421_to_rset_harms_nobody(world, send):
    """G2."""
    world.domain("a.test").refuse("p00001").reply("RSET", BYE)
    report = await send(*people(4), connections=1, transaction="individual")
    assert [report.dispositions(one) for one in people(4)] == [
        ["delivered"],
        ["bounced"],
        ["delivered"],
        ["delivered"],
    ]


@pytest.mark.parametrize("words", [BYE, b""], ids=["421", "without a word"])
async def test_who_hangs_up_an_idle_connection_harms_nobody(world, send, words):
    """G2, G9."""
    world.domain("a.test").leave_idle(0.02, words)
    report = await send(*people(3), connections=1, transaction="individual", message_rate="10/s")
    assert [report.dispositions(one) for one in people(3)] == [["delivered"]] * 3
    assert report.ledger.connections > 1


async def test_who_throttles_with_421_is_left_alone_as_a_site_and_keeps_his_people(world, send):
    """G2: counted as throttling, and not as anybody's failure."""
    world.domain("a.test").greeting(BYE, times=3)
    report = await send(*people(40), connections=4, transaction="individual")
    held = [event for event in report.events if event["event"] == "site"]
    assert (report.totals["delivered"], report.totals["bounced"], len(held) >= 1) == (40, 0, True)
