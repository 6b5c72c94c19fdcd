"""Who is due again: the store is asked when somebody can be, and nobody is overlooked."""

from __future__ import annotations

import pytest
from journal_plans import NewStore

from bulkmail.journal import Due, Intent, Journal, Log, Record, Store


def deferred(number: int, due: float) -> Record:
    return Record(number, number, "deferred", 1.0, 451, "4.3.0", "later", due=due)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the store was asked who is due."""
    times: list[float] = []
    real = Store.due

    def due(self: Store, now: float, limit: int) -> list[Due]:
        times.append(now)
        return real(self, now, limit)

    monkeypatch.setattr(Store, "due", due)
    return times


async def found(journal: Journal, now: float) -> list[tuple[int, int]]:
    return [span for due in await journal.due(now, 10) for span in due.ids]


async def test_the_store_is_asked_who_is_due_when_somebody_can_be(
    planned: NewStore, asked: list[float]
) -> None:
    store = planned([("a.test", 9)])
    store.commit([deferred(1, 5.0)], [], [])
    journal = Journal(store)
    first = [await found(journal, now) for now in (2.0, 3.0, 5.0, 6.0)]
    journal.append([deferred(2, 9.0), Record(3, 3, "delivered", 1.0), deferred(4, 8.0)])
    then = [await found(journal, now) for now in (7.0, 8.0, 8.5, 9.0, 10.0)]
    journal.close()
    assert (first, then, asked) == (
        [[], [], [(1, 1)], []],
        [[], [(4, 4)], [], [(2, 2)], []],
        [2.0, 5.0, 8.0, 9.0],
    )


async def test_who_is_handed_back_is_due_at_once(planned: NewStore) -> None:
    store = planned([("a.test", 9)])
    store.commit([deferred(1, 5.0)], [], [])
    journal = Journal(store)
    taken = await found(journal, 5.0), await found(journal, 6.0)
    journal.append([Record(1, 1, "pending", 7.0)])
    again = await found(journal, 7.0)
    journal.close()
    assert (taken, again) == (([(1, 1)], []), [(1, 1)])


async def test_when_the_next_are_due_is_known_without_asking_unless_it_must_be_sure(
    planned: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = planned([("a.test", 9)])
    journal = Journal(store)
    nobody = [await found(journal, 1.0), await journal.next_due(1.0, surely=False)]
    journal.append([deferred(1, 5.0), Record(2, 2, "pending", 3.0)])  # who is pending is not due
    sure = await journal.next_due(1.0, surely=True)
    monkeypatch.delattr(Store, "next_due")
    likely = await journal.next_due(1.0, surely=False)
    journal.close()
    assert (nobody, sure, likely) == ([[], None], 5.0, 3.0)


async def test_what_the_store_was_told_besides_is_seen(planned: NewStore) -> None:
    journal = Journal(planned([("a.test", 9)]))
    before = await found(journal, 6.0)
    await journal.call(Store.commit, [deferred(1, 5.0)], [], [])
    after = await found(journal, 6.0)
    journal.close()
    assert (before, after) == ([], [(1, 1)])


async def test_what_a_worker_deferred_is_seen(planned: NewStore) -> None:
    store = planned([("a.test", 9)])
    journal = Journal(store)
    name = store.new_log(1)
    journal.follow(name)
    before = await found(journal, 6.0)
    worker = Log(name)
    worker.append([deferred(1, 5.0)], [Intent(7, ((2, 2),), "mx.a.test", "192.0.2.1", 1.0)])
    await worker.sync()
    while_followed = await found(journal, 6.0)
    worker.append([deferred(3, 5.0)])
    worker.close()
    await journal.unfollow(1, "resend", 6.0)
    at_last = await found(journal, 6.0)
    journal.close()
    assert (before, while_followed, at_last) == ([], [(1, 1)], [(2, 3)])
