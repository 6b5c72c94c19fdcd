"""What waits for a crowded site: kept small, handed out in turn, and never more than there is place for."""

from __future__ import annotations

import tracemalloc

import pytest

from bulkmail.campaign import parking
from bulkmail.campaign.parking import Parking
from bulkmail.delivery.work import Parcel


def planned(number: int) -> Parcel:
    return Parcel("a.test", [(number, number)], shared=True, interval=number)


def tried(number: int) -> Parcel:
    return Parcel("a.test", [(number, number)], shared=True, attempts=1)


def test_sites_take_turns_and_only_those_with_room_are_asked() -> None:
    kept = Parking()
    for number in range(5):
        assert kept.park(planned(number), "full.test")
        assert kept.park(planned(10 + number), "one.test")
        assert kept.park(planned(20 + number), "two.test")
    room = {"full.test": 0, "one.test": 2, "two.test": 9}
    found = [kept.take(room.__getitem__, 3)[0] for _ in range(6)]
    assert found == [[10, 11], [20, 21, 22], [12, 13], [23, 24], [14], []]
    assert len(kept) == 5


def kept_alike(found: list[Parcel]) -> list[tuple[object, ...]]:
    return [(one.domain, one.spans, one.shared, one.attempts) for one in found]


def test_retries_come_back_as_they_were_the_longest_there_first() -> None:
    kept = Parking()
    many = Parcel("a.test", [(1, 3), (7, 7)], shared=False, attempts=2)
    retries = [tried(11), many, tried(12), tried(13)]
    assert [kept.park(one, "one.test") for one in retries] == [True] * 4
    assert kept.park(planned(20), "one.test")
    assert len(kept) == 5
    intervals, found = kept.take(lambda site: 4, 9)
    assert (intervals, kept_alike(found)) == ([20], kept_alike([tried(11), many]))
    found = kept.take(lambda site: 4, 9)[1]
    assert kept_alike(found) == kept_alike([tried(12), tried(13)])
    assert not kept


def test_the_domains_of_a_site_take_turns() -> None:
    kept = Parking()
    names = ["a.test"] * 6 + ["b.test"] * 6
    for number, name in enumerate(names):
        assert kept.park(Parcel(name, [(number, number)], shared=True, attempts=1), "one.test")
    found = kept.take(lambda site: 8, 8)[1]
    assert [one.domain for one in found] == ["a.test", "a.test", "b.test", "b.test"]


def test_a_retry_goes_to_those_of_its_domain_that_wait_and_only_as_long_as_they_do() -> None:
    kept = Parking()
    assert not kept.park_with_its_like(tried(1))
    assert kept.park(tried(2), "one.test")
    assert kept.park_with_its_like(tried(3))
    assert [one.spans for one in kept.take(lambda site: 9, 9)[1]] == [((2, 2),), ((3, 3),)]
    assert not kept.park_with_its_like(tried(4))


def test_a_hundred_thousand_retries_of_a_large_site_take_no_more_than_their_numbers() -> None:
    kept = Parking()
    tracemalloc.start()
    for number in range(1, 100_001):
        assert kept.park(tried(number), "one.test")
    octets, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == 100_000
    assert octets < 40 * 100_000


def test_where_there_is_no_place_it_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "INTERVALS", 1)
    monkeypatch.setattr(parking, "SPANS", 1)
    kept = Parking()
    offered = [planned(1), planned(2), tried(3), tried(4), Parcel("a.test", [(5, 5)], shared=True)]
    assert [kept.park(one, "one.test") for one in offered] == [True, False, True, False, False]
