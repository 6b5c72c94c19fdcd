"""What is unfinished is read in an order users understand, at a cost that what is done does not change."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from journal_plans import NewStore

from bulkmail.journal import Intent, Record, Store, queries, ranges, roll


def test_seeds_come_first_then_the_biggest(planned: NewStore) -> None:
    store = planned(
        [("small.test", 1), ("seeds:qa.test", 1), ("big.test", 9), ("mid.test", 5), ("tiny.test", 1)]
    )
    domains = [interval.domain for interval, _ in store.open_intervals(None, 10)]
    assert domains == ["qa.test", "big.test", "mid.test", "small.test", "tiny.test"]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_give_everybody_once(planned: NewStore, limit: int) -> None:
    store = planned([(f"{'seeds:' * (n % 7 == 0)}d{n}.test", n % 4 + 1) for n in range(40)])
    found, after = [], None
    while page := store.open_intervals(after, limit):
        found += [(interval.seeds, interval.size, interval.id) for interval, _ in page]
        after = (page[-1][0].size, page[-1][0].id)
    assert found == sorted(found, key=lambda key: (not key[0], -key[1], key[2]))
    assert len(set(found)) == 40


def test_paging_goes_on_behind_an_interval_that_is_done_meanwhile(planned: NewStore) -> None:
    store = planned([("a.test", 3), ("b.test", 2), ("c.test", 1)])
    [(first, _)] = store.open_intervals(None, 1)
    store.commit([Record(1, 3, "delivered", 1.0)], [], [])
    assert [i.domain for i, _ in store.open_intervals((first.size, first.id), 9)] == ["b.test", "c.test"]


def test_an_interval_without_anybody_pending_is_not_open(planned: NewStore) -> None:
    store = planned([("a.test", 2), ("b.test", 2), ("c.test", 2)])
    records = [
        Record(1, 1, "in_doubt", 1.0), Record(2, 2, "deferred", 1.0, due=9.0), Record(3, 3, "delivered", 1.0),
    ]  # fmt: skip
    store.commit(records, [], [])
    assert [(i.domain, spans) for i, spans in store.open_intervals(None, 9)] == [
        ("b.test", [(4, 4)]),  # in the order of whole intervals, which a run does not change
        ("c.test", [(5, 6)]),
    ]


def steps(store: Store, work: Callable[[], object]) -> int:
    """How many instructions of SQLite's virtual machine `work` takes."""
    count = 0

    def one() -> bool:
        nonlocal count
        count += 1
        return False

    store._db.set_progress_handler(one, 1)
    work()
    store._db.set_progress_handler(None)
    return count


def resume(store: Store) -> None:
    """What a run does when it starts, and then for its first slice."""
    store.totals()
    store.recover("hold", 1000.0)
    page = store.open_intervals(None, 10)
    store.fetch([page[0][1][0]])
    store.next_due(1000.0)
    store.due(1000.0, 10)


@pytest.mark.parametrize("one_interval", [True, False])
def test_resuming_costs_the_same_however_much_is_done(planned: NewStore, one_interval: bool) -> None:
    domains = [("a.test", 20_000)] if one_interval else [(f"d{n}.test", 2) for n in range(10_000)]
    store = planned(domains)
    cost: list[int] = []
    done = 0
    for upto in (200, 19_800):
        # Every recipient with an outcome of its own: nothing to be joined into ranges.
        records = [Record(n, n, "delivered", 1.0, reply=f"queued as {n}") for n in range(done + 1, upto)]
        left = Record(upto, upto, "deferred", 1.0, due=500.0)
        doubtful = Intent(upto, ((upto + 1, upto + 4),), "mx.test", "192.0.2.1", 2.0)
        store.commit([*records, left], [doubtful], [])
        store.commit([Record(upto + 7, upto + 8, "bounced", 1.0)], [], [])
        cost.append(steps(store, lambda: resume(store)))
        done = upto + 8
        store.commit([Record(upto + 5, upto + 6, "delivered", 1.0)], [], [])
    assert cost[1] < 1.5 * cost[0]


@pytest.mark.parametrize(
    "query",
    [
        queries.OPEN_INTERVALS,
        queries.PENDING,
        queries.DUE,
        queries.NEXT_DUE,
        queries.INTERVALS_OF,
        queries.TRIED,
        roll.ONE_BLOCK,
        ranges.PENDING,
        ranges.DEFERRAL,
    ],
)
def test_no_question_of_a_run_reads_a_whole_table(planned: NewStore, query: str) -> None:
    store = planned([("a.test", 3)])
    plan = store._db.execute("EXPLAIN QUERY PLAN " + query, (1,) * query.count("?")).fetchall()
    # A scan of a partial index, or of the unfinished in their order, stops at its LIMIT.
    whole = [
        row[3] for row in plan if re.match(r"SCAN (?!.*USING .*INDEX (interval_open|deferral_due))", row[3])
    ]
    assert (whole, [row[3] for row in plan if "TEMP B-TREE" in row[3]]) == ([], [])
