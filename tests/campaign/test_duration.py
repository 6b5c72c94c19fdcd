"""How long a plan takes under its limits, and which of them binds: tables."""

from __future__ import annotations

import pytest

from bulkmail.campaign.duration import TAKES_S, UNKNOWN, by_provider, holding, special
from bulkmail.campaign.plan_summary import DomainCount
from bulkmail.delivery.limits import Limit, Origin, Shape
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.delivery.rules import Rules


def shape(scope: str, **limits: float) -> Shape:
    return {kind: Limit(value, Origin(scope, "here")) for kind, value in limits.items()}


DEFAULT = shape(
    "default", message_rate=100.0, connection_rate=20.0, connections=40, messages_per_connection=100
)
BIG = {"a.test": "mx.a.big.test", "b.test": "mx.b.big.test"}
COUNTS = [DomainCount("a.test", 6_000, 6_000), DomainCount("b.test", 3_000, 3_000)]


def plans(provider: Shape, counts=COUNTS, sites=BIG, domains=None, rest=None):
    rules = Rules(DEFAULT, Providers([Profile("big", ("big.test",), provider)]), domains or {})
    return {one.provider: one for one in by_provider(counts, sites, rules, rest)}


@pytest.mark.parametrize(
    ("provider", "seconds", "least_s", "told"),
    [
        (
            {},
            60.0,
            60.0,
            "message_rate 100/s (default, here)",
        ),  # of the larger site: the other goes beside it
        ({"message_rate": 50.0}, 180.0, 180.0, "message_rate 50/s (provider big, here)"),
        ({"message_rate": 500.0}, 60.0, 60.0, "message_rate 100/s (default, here)"),
        ({"recipient_rate": 10.0}, 900.0, 900.0, "recipient_rate 10/s (provider big, here)"),
        (
            {"connections": 5},
            9_000 * TAKES_S / 5,
            60.0,
            f"connections 5 (provider big, here), at {TAKES_S} s a transaction",
        ),
        (
            {"connection_rate": 1.0, "messages_per_connection": 10},
            900.0,
            900.0,
            "connection_rate 1/s (provider big, here)",
        ),
    ],
)
def test_what_takes_longest_binds_and_all_sites_of_a_provider_count_together(
    provider, seconds, least_s, told
):
    found = plans(shape("provider big", **provider))["big"]
    assert (found.recipients, found.domains, found.transactions) == (9_000, 2, 9_000)
    assert (found.seconds, found.least_s, found.told) == (
        pytest.approx(seconds),
        pytest.approx(least_s),
        told,
    )


def test_a_domain_with_limits_of_its_own_may_take_longer_than_its_provider():
    domains = {"b.test": shape("domain b.test", message_rate=1.0)}
    assert plans({}, domains=domains)["big"].told == "message_rate 1/s (domain b.test, here)"


def test_what_nobody_looked_up_is_a_row_of_its_own_with_the_default_limits():
    found = plans({}, sites={"a.test": BIG["a.test"]}, rest=DomainCount("", 70, 50))
    assert [(name, one.recipients) for name, one in found.items()] == [("big", 6_000), (UNKNOWN, 3_070)]
    assert found[UNKNOWN].as_json() == {
        "provider": UNKNOWN,
        "recipients": 3_070,
        "domains": 1,
        "transactions": 3_050,
        "least_seconds": 30.0,
        "seconds": 30.0,
        "binds": {"kind": "message_rate", "value": 100.0, "scope": "default", "whence": "here"},
        "limits": [
            {"kind": kind, "value": value, "scope": "default", "whence": "here"}
            for kind, value in [
                ("message_rate", 100.0),
                ("connection_rate", 20.0),
                ("connections", 40),
                ("messages_per_connection", 100),
            ]
        ],
    }


def test_what_a_provider_demands_beside_numbers_is_told_and_what_holds_for_all_is_not():
    provider = {
        "connections": Limit(5, Origin("provider big", "here")),
        "tls": Limit("required", Origin("provider big", "here")),
        "time_limits.mail": Limit(30.0, Origin("campaign", "there"), "30s"),
    }
    found = plans(provider)["big"].limits
    assert special(found) == ["tls required (provider big, here)"]
    assert holding(found)[-2:] == [
        "tls required (provider big, here)",
        "time_limits.mail 30s (campaign, there)",
    ]


def test_nobody_takes_no_time():
    assert plans({}, counts=[], rest=DomainCount("", 0, 0)) == {}
