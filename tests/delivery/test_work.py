"""Parcels: spans taken, put back and settled, without losing anybody."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.work import Listed, Parcel, spans_of


@given(st.sets(st.integers(1, 300)), st.lists(st.tuples(st.integers(1, 40), st.booleans())))
def test_everybody_is_waiting_or_out(ids, steps):
    parcel = Parcel("a.test", spans_of(sorted(ids)), shared=True)
    settled: set[int] = set()
    for most, back in steps:
        taken = [number for first, last in parcel.take(most) for number in range(first, last + 1)]
        assert len(taken) <= most
        if back:
            parcel.put_back(taken)
        else:
            settled |= set(taken)
            parcel.out -= len(taken)
    rest = {number for first, last in parcel.take(1000) for number in range(first, last + 1)}
    assert settled | rest == ids
    assert not settled & rest


def test_who_was_read_before_serves_only_whoever_takes_all_of_them():
    known = Listed([])
    whole, part = (Parcel("a.test", [(1, 3)], shared=True) for _ in range(2))
    whole.known = part.known = known
    assert whole.take_known(5) == (whole, ((1, 3),), known)
    whole.put_back([1, 2, 3])  # they may be fewer the next time
    assert [whole.take_known(5).roll, part.take_known(2).roll, part.take_known(2).roll] == [None] * 3


def test_spans_are_the_fewest_that_hold_the_ids():
    assert spans_of([1, 2, 3, 7, 9, 10]) == ((1, 3), (7, 7), (9, 10))
