"""What campaigns tell each other of their limits: it reads back, and nonsense is no limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.terms import Terms, narrowest, read, within, written
from bulkmail.delivery.shaping import Bounds, Limits

RATES = st.none() | st.floats(1e-6, 1e9)
BOUNDS = st.builds(Bounds, st.none() | st.integers(1, 10_000), RATES, RATES, RATES)
TERMS = st.builds(Terms, BOUNDS, BOUNDS, st.dictionaries(st.text(max_size=9), BOUNDS, max_size=3))


@given(TERMS)
def test_what_is_written_reads_back(terms: Terms):
    assert read(written(terms)) == terms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '{"site": 3}',
        '{"site": {"connections": -1, "message_rate": "x", "later": 1}}',
        "3",
    ],
)
def test_what_is_not_understood_is_no_limit(text: str):
    assert read(text) == Terms()


@given(st.lists(TERMS, max_size=4))
def test_who_keeps_to_the_narrowest_keeps_to_all(several: list[Terms]):
    found = narrowest(several)
    for one in several:
        assert within(found.site, one.site) == found.site
        assert within(found.provider, one.provider) == found.provider
        assert all(within(found.domain(name), one.domain(name)) == found.domain(name) for name in one.domains)


def test_only_what_is_wider_is_narrowed():
    by = Bounds(connections=3, message_rate=50.0, recipient_rate=9.0)
    assert within(Limits(2, 100.0), by) == Limits(2, 50.0, recipient_rate=9.0)
