"""Who sends to which site, and how much of its limits each may use: laws, whatever the numbers."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.workers.shares import RATE, Shares, owners, share, width
from bulkmail.delivery.limits import Limit, Origin, Shape
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.delivery.rules import Rules
from bulkmail.delivery.shaping import Bounds, Limits

RATES = st.none() | st.floats(0.01, 1e6)
LIMITS = st.builds(Limits, connections=st.integers(1, 1000), message_rate=RATES, connection_rate=RATES)
ALIVE = st.sets(st.integers(0, 40), min_size=1)


def test_a_site_that_may_not_be_asked_for_much_belongs_to_one_worker() -> None:
    slow, few, fast = Limits(message_rate=RATE), Limits(connections=1), Limits(message_rate=3 * RATE)
    assert [width(limits, 8) for limits in (slow, few, fast)] == [1, 1, 3]


@given(LIMITS, st.integers(1, 64))
def test_the_shares_of_all_owners_are_the_whole(limits: Limits, workers: int) -> None:
    count = width(limits, workers)
    parts = [share(limits, count, position) for position in range(count)]
    assert sum(part.connections for part in parts) == limits.connections
    assert min(part.connections for part in parts) >= 1
    for whole, rates in (
        (limits.message_rate, [part.message_rate for part in parts]),
        (limits.connection_rate, [part.connection_rate for part in parts]),
    ):
        if whole is None:
            assert set(rates) == {None}
        else:
            assert math.isclose(math.fsum(rate or 0 for rate in rates), whole)


@given(LIMITS, ALIVE, st.text(max_size=20), st.data())
def test_where_a_worker_dies_nobody_else_is_left_with_less(
    limits: Limits, alive: set[int], name: str, data: st.DataObject
) -> None:
    def shares(workers: set[int]) -> dict[int, Limits]:
        found = owners(name, workers, width(limits, len(workers)))
        return {one: share(limits, len(found), position) for position, one in enumerate(found)}

    dead = data.draw(st.sampled_from(sorted(alive)))
    before, after = shares(alive), shares(alive - {dead}) if len(alive) > 1 else {}
    for worker in before.keys() & after.keys():
        assert after[worker].connections >= before[worker].connections
        if limits.message_rate is not None:
            assert (after[worker].message_rate or 0) >= (before[worker].message_rate or 0)


@given(ALIVE, st.text(max_size=20), st.data())
def test_where_a_worker_dies_only_what_was_its_own_moves(
    alive: set[int], name: str, data: st.DataObject
) -> None:
    [owner] = owners(name, alive, 1)
    dead = data.draw(st.sampled_from(sorted(alive - {owner}))) if len(alive) > 1 else None
    assert owners(name, alive - {dead}, 1) == (owner,)


def test_many_providers_are_spread_over_all_workers() -> None:
    loads = Counter(owners(f"site{number}.example", range(4), 1)[0] for number in range(4_000))
    assert min(loads.values()) > 800


def shape(**limits: float) -> Shape:
    return {kind: Limit(value, Origin("here", "a test")) for kind, value in limits.items()}


@given(
    st.integers(1, 12),
    st.fixed_dictionaries(
        {}, optional={"connections": st.integers(1, 30), "message_rate": st.floats(0.1, 5_000)}
    ),
    st.fixed_dictionaries(
        {}, optional={"connections": st.integers(1, 30), "message_rate": st.floats(0.1, 5_000)}
    ),
)
def test_what_a_provider_and_a_domain_take_is_divided_to_the_last_connection(
    workers: int, provider: dict[str, float], domain: dict[str, float]
) -> None:
    """All sites of a provider belong to the same workers, a domain to some of them."""
    rules = Rules(
        shape(connections=10, message_rate=1_000.0),
        Providers([Profile("big", ("big.test",), shape(**provider))]),
        {"a.test": shape(**domain)},
    )
    shares, site = Shares(rules, range(workers)), "mx1.big.test~1f2e3d4c"
    owners = shares.owners(site)
    assert owners == shares.owners("other.big.test")
    assert set(shares.owners(site, "a.test")) <= set(owners)
    for kind in ("connections", "message_rate"):
        of_provider = [shares.provider(site, one) for one in owners]
        of_domain = [shares.domain(site, "a.test", one) or Bounds() for one in shares.owners(site, "a.test")]
        parts = [getattr(found[1] if found else Bounds(), kind) for found in of_provider]
        for limit, them in (
            (provider.get(kind), parts),
            (domain.get(kind), [getattr(bounds, kind) for bounds in of_domain]),
        ):
            if limit is None:
                assert set(them) == {None}
            else:
                assert math.isclose(math.fsum(them), limit)
                assert min(them) >= (1 if kind == "connections" else 0)


@pytest.mark.parametrize("said_of", ["all", "the provider", "the domain"])
def test_a_rate_that_is_lowered_is_kept_by_all_who_have_something_to_do(said_of: str) -> None:
    def said(**limits: float) -> Rules:
        here, free = shape(**limits), shape(connections=50)
        return Rules(
            here if said_of == "all" else free,
            Providers([Profile("big", ("big.test",), here if said_of == "the provider" else {})]),
            {"a.test": here} if said_of == "the domain" else {},
        )

    rules = said(connections=50, message_rate=1_000.0)
    before = set(Shares(rules, range(5)).owners("mx1.big.test", "a.test"))
    rules.take_over(said(connections=3, message_rate=100.0))
    shares = Shares(rules, range(5))
    parts = [
        {
            "all": lambda one: shares.limits("mx1.big.test", one),
            "the provider": lambda one: (shares.provider("mx1.big.test", one) or ("", Bounds()))[1],
            "the domain": lambda one: shares.domain("mx1.big.test", "a.test", one) or Bounds(),
        }[said_of](worker)
        for worker in range(5)
    ]
    assert before == set(shares.owners("mx1.big.test", "a.test")) == set(range(5))
    assert (sum(one.message_rate or math.inf for one in parts), {one.connections for one in parts}) == (
        100.0,
        {1},
    )
