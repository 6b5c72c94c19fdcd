"""STARTTLS as hosts offer it, refuse it and break it."""

from __future__ import annotations

import pytest
from road_rig import FIRST_PASS, people


@pytest.mark.parametrize("kind", ["none", "refused"])
async def test_without_tls_mail_goes_in_clear_text_where_that_is_good_enough(world, send, kind):
    """S1."""
    world.domain("a.test").tls(kind)
    report = await send("ann@a.test")
    assert (report.kinds(), report.ledger.messages[0].tls) == ({"ann@a.test": "delivered"}, False)
    assert report.ledger.connections == 1  # nothing was tried that could not work


@pytest.mark.parametrize("kind", ["none", "refused", "broken"])
async def test_without_tls_mail_waits_where_it_is_required(world, send, kind):
    """S1."""
    world.domain("a.test").tls(kind)
    report = await send("ann@a.test", tls="required", until=FIRST_PASS)
    told = [command for command in report.commands("mx.a.test") if "a.test" in command]
    assert (report.kinds(), told) == ({"ann@a.test": "deferred"}, [])


async def test_what_came_in_clear_text_behind_the_220_is_not_believed(world, send):
    """S2."""
    world.domain("a.test").tls("extra")
    report = await send("ann@a.test", until=FIRST_PASS)
    assert (report.kinds(), "MAIL" in str(report.commands("mx.a.test"))) == (
        {"ann@a.test": "deferred"},
        False,
    )


async def test_after_tls_the_host_introduces_itself_again(world, send):
    """S3."""
    world.domain("a.test")
    report = await send("ann@a.test")
    assert (report.kinds(), report.commands("mx.a.test")[:3], report.ledger.messages[0].tls) == (
        {"ann@a.test": "delivered"},
        ["EHLO out.test", "STARTTLS", "EHLO out.test"],
        True,
    )


async def test_a_broken_handshake_is_followed_by_clear_text_and_remembered(world, send):
    """S4."""
    world.domain("a.test").tls("broken")
    report = await send(*people(6), transaction="individual", messages_per_connection=2, connections=1)
    asked = [session.commands.count("STARTTLS") for session in report.ledger.sessions]
    assert (report.totals["delivered"], asked) == (6, [1, 0, 0, 0])


@pytest.mark.parametrize("kind", ["untrusted", "expired", "wrong-name"])
async def test_a_certificate_that_does_not_hold_is_noted_or_refused(world, send, kind):
    """S5."""
    world.domain("a.test").tls(kind)
    report = await send("ann@a.test")
    assert (report.kinds(), report.lines[0]["tls"].endswith("verified")) == (
        {"ann@a.test": "delivered"},
        False,
    )


@pytest.mark.parametrize("kind", ["untrusted", "expired", "wrong-name"])
async def test_where_tls_is_to_be_verified_mail_waits_for_a_certificate_that_holds(
    world, road, monkeypatch, kind
):
    """S5."""
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    world.domain("a.test").tls(kind)
    world.domain("b.test")
    report = await road.send("ann@a.test", "bob@b.test", tls="verified", until=FIRST_PASS)
    assert (report.kinds(), "certificate" in report.reply("ann@a.test")) == (
        {"ann@a.test": "deferred", "bob@b.test": "delivered"},
        True,
    )


async def test_the_host_is_asked_for_by_its_name(world, send):
    """S6."""
    world.domain("a.test").host("mx.elsewhere.test")
    report = await send("ann@a.test")
    assert (report.kinds(), [session.sni for session in report.ledger.sessions]) == (
        {"ann@a.test": "delivered"},
        ["mx.elsewhere.test"],
    )
