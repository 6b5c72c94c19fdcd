"""In which order a run hands out those who were never tried and those who are due again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from bulkmail.campaign.feed import CHARACTERS, FEW, LOOK_AGAIN_S, PAGE, Feed, FetchFew
from bulkmail.delivery.dispatch import OPEN_PARCELS
from bulkmail.delivery.work import Parcel, Roll, Span
from bulkmail.journal import Journal, Planned, Record, Store, Which

NOW = 1_000.0
DEAD, NEW = 2 * PAGE + 50, PAGE + 50  # domains: of dead ones whose retries are due, and of untried ones


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "c.journal", {}) as store:
        with store.write_plan() as writer:
            for n in range(DEAD + NEW):
                domain = f"dead{n}.test" if n < DEAD else f"new{n}.test"
                writer.interval(domain, True, False, [Planned(f"ann@{domain}", "{}")])
        gone = [Record(n, n, "deferred", 1.0, 451, due=2.0) for n in range(1, DEAD + 1)]
        store.commit(gone, [], [])
        yield store


def feed_of(
    journal: Journal,
    crowd: object,
    *,
    first_pass: bool = True,
    limit: int | None = None,
    parking: bool = False,
    fetch_few: FetchFew | None = None,
) -> Feed:
    return Feed(
        journal,
        crowd,  # type: ignore[arg-type]
        shareable=True,
        first_pass=first_pass,
        limit=limit,
        now=lambda: NOW,
        parking=parking,
        fetch_few=fetch_few,
    )


async def handed_out(
    store: Store, *, first_pass: bool = False, limit: int | None = None
) -> list[tuple[str, int]]:
    """Kinds of domains in the order of the feed, each with how many follow each other."""
    journal = Journal(store)
    idle = SimpleNamespace(open_parcels=0, next_finished=trio.Event)
    feed = feed_of(journal, idle, first_pass=first_pass, limit=limit)
    domains = []
    while (parcel := await feed.next()) is not None:
        domains.append(parcel.domain[:3])
    journal.close()
    return [(kind, len(list(many))) for kind, many in groupby(domains)]


async def test_retries_of_dead_domains_and_first_attempts_take_turns(store: Store) -> None:
    assert await handed_out(store) == [
        ("new", PAGE),
        ("dea", PAGE),
        ("new", 50),
        ("dea", PAGE + 50),
    ]


async def test_a_first_pass_takes_no_retries(store: Store) -> None:
    assert await handed_out(store, first_pass=True) == [("new", NEW)]


async def test_a_limit_is_for_those_who_were_never_tried(store: Store) -> None:
    assert await handed_out(store, limit=10) == [("new", 10), ("dea", DEAD)]


async def test_who_is_in_small_domains_is_read_by_the_page(tmp_path: Path) -> None:
    sizes = {"large.test": FEW + 1, "long.test": 1, **{f"d{n}.test": 1 + n % FEW for n in range(50)}}
    with Store.create(tmp_path / "c.journal", {}) as store:
        with store.write_plan() as writer:
            for domain, size in sizes.items():
                row = json.dumps({"note": "x" * (CHARACTERS if domain == "long.test" else 1)})
                writer.interval(domain, True, False, [Planned(f"p{n}@{domain}", row) for n in range(size)])
        journal = Journal(store)
        asked: list[int] = []

        async def fetch_few(parts: Sequence[Sequence[Span]], most: int) -> list[Roll | None]:
            asked.append(len(parts))
            rolls = await journal.read(lambda reader: [reader.fetch(spans) for spans in parts])
            return [roll if roll.alone() <= most else None for roll in rolls]

        idle = SimpleNamespace(open_parcels=0, next_finished=trio.Event)
        feed = feed_of(journal, idle, fetch_few=fetch_few)
        found = {}
        while (parcel := await feed.next()) is not None:
            known = parcel.known
            found[parcel.domain] = None if known is None else [(one.address, one.fields) for one in known]
        journal.close()
    unknown = {"large.test": None, "long.test": None}
    assert found == unknown | {
        domain: [(f"p{n}@{domain}", {"note": "x"}) for n in range(size)]
        for domain, size in sizes.items()
        if domain not in unknown
    }
    assert asked == [len(sizes) - 1]


class Crowd:
    """A dispatcher with as much out as may be; parcels come back to the feed, and others finish."""

    def __init__(self) -> None:
        self.open_parcels = OPEN_PARCELS
        self.park: Callable[[Parcel, str], bool] = lambda parcel, site: False
        self._finished_one = trio.Event()

    def next_finished(self) -> trio.Event:
        return self._finished_one

    def room(self, site: str) -> int:
        return OPEN_PARCELS - self.open_parcels

    def provider(self, site: str) -> str:
        return site

    def out(self, provider: str) -> int:
        return 0

    def finish(self, left: int) -> None:
        self.open_parcels = left
        self._finished_one.set()
        self._finished_one = trio.Event()


@pytest.mark.parametrize("left", [0, 1])
async def test_who_is_parked_is_handed_out_though_the_others_finish_while_the_journal_is_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock, left: int
) -> None:
    """P3: the run would end with them pending, or look again a minute later."""
    journal, crowd = Journal(store), Crowd()
    feed = feed_of(journal, crowd, parking=True)
    for _ in range(NEW):
        parcel = await feed.next()
        assert parcel is not None
        assert crowd.park(parcel, "mx.full.test")

    read = journal.read

    async def meanwhile(method: object, *args: object, **options: object) -> object:
        if method is Store.open_intervals and options == {
            "which": Which()
        }:  # the end of the plan: the parked came before it
            crowd.finish(left)
        return await read(method, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "read", meanwhile)
    began = trio.current_time()
    parked = [await feed.next() for _ in range(NEW)]
    journal.close()
    assert {one.domain for one in parked if one is not None} == {
        f"new{n}.test" for n in range(DEAD, DEAD + NEW)
    }
    assert trio.current_time() - began < LOOK_AGAIN_S


async def test_whoever_is_in_a_lane_is_not_handed_out_with_the_rest_of_the_plan_too(tmp_path: Path) -> None:
    """Its smaller intervals stand in the plan behind those of others, and it is long at its end by then."""
    with Store.create(tmp_path / "c.journal", {}) as store:
        with store.write_plan() as writer:
            planned = [
                ("large.test", 3, PAGE),
                ("large.test", 1, PAGE),
                *((f"d{n}.test", 2, 1) for n in range(9)),
            ]
            for domain, size, intervals in planned:
                for group in range(intervals):
                    people = [Planned(f"p{size}-{group}-{n}@{domain}", "{}") for n in range(size)]
                    writer.interval(domain, True, False, people)
        journal, crowd = Journal(store), Crowd()
        crowd.finish(0)
        feed = feed_of(journal, crowd, parking=True)
        found: list[Span] = []
        while (parcel := await feed.next()) is not None:
            parcel.site = f"mx.{parcel.domain}"
            found += parcel.spans
        journal.close()
    handed_out = [number for first, last in found for number in range(first, last + 1)]
    assert sorted(handed_out) == [*range(1, 4 * PAGE + 2 * 9 + 1)]


LARGE = 3 * PAGE  # intervals of one domain: more than are read before it is passed over


@pytest.mark.parametrize("limit", [None, LARGE + 1])
async def test_a_domain_of_many_intervals_is_passed_over_while_its_site_is_crowded_and_nobody_is_left_out(
    tmp_path: Path, limit: int | None
) -> None:
    """P3: to read and route all of it, only to have it wait, would hold up everybody behind it."""
    small = [f"small{n}.test" for n in range(5)]
    with Store.create(tmp_path / "c.journal", {}) as store:
        with store.write_plan() as writer:
            for domain, intervals, people in [("large.test", LARGE, 2), *((one, 1, 1) for one in small)]:
                for group in range(intervals):
                    planned = [Planned(f"p{group}-{n}@{domain}", "{}") for n in range(people)]
                    writer.interval(domain, True, False, planned)
        journal, crowd = Journal(store), Crowd()
        feed = feed_of(journal, crowd, limit=limit, parking=True)
        routed = []  # to where there is no room, until all small ones have been handed out
        delivered: list[Span] = []
        while (parcel := await feed.next()) is not None:
            if parcel.domain == "large.test" and crowd.room("mx.large.test") <= 0:
                routed.append(parcel)
                assert crowd.park(parcel, "mx.large.test")
            else:
                delivered += parcel.spans
            if limit is not None or {"small4.test"} <= {parcel.domain}:
                crowd.finish(0)
        journal.close()
    handed_out = sorted(number for first, last in delivered for number in range(first, last + 1))
    everybody = range(1, 2 * LARGE + len(small) + 1)
    assert set(handed_out) <= {*everybody}
    assert len(handed_out) == len(set(handed_out)) == (limit or len(everybody))
    assert limit is not None or len(routed) <= PAGE
