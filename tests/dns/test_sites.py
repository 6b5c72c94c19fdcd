"""The laws behind a route: which domains share a site, and which addresses are tried and in which order."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.dns.addresses import interleave, is_address, is_public
from bulkmail.dns.routes import site_name

hosts = st.sampled_from([f"mx{number}.test" for number in range(5)])
exchangers = st.dictionaries(hosts, st.integers(0, 3), min_size=1)


@given(exchangers, st.randoms(), st.integers(1, 100))
def test_a_site_does_not_depend_on_order_or_on_the_numbers(
    listed: dict[str, int], rng: random.Random, factor: int
) -> None:
    pairs = [(preference * factor + 7, host) for host, preference in listed.items()]
    rng.shuffle(pairs)
    assert site_name(pairs) == site_name((preference, host) for host, preference in listed.items())


def ranks(listed: dict[str, int]) -> list[list[str]]:
    return [
        sorted(host for host, preference in listed.items() if preference == rank)
        for rank in sorted(set(listed.values()))
    ]


@given(exchangers, exchangers)
def test_sites_are_the_same_exactly_where_the_ranking_is(one: dict[str, int], other: dict[str, int]) -> None:
    names = [site_name((preference, host) for host, preference in listed.items()) for listed in (one, other)]
    assert (names[0] == names[1]) == (ranks(one) == ranks(other))


def test_addresses_of_the_two_families_take_turns() -> None:
    assert interleave(["4.0.0.1", "4.0.0.2", "6::1", "4.0.0.3"]) == ["6::1", "4.0.0.1", "4.0.0.2", "4.0.0.3"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("9.9.9.9", True),
        ("2620:fe::9", True),
        ("100.64.0.1", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("2002:7f00:1::", False),
        ("fe80::1", False),
        ("ff02::1", False),
    ],
)
def test_an_address_is_public_or_not(address: str, public: bool) -> None:
    """D6."""
    assert is_public(address) is public


@given(st.one_of(st.ip_addresses().map(str), st.from_regex(r"[a-f0-9.:-]{1,20}", fullmatch=True)))
def test_an_address_is_told_from_a_name_as_the_standard_library_tells_it(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert not is_address(text)
    else:
        assert is_address(text)
