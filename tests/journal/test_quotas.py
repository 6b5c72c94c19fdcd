"""What sources have sent to providers, day by day: never more than the quota, whoever counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_plans import NewStore

from bulkmail.journal.quotas import Granted, Quotas, sent_between
from bulkmail.journal.records import Intent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "warmup.db"


def ten_times(day: int) -> int | None:
    return 10 * day if day < 4 else None


def test_no_more_is_granted_than_the_quota_of_the_day_which_grows_from_the_first(path: Path) -> None:
    with Quotas.open(path, "one") as quotas:
        granted = [quotas.reserve("192.0.2.1", "big", day, 15, ten_times) for day in (100, 100, 101, 103)]
    assert granted == [Granted(10, 10), Granted(0, 10), Granted(15, 20), Granted(15, None)]


def test_campaigns_sources_and_providers(path: Path) -> None:
    with Quotas.open(path, "one") as one, Quotas.open(path, "two") as two:
        assert one.reserve("192.0.2.1", "big", 100, 6, ten_times).people == 6
        assert two.reserve("192.0.2.1", "big", 100, 6, ten_times).people == 4
        assert two.reserve("192.0.2.2", "big", 100, 6, ten_times).people == 6
        assert two.reserve("192.0.2.1", "small", 100, 6, ten_times).people == 6


def test_what_a_campaign_has_really_sent_replaces_what_it_had_counted(path: Path) -> None:
    with Quotas.open(path, "one") as one, Quotas.open(path, "two") as two:
        one.reserve("192.0.2.1", "big", 100, 8, ten_times)
        one.settle("192.0.2.1", "big", 100, 3)
        assert (two.reserve("192.0.2.1", "big", 100, 9, ten_times).people, one.mine(100)) == (
            7,
            [("192.0.2.1", "big")],
        )


def test_where_the_clock_was_set_back_it_is_the_first_day_again(path: Path) -> None:
    """J5."""
    with Quotas.open(path, "one") as quotas:
        quotas.reserve("192.0.2.1", "big", 100, 1, ten_times)
        assert quotas.day("192.0.2.1", "big", 90) == 1


def test_what_is_on_its_way_counts_as_sent_from_some_source(planned: NewStore) -> None:
    """Its process may have been killed: then only the intent says that it was begun."""
    store = planned([("a.test", 9)])
    store.commit([], [Intent(1, ((2, 4), (7, 7)), "mx.test", "192.0.2.1", 5.0)], [])
    assert list(sent_between(store.path, 5.0, 6.0)) == [("mx.test", "", 4)]
    assert list(sent_between(store.path, 6.0, 7.0)) == []
