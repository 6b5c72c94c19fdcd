"""What DNS does to a campaign: who bounces, who waits, who is asked once. The resolver has its own tests."""

from __future__ import annotations

import pytest
from road_rig import FIRST_PASS, people


async def test_a_servfail_on_mx_defers_and_never_falls_back_to_the_address(world, send):
    """D1."""
    world.domain("a.test").no_mx().servfail("MX")
    report = await send("ann@a.test", until=FIRST_PASS)
    assert (report.kinds(), report.ledger.connections, report.exit) == ({"ann@a.test": "deferred"}, 0, 5)


async def test_a_domain_that_dns_cannot_answer_for_is_tried_again_and_delivered_to(world, send):
    """D1."""
    world.domain("a.test").servfail("MX", times=4)
    report = await send("ann@a.test", "bob@a.test")
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "delivered"}


async def test_a_domain_that_dns_never_answers_for_expires(world, send):
    """D1."""
    world.domain("a.test").servfail("MX")
    report = await send(*people(3), retry={"first": "50ms", "factor": 1, "max": "50ms", "give_up": "200ms"})
    assert (set(report.kinds().values()), report.exit) == ({"expired"}, 4)


async def test_a_domain_that_does_not_exist_fails_at_once(world, send):
    """D2."""
    report = await send("ann@gone.test")
    assert (report.kinds(), report.last("ann@gone.test").enhanced) == ({"ann@gone.test": "bounced"}, "5.1.2")


async def test_a_domain_without_mx_is_its_own_exchanger(world, send):
    """D3."""
    world.domain("a.test").no_mx()
    report = await send("ann@a.test")
    assert (report.kinds(), report.ledger.messages[0].host) == ({"ann@a.test": "delivered"}, "a.test")


async def test_exchangers_that_do_not_exist_fail_and_those_unanswered_for_defer(world, send):
    """D4."""
    world.domain("a.test").host("mx1.a.test").host("mx2.a.test")
    world.domain("b.test").host("mx1.b.test").host("mx2.b.test")
    for host in ("mx1.a.test", "mx2.a.test", "mx1.b.test"):
        world.host(host).nxdomain()
    world.host("mx2.b.test").servfail()
    report = await send("ann@a.test", "bob@b.test", until=FIRST_PASS)
    assert (report.kinds(), report.ledger.connections) == (
        {"ann@a.test": "bounced", "bob@b.test": "deferred"},
        0,
    )


async def test_a_null_mx_fails_without_a_connection(world, send):
    """D5."""
    world.domain("a.test").null_mx()
    report = await send("ann@a.test")
    assert (report.kinds(), report.last("ann@a.test").enhanced, report.ledger.connections) == (
        {"ann@a.test": "bounced"},
        "5.1.10",
        0,
    )


async def test_an_exchanger_that_is_an_alias_is_tolerated(world, send):
    """D6."""
    world.domain("a.test").mx_alias()
    report = await send("ann@a.test")
    assert report.kinds() == {"ann@a.test": "delivered"}


@pytest.mark.parametrize("exchanger", ["localhost", "127.0.0.1", "192.168.1.1", "mx.a.test"])
async def test_an_exchanger_on_a_private_address_is_not_connected_to_unless_allowed(world, send, exchanger):
    """D6."""
    world.domain("a.test").host(exchanger)
    report = await send("ann@a.test", allow_private=False)
    assert (report.kinds(), report.ledger.connections) == ({"ann@a.test": "bounced"}, 0)


async def test_nobody_hands_mail_to_himself_or_to_those_behind_him(world, send):
    """D7."""
    world.domain("first.test").host("mx.first.test", 5).host("out.test", 10).host("worse.test", 20)
    world.domain("ours.test").host("out.test", 10).host("worse.test", 20)
    world.host("mx.first.test").refuse_connections()
    report = await send("ann@first.test", "bob@ours.test", until=FIRST_PASS)
    assert (report.kinds(), report.last("bob@ours.test").enhanced, report.ledger.connections) == (
        {"ann@first.test": "deferred", "bob@ours.test": "bounced"},
        "5.4.6",
        0,
    )


async def test_of_hundreds_of_exchangers_a_few_are_tried(world, send):
    """D8."""
    domain = world.domain("a.test").many_hosts(200)
    for host in domain.hosts:
        host.refuse_connections()
    report = await send("ann@a.test", until=FIRST_PASS)
    looked_up = sum(kind == "A" for _, kind in report.ledger.queries)
    assert (report.kinds(), 0 < looked_up < 20) == ({"ann@a.test": "deferred"}, True)


async def test_a_domain_is_looked_up_once_for_all_of_its_recipients(world, send):
    """D10."""
    world.domain("a.test")
    report = await send(*people(300), transaction="individual", connections=10)
    asked = {kind: count for (name, kind), count in report.ledger.queries.items() if name == "a.test"}
    assert (report.totals["delivered"], asked) == (300, {"MX": 1})
