"""Which limit binds, and whence it came: tables."""

from __future__ import annotations

import pytest

from bulkmail.delivery.limits import (
    BUILT_IN,
    LEARNED,
    SCHEDULE,
    Limit,
    Origin,
    Shape,
    binding,
    overlaid,
    tighter,
)
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.rules import Rules
from bulkmail.transport.approach import TlsPolicy

DEFAULT = Origin("default", BUILT_IN)
USERS = Origin("default", "campaign.yaml:12")
GOOGLE = Origin("provider google", "built-in profile")
DOMAIN = Origin("domain example.org", "campaign.yaml:20")
CAMPAIGN = {
    kind: Limit(value, Origin("campaign", BUILT_IN), written)
    for kind, value, written in (
        ("time_limits.greeting", 300.0, "5m"),
        ("time_limits.data", 120.0, "2m"),
        ("retry.first", 300.0, "5m"),
        ("retry.factor", 2.0, ""),
        ("retry.max", 14_400.0, "4h"),
        ("retry.give_up", 172_800.0, "2d"),
    )
}


def test_within_a_scope_the_users_value_replaces_the_built_in_though_it_is_larger():
    built_in = {"connections": Limit(10, DEFAULT), "message_rate": Limit(100.0, DEFAULT)}
    assert overlaid(built_in, {"message_rate": Limit(2000.0, USERS)}) == {
        "connections": Limit(10, DEFAULT),
        "message_rate": Limit(2000.0, USERS),
    }


def test_across_scopes_the_smallest_binds_whoever_wrote_it():
    users = {"message_rate": Limit(2000.0, USERS, "2000/s"), "connections": Limit(3, USERS)}
    google = {"message_rate": Limit(20.0, GOOGLE, "20/s"), "connections": Limit(5, GOOGLE)}
    domain = {"recipients_per_transaction": Limit(1, DOMAIN)}
    bound = binding([users, google, domain])
    assert [limit.told(kind) for kind, limit in bound.items()] == [
        "message_rate 20/s (provider google, built-in profile)",
        "connections 3 (default, campaign.yaml:12)",
        "recipients_per_transaction 1 (domain example.org, campaign.yaml:20)",
    ]


def test_where_two_say_the_same_the_wider_scope_is_named():
    assert binding([{"connections": Limit(5, USERS)}, {"connections": Limit(5, GOOGLE)}]) == {
        "connections": Limit(5, USERS)
    }


@pytest.mark.parametrize(
    ("wide", "narrow", "binds"),
    [
        ("none", "required", "required"),
        ("verified", "none", "verified"),
        ("required", "verified", "verified"),
    ],
)
def test_tls_is_only_ever_raised(wide, narrow, binds):
    bound = binding([{"tls": Limit(wide, DEFAULT)}, {"tls": Limit(narrow, DOMAIN)}])
    assert bound["tls"].value == binds


def test_a_schedule_is_no_limit_and_each_part_is_of_the_narrowest_scope_that_names_it():
    google = {"retry.first": Limit(60.0, GOOGLE, "1m"), "retry.give_up": Limit(86_400.0, GOOGLE, "1d")}
    bound = binding([CAMPAIGN, google, {"retry.first": Limit(900.0, DOMAIN, "15m")}])
    assert [limit.told(kind) for kind, limit in bound.items() if kind in SCHEDULE] == [
        "retry.first 15m (domain example.org, campaign.yaml:20)",
        "retry.factor 2 (campaign, built-in)",
        "retry.max 4h (campaign, built-in)",
        "retry.give_up 1d (provider google, built-in profile)",
    ]


def test_of_a_time_limit_the_shortest_binds_each_for_itself():
    google = {"time_limits.greeting": Limit(30.0, GOOGLE, "30s"), "time_limits.data": Limit(900.0, GOOGLE)}
    bound = binding([CAMPAIGN, google, {"time_limits.greeting": Limit(60.0, DOMAIN)}])
    assert (bound["time_limits.greeting"].origin, bound["time_limits.data"].value) == (GOOGLE, 120.0)


def rules(google: Shape, domain: Shape) -> Rules:
    profile = Profile("google", ("google.com",), google)
    return Rules(providers=Providers([profile]), domains={"example.org": domain}, campaign=CAMPAIGN)


def test_the_schedule_of_a_domain_is_laid_over_that_of_its_provider_and_that_over_the_campaigns():
    google = {"retry.first": Limit(60.0, GOOGLE), "retry.give_up": Limit(86_400.0, GOOGLE)}
    found = rules(google, {"retry.first": Limit(900.0, DOMAIN)})
    assert found.retry("mx.google.com", "example.org") == Retry(900.0, 2.0, 14_400.0, 86_400.0)
    assert found.retry("mx.google.com", "a.test") == Retry(60.0, 2.0, 14_400.0, 86_400.0)
    assert found.retry("mx.a.test", "example.org") == Retry(900.0)
    assert found.retry("mx.a.test", "a.test") is None


def test_of_a_connection_is_demanded_what_the_provider_of_the_host_and_the_domain_demand_both():
    google = {"tls": Limit("required", GOOGLE), "time_limits.mail": Limit(20.0, GOOGLE)}
    domain = {"tls": Limit("opportunistic", DOMAIN), "time_limits.mail": Limit(30.0, DOMAIN)}
    found = rules(google, domain)
    assert found.manner("mx.google.com", "example.org") == (TlsPolicy.REQUIRED, {"mail": 20.0})
    assert found.manner("backup.test", "example.org") == (TlsPolicy.OPPORTUNISTIC, {"mail": 30.0})
    assert found.manner("mx.google.com") == (TlsPolicy.REQUIRED, {"mail": 20.0})
    assert found.manner("backup.test") is None
    assert (found.apart("example.org"), found.apart("a.test"), found.verifies) == ("example.org", "", False)


@pytest.mark.parametrize(("learned", "binds"), [(4, 4), (5, 5), (6, 5)])
def test_what_is_learned_only_tightens(learned, binds):
    said = Limit(5, GOOGLE)
    assert tighter("connections", said, Limit(learned, Origin("site", LEARNED))).value == binds
    assert tighter("connections", said, None) is said


def test_a_rate_that_nobody_wrote_is_told_with_its_unit():
    assert Limit(0.5, Origin("site mx.a.test", LEARNED)).told("message_rate") == (
        "message_rate 0.5/s (site mx.a.test, learned)"
    )
