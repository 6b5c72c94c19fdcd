"""How a parcel is cut for several workers: nobody left out or given twice, whoever dies on the way."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.workers.slices import LEAST, MOST, PILE, Batch
from bulkmail.delivery.work import Parcel, Span
from bulkmail.dns.routes import Host, Route

ROUTE = Route("a.test", (Host(10, "mx.a.test", ("192.0.2.1",)),), "mx.a.test")


def batch(count: int, *, shared: bool = False, each: int = 100) -> Batch:
    return Batch(Parcel("a.test", [(1, count)], shared=shared), ROUTE, each)


def size(spans: tuple[Span, ...]) -> int:
    return sum(last - first + 1 for first, last in spans)


def test_who_has_a_site_alone_is_given_all_of_it_at_once() -> None:
    assert batch(1_000_000).take(0, 1) == ((1, 1_000_000),)


def test_what_is_not_worth_a_second_connection_stays_with_one() -> None:
    assert batch(LEAST).take(3, 4) == ((1, LEAST),)


@pytest.mark.parametrize(("shared", "each"), [(False, 1), (True, 100)])
def test_nobody_has_more_than_a_few_slices_and_they_are_whole_transactions(shared: bool, each: int) -> None:
    parcel = batch(10_000_000, shared=shared)
    sizes = [size(parcel.take(worker, 2)) for worker in (0, 1, 0, 1, 0, 1)]
    assert sizes == [MOST * each] * 2 * PILE + [0, 0]


def test_slices_become_smaller_as_the_end_comes_near() -> None:
    parcel, sizes = batch(20_000), list[int]()
    while parcel.waiting:
        sizes.append(size(parcel.take(0, 4)))
        parcel.ended(0)
        parcel.seen()
    assert (sizes[0], sizes == sorted(sizes, reverse=True), sizes[-2] <= 2 * LEAST, parcel.finished) == (
        MOST,
        True,
        True,
        True,
    )


@given(st.integers(1, 3_000), st.integers(1, 4), st.booleans(), st.data())
def test_everybody_is_given_once_and_again_only_where_a_worker_has_died(
    count: int, sharing: int, shared: bool, data: st.DataObject
) -> None:
    parcel = batch(count, shared=shared, each=7)
    out: deque[tuple[int, tuple[Span, ...]]] = deque()
    settled: list[int] = []
    while not parcel.finished:
        worker = data.draw(st.integers(0, sharing - 1))
        if spans := parcel.take(worker, sharing):
            out.append((worker, spans))
        if not out or data.draw(st.booleans()):
            continue
        worker, spans = out.popleft()
        parcel.ended(worker)
        ids = [number for first, last in spans for number in range(first, last + 1)]
        done = ids[: data.draw(st.integers(0, len(ids)))] if data.draw(st.booleans()) else ids
        settled += done
        if len(done) < len(ids):  # it died over it
            parcel.put_back(
                [(ids[len(done)], ids[-1])] if spans == ((ids[0], ids[-1]),) else _spans(ids[len(done) :])
            )
        parcel.seen()
    assert sorted(settled) == list(range(1, count + 1))


def _spans(ids: list[int]) -> list[Span]:
    return [(number, number) for number in ids]
