"""Through a relay that wants a password: the only site there is, and one that must prove who it is first."""

from __future__ import annotations

import pytest
from road_rig import FIRST_PASS, people

from bulkmail.errors import BulkmailError, CredentialsRefused

USERS = {"user": "right"}
RELAY = "relay.test"


@pytest.fixture
def relay(world, road, monkeypatch, tmp_path):
    """A relay whose certificate this machine trusts, and the settings that lead to it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    monkeypatch.setenv("RELAY_PASSWORD", "right")
    road.defaults = {
        "via": f"smtp://user@{RELAY}:{road.running.smtp_port}",
        "password": {"env": "RELAY_PASSWORD"},
    }
    return world.host(RELAY).set(relay=True).users(USERS)


def commands(world) -> str:
    return " ".join(command for session in world.ledger.sessions for command in session.commands)


async def test_a_relay_takes_all_domains_after_auth_over_verified_starttls(world, relay, send):
    report = await send("ann@a.test", "bob@b.test")
    assert (report.kinds(), {(m.tls, m.user, m.host) for m in report.ledger.messages}) == (
        {"ann@a.test": "delivered", "bob@b.test": "delivered"},
        {(True, "user", RELAY)},
    )


async def test_a_relay_takes_all_domains_after_auth_over_tls_from_the_first_octet(world, relay, road):
    relay.set(implicit_tls=True)
    via = f"smtps://user@{RELAY}:{road.running.smtp_port}"
    report = await road.send("ann@a.test", "bob@b.test", via=via)
    assert (report.kinds(), {(m.tls, m.user) for m in report.ledger.messages}) == (
        {"ann@a.test": "delivered", "bob@b.test": "delivered"},
        {(True, "user")},
    )


def refusal(raised: BaseExceptionGroup | BulkmailError) -> BaseException:
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    return raised


async def test_a_wrong_password_stops_the_run_and_loses_nobody(world, relay, road, monkeypatch):
    monkeypatch.setenv("RELAY_PASSWORD", "wrong")
    with pytest.raises((BaseExceptionGroup, BulkmailError)) as raised:
        await road.send("ann@a.test", "bob@b.test")
    monkeypatch.setenv("RELAY_PASSWORD", "right")
    report = await road.send("ann@a.test", "bob@b.test")
    error = refusal(raised.value)
    assert (isinstance(error, CredentialsRefused), "535" in str(error), "wrong" in str(error)) == (
        True,
        True,
        False,
    )
    assert report.kinds() == {"ann@a.test": "delivered", "bob@b.test": "delivered"}


@pytest.mark.parametrize("kind", ["untrusted", "expired", "wrong-name", "none", "refused"])
async def test_the_password_never_leaves_without_a_certificate_that_holds(world, relay, send, kind):
    """S5."""
    relay.tls(kind).set(auth_without_tls=True)
    report = await send("ann@a.test", until=FIRST_PASS)
    assert (report.kinds(), "AUTH" in commands(world)) == ({"ann@a.test": "deferred"}, False)


async def test_the_password_never_leaves_inside_tls_of_somebody_else(world, relay, road):
    """S5."""
    relay.set(implicit_tls=True).tls("untrusted")
    via = f"smtps://user@{RELAY}:{road.running.smtp_port}"
    report = await road.send("ann@a.test", via=via, until=FIRST_PASS)
    assert (report.kinds(), "AUTH" in commands(world)) == ({"ann@a.test": "deferred"}, False)


async def test_the_quota_of_a_relay_is_waited_for(world, relay, send):
    relay.quota(3, refusals=2)
    report = await send(*people(8), transaction="individual", connections=1)
    assert (set(report.kinds().values()), report.exit) == ({"delivered"}, 0)
    assert "deferred" in {state for address in report.states for state in report.dispositions(address)}


async def test_a_relay_that_is_away_defers_and_bounces_nobody(world, relay, send):
    relay.refuse_connections()
    report = await send("ann@a.test", "bob@b.test", until=FIRST_PASS)
    assert report.kinds() == {"ann@a.test": "deferred", "bob@b.test": "deferred"}


async def test_a_relay_that_dns_does_not_know_defers_and_bounces_nobody(world, relay, send):
    relay.nxdomain()
    report = await send("ann@a.test", "bob@b.test", until=FIRST_PASS)
    assert report.kinds() == {"ann@a.test": "deferred", "bob@b.test": "deferred"}
