"""TLS, time limits and schedules of one provider or domain, over the whole road."""

from __future__ import annotations

import pytest
from road_child import running
from road_rig import FIRST_PASS, people

DEFAULT = {"message_rate": "100000/s", "connection_rate": "100000/s"}


@pytest.mark.parametrize(
    "scope", [{"providers": {"big.test": {"tls": "required"}}}, {"domains": {"a.test": {"tls": "required"}}}]
)
@pytest.mark.parametrize("workers", [1, 2])
async def test_where_a_provider_or_a_domain_demands_tls_only_its_mail_waits_for_it(
    world, road, scope, workers
):
    """S1: two domains of two providers, and none has TLS."""
    for name in ("a", "b"):
        world.domain(f"{name}.test").host(f"mx.{'big' if name == 'a' else 'small'}.test").tls("none")
    addresses = [*people(20), *people(20, "b.test")]
    settings = {"shaping": {"default": DEFAULT, **scope}, "transaction": "individual"}
    flags = ("--yes", "--new", "--workers", str(workers), "--until", "first-pass")
    async with running(road, *addresses, flags=flags, **settings) as child:
        totals = (await child.event("finished"))["totals"]
    told = [
        command
        for session in world.ledger.sessions_at("mx.big.test")
        for command in session.commands
        if "a.test" in command
    ]
    assert (totals["delivered"], totals["deferred"], told) == (20, 20, [])
    assert set(world.ledger.copies) == set(people(20, "b.test"))


async def test_two_domains_of_one_host_and_only_one_of_them_may_go_in_clear_text(world, send):
    """S1, S10: what stands open in clear text for one is not for the other."""
    world.domain("a.test").host("mx.both.test").tls("none")
    world.domain("b.test").host("mx.both.test")
    report = await send(
        *people(30),
        *people(30, "b.test"),
        shaping={"default": DEFAULT, "domains": {"a.test": {"tls": "required"}}},
        transaction="individual",
        until=FIRST_PASS,
    )
    states = report.kinds()
    assert {states[one] for one in people(30)} == {"deferred"}
    assert {states[one] for one in people(30, "b.test")} == {"delivered"}
    assert not any("a.test" in command for command in report.commands("mx.both.test"))


async def test_a_certificate_that_one_provider_must_show_is_checked_against_the_systems_authorities(
    world, road, monkeypatch
):
    """S5: nobody else's is, and the authorities are read for its sake."""
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    world.domain("a.test").host("mx.big.test")
    world.domain("b.test").host("mx1.big.test").tls("expired")
    world.domain("c.test").host("mx.small.test").tls("expired")
    report = await road.send(
        "ann@a.test",
        "bob@b.test",
        "cyd@c.test",
        shaping={"default": DEFAULT, "providers": {"big.test": {"tls": "verified"}}},
        until=FIRST_PASS,
    )
    assert report.kinds() == {"ann@a.test": "delivered", "bob@b.test": "deferred", "cyd@c.test": "delivered"}
    (line,) = [one for one in report.lines if one["recipient"] == "ann@a.test"]
    assert line["tls"].endswith("verified")
