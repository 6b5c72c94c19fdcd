"""The journal against a dict: whatever is recorded, planned or interrupted, everybody is in one state."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bulkmail.errors import StoreError
from bulkmail.journal import OPEN, STATES, Exported, History, Intent, Planned, Record, Store

SETTLING = ("delivered", "bounced", "expired", "cancelled", "suppressed")


@dataclass(frozen=True)
class Fate:
    """What the model knows of one recipient."""

    state: str = "pending"
    attempts: int = 0
    since: float | None = None
    due: float | None = None
    taken: bool = False
    told: tuple[str, ...] = ()  # the states of all attempts, oldest first


def told(fate: Fate, state: str) -> Fate:
    return replace(fate, told=(*fate.told, state))


def applied(fate: Fate, record: Record) -> Fate:
    if record.state == "pending":
        if fate.state == "deferred":
            fate = replace(fate, due=record.at if record.due is None else record.due, taken=False)
        elif record.due is not None:
            fate = replace(fate, state="deferred", due=record.due, taken=False)
        return told(fate, "pending") if record.attempted else fate
    since = record.at if fate.since is None else fate.since
    state = "deferred" if record.state == "in_doubt" and record.due is not None else record.state
    due = record.due if state == "deferred" else None
    return told(Fate(state, fate.attempts + 1, since, due, told=fate.told), record.state)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "c.journal"
        self.now = 1000.0
        self.key = 0
        self.intents: dict[int, tuple[range, float]] = {}

    # Big intervals cross the blocks that attempts are cut along.
    @initialize(sizes=st.lists(st.sampled_from([1, 2, 3, 10, 1100]), min_size=2, max_size=5))
    def start(self, sizes: list[int]) -> None:
        self.store = Store.create(self.path, {})
        # Model and store are compared at every step, not after a power loss: no need to wait for the disk.
        self.store._db.pragma("synchronous", "OFF")
        with self.store.write_plan() as writer:
            self.intervals = [
                writer.interval(
                    f"d{n}.test", n % 2 == 0, n == 3, [Planned(f"u{k}@d{n}.test", "{}") for k in range(size)]
                )
                for n, size in enumerate(sizes)
            ]
        self.size = sum(sizes)
        self.fates = {number: Fate() for number in range(1, self.size + 1)}

    def free(self, data: st.DataObject, *states: str) -> range:
        """A range of recipients in `states` and in no intent; empty where there is none."""
        busy = {number for ids, _ in self.intents.values() for number in ids}

        def fits(number: int) -> bool:
            return number in self.fates and self.fates[number].state in states and number not in busy

        candidates = [number for number in self.fates if fits(number)]
        if not candidates:
            return range(0)
        first = data.draw(st.sampled_from(candidates), label="first")
        length = data.draw(st.sampled_from([1, 2, 5, 600, 2000]), label="length")
        last = first
        while last - first + 1 < length and fits(last + 1):
            last += 1
        return range(first, last + 1)

    def draw_record(self, data: st.DataObject, ids: range, states: tuple[str, ...]) -> Record:
        state = data.draw(st.sampled_from(states), label="state")
        needs = state == "deferred" or (state in ("in_doubt", "pending") and data.draw(st.booleans()))
        due = self.now + data.draw(st.sampled_from([0.0, 5.0, 50.0])) if needs else None
        attempted = data.draw(st.booleans())
        return Record(
            ids[0], ids[-1], state, self.now, 250, None, f"reply {state}", due=due, attempted=attempted
        )

    def apply(self, record: Record) -> None:
        for number in range(record.first, record.last + 1):
            self.fates[number] = applied(self.fates[number], record)

    @rule(data=st.data(), cuts=st.integers(1, 4))
    def record(self, data: st.DataObject, cuts: int) -> None:
        """Neighbours, maybe pending beside deferred, with a different outcome each."""
        ids = self.free(data, "pending", "deferred")
        step = max(1, -(-len(ids) // cuts))
        parts = [ids[k : k + step] for k in range(0, len(ids), step)]
        states = (*SETTLING, "deferred", "in_doubt", "pending")
        records = [self.draw_record(data, part, states) for part in parts]
        self.store.commit(records, [], [])
        for record in records:
            self.apply(record)

    @rule(data=st.data())
    def open_a_transaction(self, data: st.DataObject) -> None:
        ids = self.free(data, "pending", "deferred")
        if ids:
            self.key += 1
            self.store.commit(
                [], [Intent(self.key, ((ids[0], ids[-1]),), "mx.test", "192.0.2.1", self.now)], []
            )
            self.intents[self.key] = (ids, self.now)

    @precondition(lambda self: self.intents)
    @rule(data=st.data(), settle=st.booleans())
    def close_a_transaction(self, data: st.DataObject, settle: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.intents)))
        ids, _ = self.intents.pop(key)
        records = [self.draw_record(data, ids, ("delivered", "deferred", "in_doubt"))] if settle else []
        self.store.commit(records, [], [key])
        for record in records:
            self.apply(record)

    @rule(data=st.data(), state=st.sampled_from((*SETTLING, "deferred", "in_doubt", "pending")))
    def nothing_reopens_who_is_not_open(self, data: st.DataObject, state: str) -> None:
        closed = [number for number, fate in self.fates.items() if fate.state not in ("pending", "deferred")]
        if not closed:
            return
        number = data.draw(st.sampled_from(closed))
        span = data.draw(
            st.sampled_from([(number, number), (max(1, number - 1), number), (number, number + 1)])
        )
        with pytest.raises(StoreError, match="neither pending nor deferred"):
            self.store.commit([Record(*span, state, self.now, due=self.now)], [], [])
        with pytest.raises(StoreError, match="neither pending nor deferred"):
            self.store.commit([], [Intent(self.key + 1, (span,), "mx.test", "192.0.2.1", self.now)], [])

    @rule(passed=st.sampled_from([1.0, 10.0, 100.0]), limit=st.integers(1, 5))
    def take_what_is_due(self, passed: float, limit: int) -> None:
        self.now += passed
        found = [
            (number, due.attempts)
            for due in self.store.due(self.now, limit)
            for first, last in due.ids
            for number in range(first, last + 1)
        ]
        for number, attempts in found:
            fate = self.fates[number]
            assert (fate.state, fate.taken, fate.attempts) == ("deferred", False, attempts)
            assert fate.due is not None
            assert fate.due <= self.now
            self.fates[number] = replace(fate, taken=True)
        left = [fate.due for fate in self.fates.values() if fate.state == "deferred" and not fate.taken]
        assert self.store.next_due(0.0) == min((due for due in left if due is not None), default=None)

    @rule(resend=st.booleans())
    def crash_and_recover(self, resend: bool) -> None:
        """The connection is dropped as it is: what a kill leaves is read by the next process."""
        self.store.close()
        self.store = Store.open(self.path)
        self.store._db.pragma("synchronous", "OFF")
        in_flight = {number: at for ids, at in self.intents.values() for number in ids}
        assert self.store.recover("resend" if resend else "hold", self.now) == len(in_flight)
        self.intents.clear()
        for number, fate in self.fates.items():
            if number in in_flight:
                due = self.now if resend else None
                fate = applied(fate, Record(number, number, "in_doubt", in_flight[number], due=due))
            self.fates[number] = replace(fate, taken=False)

    @rule(resend=st.booleans())
    def the_operator_resolves(self, resend: bool) -> None:
        doubtful = [number for number, fate in self.fates.items() if fate.state == "in_doubt"]
        assert self.store.resolve_doubt("resend" if resend else "delivered", self.now) == len(doubtful)
        for number in doubtful:
            state, due = ("deferred", self.now) if resend else ("delivered", None)
            self.fates[number] = told(replace(self.fates[number], state=state, due=due), state)

    @invariant()
    def the_totals_are_those_of_the_model(self) -> None:
        totals = self.store.totals()
        assert totals.pop("source") == sum(totals.values()) == self.size
        assert totals == dict.fromkeys(STATES, 0) | Counter(f.state for f in self.fates.values())

    @invariant()
    def what_is_open_is_what_is_pending(self) -> None:
        found: list[int] = []
        after = None
        while page := self.store.open_intervals(after, 2):
            for interval, ranges in page:
                assert ranges
                assert interval in self.intervals
                found += [number for first, last in ranges for number in range(first, last + 1)]
            after = (page[-1][0].size, page[-1][0].id)
        assert sorted(found) == [n for n, fate in self.fates.items() if fate.state == "pending"]

    @rule(state=st.sampled_from(STATES))
    def who_is_exported_is_in_that_state(self, state: str) -> None:
        addresses = {
            r.address for r in self.store.fetch([(n, n) for n in self.fates if self.fates[n].state == state])
        }
        exported = [row.address for row in self.store.export(state) if isinstance(row, Exported)]
        assert len(exported) == len(set(exported))
        assert set(exported) == addresses

    @rule(data=st.data())
    def one_person_is_told_everything(self, data: st.DataObject) -> None:
        lived = [number for number, fate in self.fates.items() if fate.told]
        number = data.draw(st.sampled_from(lived or [1]))
        fate = self.fates[number]
        [recipient] = self.store.fetch([(number, number)])
        [history] = self.store.history(recipient.address)
        assert isinstance(history, History)
        assert (history.state, history.due) == (fate.state, fate.due)
        assert tuple(attempt.state for attempt in history.attempts) == fate.told
        assert history.in_flight == any(number in ids for ids, _ in self.intents.values())
        if fate.state in OPEN and fate.state != "in_doubt":
            assert (recipient.attempts, recipient.since) == (fate.attempts, fate.since)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.directory.cleanup()


TestJournal = Model.TestCase
TestJournal.settings = settings(max_examples=40, stateful_step_count=40)
