"""When a host or a site as a whole has trouble, or has trouble with us: who else is concerned by it."""

from __future__ import annotations

import pytest
from road_rig import FIRST_PASS, people


def mails(report, host):
    return sum(command.startswith("MAIL") for command in report.commands(host))


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("MAIL", b"451 4.3.0 trouble here"),
        ("MAIL", b"421 4.3.2 going down"),
        ("RCPT", b"421 4.3.2 going down"),
    ],
)
async def test_a_host_that_cannot_go_on_is_left_for_the_next_one(world, send, stage, reply):
    """T1: RFC 5321 section 5.1, also after the greeting."""
    world.domain("a.test").host("one.a.test", 5).host("two.a.test", 10)
    world.host("one.a.test").reply(stage, reply)
    report = await send(*people(30), retry={"first": "1h"})
    assert (report.totals["delivered"], mails(report, "one.a.test")) == (30, 1)


async def test_a_host_that_drops_us_in_mid_envelope_is_left_for_the_next_one(world, send):
    """T1."""
    world.domain("a.test").host("one.a.test", 5).host("two.a.test", 10)
    world.host("one.a.test").drop("RCPT")
    report = await send(*people(30), retry={"first": "1h"})
    assert (report.totals["delivered"], report.ledger.messages[0].host) == (30, "two.a.test")


async def test_two_hosts_that_both_refuse_us_do_not_play_us_to_and_fro(world, send):
    """T1."""
    world.domain("a.test").host("one.a.test", 5).host("two.a.test", 10)
    world.host("one.a.test").reply("RCPT", b"421 4.3.2 going down")
    world.host("two.a.test").greeting(b"554 no service")
    report = await send("ann@a.test", until=FIRST_PASS, retry={"first": "1h"})
    assert (report.kinds(), mails(report, "one.a.test") <= 3) == ({"ann@a.test": "deferred"}, True)


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("MAIL", b"550 5.7.1 your address is listed"),
        ("MAIL", b"550 5.4.5 daily sending quota exceeded"),
        ("RCPT", b"554 5.7.1 rejected by a blocklist"),
        ("RCPT", b"504 5.5.2 Helo command rejected"),
    ],
)
async def test_a_refusal_of_ourselves_does_not_use_up_the_list(world, send, stage, reply):
    """A blocked sender must notice before everybody has bounced; those not tried wait."""
    world.domain("a.test").reply(stage, reply)
    report = await send(*people(500), recipients_per_transaction=10, until=FIRST_PASS, retry={"first": "1h"})
    assert report.totals["bounced"] <= 30 + 10 * 10  # three strikes, and what other sessions had open
    assert report.totals["deferred"] == 500 - report.totals["bounced"]


async def test_unknown_users_in_a_row_are_no_sign_against_us(world, send):
    domain = world.domain("a.test")
    for address in people(40):
        domain.refuse(address.partition("@")[0])
    report = await send(*people(50), transaction="individual", retry={"first": "1h"})
    assert (report.totals["bounced"], report.totals["delivered"]) == (40, 10)


async def test_who_is_in_doubt_is_not_sent_to_for_ever(world, send):
    """X8: a peer that takes the message and never says so gets it again, but only so often."""
    world.domain("a.test").drop("END_OF_DATA", accepted=True)
    report = await send("ann@a.test", on_doubt="resend", copies={"ann@a.test": 3})
    assert report.kinds() == {"ann@a.test": "in_doubt"}


async def test_connections_of_a_site_with_two_hosts_stay_within_its_limit(world, send):
    domain = world.domain("a.test").host("one.a.test").host("two.a.test")
    report = await send(*people(60), transaction="individual", connections=3)
    assert (report.totals["delivered"], report.ledger.peak_by_site[domain.site] <= 3) == (60, True)
