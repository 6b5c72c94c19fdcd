"""Who sends to which site, and how much of its limits each may use: laws, whatever the numbers."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.workers.shares import RATE, owners, provider, share, width
from bulkmail.delivery.shaping import Limits

RATES = st.none() | st.floats(0.01, 1e6)
LIMITS = st.builds(Limits, connections=st.integers(1, 1000), message_rate=RATES, connection_rate=RATES)
ALIVE = st.sets(st.integers(0, 40), min_size=1)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("mx1.eu.example.com", "example.com"),
        ("example.com", "example.com"),
        ("localhost", "localhost"),
        ("acme-com.mail.protection.outlook.com~1f2e3d4c", "outlook.com"),
        ("mx.example.co.uk", "example.co.uk"),
        ("mx.mail.example.de", "example.de"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_provider_is_told_by_the_name_of_its_exchangers(name: str, whose: str) -> None:
    assert provider(name) == whose


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
