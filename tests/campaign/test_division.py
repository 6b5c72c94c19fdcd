"""How limits are divided: the parts add up to the whole, whatever it is and whoever is there."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.division import Part, divided, least, nothing, part_of
from bulkmail.delivery.shaping import Limits
from bulkmail.journal import Holder

SENDERS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.booleans()).map(lambda one: (one[0], one[0] < "d")),
    min_size=1,
    max_size=20,
)


def holders(*campaigns: tuple[str, bool]) -> list[Holder]:
    return [Holder(number, name, first, 1, 1, False) for number, (name, first) in zip(count(1), campaigns)]


def parts(limits: Limits, *campaigns: tuple[str, bool]) -> list[Limits]:
    there = holders(*campaigns)
    return [divided(limits, part_of(one.sender, there)) for one in there]


@given(SENDERS, st.integers(1, 40), st.floats(0.01, 1e4))
def test_the_parts_add_up_to_the_whole(senders: list[tuple[str, bool]], connections: int, rate: float):
    found = parts(Limits(connections, rate, rate / 7), *senders)
    assert sum(one.connections for one in found) == connections
    for name, whole in (("message_rate", rate), ("connection_rate", rate / 7)):
        given_out = sum(getattr(one, name) for one in found if one.connections)
        assert given_out == pytest.approx(whole)


@given(SENDERS, st.integers(8, 40))
def test_where_there_is_enough_for_all_no_campaign_has_nothing(
    senders: list[tuple[str, bool]], connections: int
):
    found = parts(Limits(connections), *senders)
    assert {name for (name, _), one in zip(senders, found, strict=True) if one.connections} == {
        name for name, _ in senders
    }


def test_two_campaigns_have_the_same_however_many_processes_one_of_them_has():
    found = parts(Limits(8, 80.0), ("a", False), ("b", False), ("b", False))
    assert [(one.connections, one.message_rate) for one in found] == [(4, 40.0), (2, 20.0), (2, 20.0)]


def test_a_transactional_campaign_has_all_but_a_minimum():
    found = parts(Limits(10, 100.0), ("bulk", False), ("password resets", True))
    assert [(one.connections, one.message_rate) for one in found] == [(1, 10.0), (9, 90.0)]


def test_transactional_campaigns_among_themselves_are_equal():
    found = parts(Limits(10, 100.0), ("receipts", True), ("password resets", True))
    assert [(one.connections, one.message_rate) for one in found] == [(5, 50.0), (5, 50.0)]


def test_of_fewer_connections_than_campaigns_the_first_in_line_have_one_and_the_rate():
    found = parts(Limits(2, 10.0), ("a", False), ("b", False), ("c", False))
    assert [(one.connections, one.message_rate) for one in found[:2]] == [(1, 5.0), (1, 5.0)]
    assert found[2].connections == 0


def test_who_is_to_keep_to_two_parts_keeps_to_the_least_of_both():
    both = least(Limits(4, 10.0, None), Limits(3, None, 5.0))
    assert (both, least(both, nothing(both)).connections) == (Limits(3, 10.0, 5.0), 0)


def test_a_limit_that_is_none_stays_none():
    assert divided(Limits(4, None), Part((1, 1))).message_rate is None
