"""Which limit binds, and whence it came: tables."""

from __future__ import annotations

import pytest

from bulkmail.delivery.limits import BUILT_IN, LEARNED, Limit, Origin, binding, overlaid, tighter

DEFAULT = Origin("default", BUILT_IN)
USERS = Origin("default", "campaign.yaml:12")
GOOGLE = Origin("provider google", "built-in profile")
DOMAIN = Origin("domain example.org", "campaign.yaml:20")


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


def test_a_schedule_is_no_limit_and_the_narrowest_scope_has_it():
    bound = binding([{"retry": Limit((300.0,), DEFAULT)}, {"retry": Limit((900.0,), DOMAIN)}])
    assert bound["retry"].origin == DOMAIN


@pytest.mark.parametrize(("learned", "binds"), [(4, 4), (5, 5), (6, 5)])
def test_what_is_learned_only_tightens(learned, binds):
    said = Limit(5, GOOGLE)
    assert tighter("connections", said, Limit(learned, Origin("site", LEARNED))).value == binds
    assert tighter("connections", said, None) is said


def test_a_rate_that_nobody_wrote_is_told_with_its_unit():
    assert Limit(0.5, Origin("site mx.a.test", LEARNED)).told("message_rate") == (
        "message_rate 0.5/s (site mx.a.test, learned)"
    )
