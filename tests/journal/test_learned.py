"""What sites have taught a project: kept as long as it usually holds, bounded, forgotten on demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkmail.errors import DiskRefused, StoreError
from bulkmail.journal import Fact, LearnedSites, SiteFile, dispensable, learned, sites
from bulkmail.journal.learned import DAY, EXPIRY


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "project" / "sites.db"


@pytest.fixture
def store(place: Path) -> Iterator[LearnedSites]:
    with SiteFile.open(place) as file:
        yield LearnedSites(file)


def values(store: LearnedSites, site: str, now: float) -> dict[str, float]:
    return {one.kind: one.value for one in store.of(site, now)}


def test_each_kind_is_forgotten_when_its_time_is_over_and_not_before(store: LearnedSites) -> None:
    store.note([Fact("mx.a.test", kind, 3.0) for kind in EXPIRY], now=1000.0)
    believed = {
        days: set(values(store, "mx.a.test", 1000.0 + days * DAY))
        for days in (0.0, 0.99, 1.0, 2.0, 6.99, 7.0)
    }
    of_a_day, of_two = {"clear_text", "ipv4"}, {"connections"}
    assert believed == {
        0.0: set(EXPIRY),
        0.99: set(EXPIRY),
        1.0: set(EXPIRY) - of_a_day,
        2.0: set(EXPIRY) - of_a_day - of_two,
        6.99: set(EXPIRY) - of_a_day - of_two,
        7.0: set(),
    }


def test_what_is_met_again_counts_from_then_on(store: LearnedSites) -> None:
    store.note([Fact("mx.a.test", "connections", 5.0)], now=0.0)
    store.note([Fact("mx.a.test", "connections", 2.0)], now=0.5 * DAY)
    assert values(store, "mx.a.test", 1.2 * DAY) == {"connections": 2.0}


def test_only_so_much_is_kept_and_what_was_met_longest_ago_goes(
    store: LearnedSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "MOST", 10)
    for number in range(30):
        store.note([Fact(f"mx{number:02}.test", "messages", 5.0)], now=float(number))
    left = [number for number in range(30) if store.of(f"mx{number:02}.test", 30.0)]
    assert left == list(range(20, 30))


def test_a_site_can_be_forgotten_alone(store: LearnedSites) -> None:
    store.note([Fact(f"mx.{name}.test", kind, 1.0) for name in "ab" for kind in ("size", "lockstep")], 0.0)
    told = store.forget("mx.a.test"), store.forget("mx.a.test")
    assert (told, store.of("mx.a.test", 1.0), len(store.of("mx.b.test", 1.0))) == ((2, 0), [], 2)


def test_what_a_newer_program_calls_a_kind_is_not_kept_by_us(store: LearnedSites) -> None:
    store.note([Fact("mx.a.test", "mood", 1.0)], 0.0)
    assert not store.any()


def test_to_look_makes_no_file(place: Path) -> None:
    with SiteFile.look(place) as file:
        assert not LearnedSites(file).any()
    assert not place.parent.exists()


def test_a_damaged_file_says_what_to_do(place: Path) -> None:
    place.parent.mkdir()
    place.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="move it away"):
        SiteFile.open(place)


def test_what_a_full_disk_has_refused_is_remembered_and_no_reason_to_go_on(place: Path) -> None:
    """J3."""
    with SiteFile.open(place) as file:
        store = LearnedSites(file)
        file.check()
        with file.reading() as db:
            db.pragma("max_page_count", db.pragma("page_count"))
        many = [Fact(f"mx{number}.test", "size", 1.0) for number in range(2_000)]
        with pytest.raises(DiskRefused, match="the disk is full"), dispensable():
            store.note(many, 0.0)
        with pytest.raises(DiskRefused, match="the disk is full"):
            file.check()


def test_what_another_process_keeps_us_from_is_no_reason_to_stop(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "BUSY_MS", 0)
    with SiteFile.open(place) as other, SiteFile.open(place) as file:
        with other.writing(), dispensable():
            LearnedSites(file).note([Fact("mx.a.test", "size", 1.0)], 0.0)
            raise AssertionError("written while another process was writing")
        file.check()
        assert not LearnedSites(file).any()
