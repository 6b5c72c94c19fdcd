"""What waits for a crowded site: kept small, handed out in turn, and never more than there is place for."""

from __future__ import annotations

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


def test_retries_come_back_as_they_were() -> None:
    kept, retry = Parking(), tried(7)
    assert kept.park(retry, "one.test")
    assert kept.park(planned(1), "one.test")
    assert kept.take(lambda site: 2, 9) == ([1], [retry])
    assert not kept


def test_where_there_is_no_place_it_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "INTERVALS", 1)
    monkeypatch.setattr(parking, "RETRIES", 1)
    kept = Parking()
    offered = [planned(1), planned(2), tried(3), tried(4), Parcel("a.test", [(5, 5)], shared=True)]
    assert [kept.park(one, "one.test") for one in offered] == [True, False, True, False, False]
