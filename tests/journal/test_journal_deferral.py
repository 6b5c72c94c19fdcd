"""Deferred recipients: ranges that are taken when due, carved as parts of them are recorded, given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_plans import NewStore

from bulkmail.errors import StoreError
from bulkmail.journal import Due, Intent, Planned, Record, Store


def deferred(first: int, last: int, *, at: float = 100.0, due: float = 200.0) -> Record:
    return Record(first, last, "deferred", at, 451, "4.7.1", "greylisted", due=due)


def test_deferred_recipients_come_back_once_when_due(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    store.commit([deferred(3, 6)], [], [])
    assert (store.due(199.9, 10), store.next_due(150.0)) == ([], 200.0)
    assert store.due(200.0, 10) == [Due("a.test", ((3, 6),), shared=True, attempts=1)]
    assert (store.due(1e9, 10), store.next_due(150.0)) == ([], None)


def test_a_time_that_has_passed_is_due_now(planned: NewStore) -> None:
    """J5."""
    store = planned([("a.test", 10)])
    store.commit([deferred(3, 6)], [], [])
    assert store.next_due(5000.0) == 5000.0


def test_a_time_that_no_policy_gives_is_brought_forward(planned: NewStore) -> None:
    """J5: the clock was set back after these were deferred."""
    store = planned([("a.test", 10)])
    store.commit([deferred(3, 6), deferred(7, 8, due=9e9), deferred(9, 9, due=211.0)], [], [])
    assert (store.bring_forward(211.0, 210.0), store.bring_forward(211.0, 210.0)) == (2, 0)
    assert [store.due(now, 10)[0].ids for now in (200.0, 210.0, 211.0)] == [((3, 6),), ((7, 8),), ((9, 9),)]


def test_neighbours_of_one_interval_come_back_together(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    store.commit([deferred(1, 2), deferred(3, 3, due=201.0), deferred(7, 8)], [], [])
    assert store.due(300.0, 10) == [Due("a.test", ((1, 3), (7, 8)), shared=True, attempts=1)]


def test_recipients_of_two_intervals_never_come_back_as_one(path: Path) -> None:
    """I9: each interval has bytes of its own, also within one domain."""
    with Store.create(path, {}) as store:
        with store.write_plan() as writer:
            writer.interval("a.test", True, False, [Planned("ann@a.test", "{}"), Planned("bob@a.test", "{}")])
            writer.interval("a.test", False, False, [Planned("cy@a.test", "{}"), Planned("di@a.test", "{}")])
        store.commit([deferred(1, 4)], [], [])
        assert store.due(300.0, 10) == [
            Due("a.test", ((1, 2),), shared=True, attempts=1),
            Due("a.test", ((3, 4),), shared=False, attempts=1),
        ]


def test_the_longest_due_are_taken_first_and_the_rest_later(planned: NewStore) -> None:
    store = planned([("a.test", 2), ("b.test", 2), ("c.test", 2)])
    store.commit([deferred(1, 2, due=203.0), deferred(3, 4, due=201.0), deferred(5, 6, due=202.0)], [], [])
    taken = [[due.domain for due in store.due(300.0, 2)] for _ in range(3)]
    assert taken == [["b.test", "c.test"], ["a.test"], []]


def test_a_part_that_is_settled_is_carved_out_and_the_rest_keeps_its_history(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    store.commit([deferred(1, 10)], [], [])
    store.due(300.0, 10)
    store.commit([Record(4, 5, "delivered", 300.0), deferred(6, 6, at=300.0, due=400.0)], [], [])
    tried = [(r.id, r.attempts, r.since) for r in store.fetch([(3, 3), (6, 7)])]
    assert tried == [(3, 1, 100.0), (6, 2, 100.0), (7, 1, 100.0)]
    assert store.due(500.0, 10) == [Due("a.test", ((6, 6),), shared=True, attempts=2)]


def test_who_is_handed_back_untried_is_due_again_without_an_attempt(planned: NewStore) -> None:
    """T6: our own fault charges nobody."""
    store = planned([("a.test", 10)])
    store.commit([deferred(2, 3)], [], [])
    store.due(300.0, 10)
    store.commit([Record(1, 5, "pending", 310.0, attempted=False)], [], [])
    assert store.due(310.0, 10) == [Due("a.test", ((2, 3),), shared=True, attempts=1)]
    assert [ranges for _, ranges in store.open_intervals(None, 10)] == [[(1, 1), (4, 10)]]


def put_off(first: int, last: int, due: float) -> Record:
    return Record(first, last, "pending", 310.0, reply="enough for today", due=due, attempted=False)


def test_who_is_put_off_untried_is_deferred_without_an_attempt(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    store.commit([deferred(2, 3)], [], [])
    store.due(300.0, 10)
    store.commit([put_off(1, 5, 900.0)], [], [])
    assert (store.totals()["deferred"], store.next_due(310.0)) == (5, 900.0)
    assert store.due(900.0, 10) == [
        Due("a.test", ((1, 1), (4, 5)), shared=True, attempts=0),
        Due("a.test", ((2, 3),), shared=True, attempts=1),
    ]
    roll = store.fetch([(1, 1), (4, 5)])
    assert ([(one.attempts, one.since) for one in roll], roll.tried) == ([(0, None)] * 3, False)
    [history] = store.history("user4@a.test")
    assert (history.state, history.reason, history.attempts) == ("deferred", "enough for today", ())


def test_whose_first_attempt_comes_late_is_as_old_as_that(planned: NewStore) -> None:
    """Or he would have expired while he waited for us."""
    store = planned([("a.test", 10)])
    store.commit([put_off(1, 5, 900.0)], [], [])
    store.due(900.0, 10)
    store.commit([deferred(1, 1, at=901.0, due=1000.0)], [], [])
    assert [(one.attempts, one.since) for one in store.fetch([(1, 1)])] == [(1, 901.0)]


def test_what_a_dead_worker_had_of_those_who_were_put_off_is_had_back(planned: NewStore) -> None:
    """P5."""
    store = planned([("a.test", 10)])
    store.commit([put_off(1, 5, 900.0)], [], [])
    store.due(900.0, 10)
    store.commit([Record(2, 2, "delivered", 901.0), put_off(3, 3, 2000.0)], [], [])
    assert store.in_hand([(1, 7)], 0) == ((1, 1), (4, 7))


def test_what_a_dead_worker_had_in_hand_is_who_has_no_fate_and_does_not_wait(planned: NewStore) -> None:
    """P5: whoever it had deferred is due later, as all are."""
    store = planned([("a.test", 20)])
    store.commit([deferred(3, 6)], [], [])
    store.due(200.0, 10)
    store.commit(
        [deferred(4, 4, due=900.0), deferred(8, 9, due=900.0), Record(11, 14, "delivered", 1.0)], [], []
    )
    assert store.in_hand([(2, 9), (13, 30)], 0) == ((2, 2), (7, 7), (15, 20))
    assert store.in_hand([(2, 9), (13, 30)], 1) == ((3, 3), (5, 6))


@pytest.mark.parametrize("resend", [False, True])
def test_who_is_given_out_again_meanwhile_is_not_what_a_dead_worker_had_in_hand(
    planned: NewStore, resend: bool
) -> None:
    """P5: it deferred them, or was interrupted, and they are due already: nobody may have them twice."""
    store = planned([("a.test", 20)])
    if resend:
        store.commit([], [Intent(1, ((3, 6),), "mx.a.test", "192.0.2.1", 150.0)], [])
        store.doubt_log(0, "resend", 160.0)
    else:
        store.commit([deferred(3, 6)], [], [])
    [again] = store.due(200.0, 10)
    assert (again.ids, store.in_hand([(2, 9)], 0)) == (((3, 6),), ((2, 2), (7, 9)))


def test_a_new_start_forgets_what_the_last_run_had_taken(planned: NewStore, path: Path) -> None:
    planned([("a.test", 10)]).commit([deferred(2, 3)], [], [])
    with Store.open(path) as store:
        store.due(300.0, 10)
    with Store.open(path) as store:
        assert (store.recover("hold", 300.0), len(store.due(300.0, 10))) == (0, 1)


def test_a_deferral_without_a_time_is_refused(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    with pytest.raises(StoreError, match="deferred without a time"):
        store.commit([Record(1, 1, "deferred", 100.0)], [], [])
    assert store.totals()["pending"] == 10


def test_an_interrupted_end_of_data_is_held_in_doubt_with_its_host(planned: NewStore) -> None:
    """J1."""
    store = planned([("a.test", 10)])
    store.commit([deferred(4, 4)], [Intent(1, ((3, 5), (8, 8)), "mx.a.test", "192.0.2.1", 150.0)], [])
    assert store.recover("hold", 300.0) == 4
    [history] = store.history("user4@a.test")
    assert [(a.state, a.at, a.host, a.address) for a in history.attempts[1:]] == [
        ("in_doubt", 150.0, "mx.a.test", "192.0.2.1")
    ]
    assert [ranges for _, ranges in store.open_intervals(None, 10)] == [[(1, 2), (6, 7), (9, 10)]]


def test_in_doubt_to_be_sent_again_is_listed_and_due(planned: NewStore) -> None:
    """J1."""
    store = planned([("a.test", 10)])
    store.commit([], [Intent(1, ((3, 5),), "mx.a.test", "192.0.2.1", 150.0)], [])
    assert store.recover("resend", 300.0) == 3
    [history] = store.history("user4@a.test")
    assert [attempt.state for attempt in history.attempts] == ["in_doubt"]
    assert store.due(300.0, 10) == [Due("a.test", ((3, 5),), shared=True, attempts=1)]


def test_nobody_is_in_two_open_transactions(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    store.commit([], [Intent(1, ((3, 5),), "mx.a.test", "192.0.2.1", 150.0)], [])
    with pytest.raises(StoreError, match="recipient 5 is in the open transaction 1 already"):
        store.commit([], [Intent(2, ((5, 6),), "mx.a.test", "192.0.2.1", 151.0)], [])
    assert store.recover("hold", 300.0) == 3


def test_what_was_recorded_is_beyond_doubt_though_its_intent_is_open(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    store.commit([], [Intent(1, ((3, 5),), "mx.a.test", "192.0.2.1", 150.0)], [])
    store.commit([Record(3, 4, "delivered", 151.0)], [], [])
    assert store.recover("hold", 300.0) == 1


def test_cancelling_leaves_doubt_and_what_is_settled_alone(planned: NewStore) -> None:
    store = planned([("a.test", 10)])
    store.commit([Record(1, 2, "delivered", 1.0), Record(3, 3, "in_doubt", 1.0), deferred(4, 5)], [], [])
    assert store.cancel_open(300.0) == 7
    totals = {name: n for name, n in store.totals().items() if n}
    assert totals == {"source": 10, "delivered": 2, "in_doubt": 1, "cancelled": 7}
    assert (store.open_intervals(None, 10), store.next_due(0.0)) == ([], None)
