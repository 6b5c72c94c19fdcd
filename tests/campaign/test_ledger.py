"""Who is suppressed while a campaign runs: noticed before the next MAIL, at a cost that no import raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from campaign_file import load

from bulkmail.campaign.compose import compose
from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.journal import Journal, Planned, Store, Suppressions

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


class Case:
    """A plan of three, its ledger, and the suppressions as another process would open them."""

    def __init__(self, ledger: CampaignLedger, ours: Suppressions, others: Suppressions) -> None:
        self.ledger, self.ours, self.others = ledger, ours, others

    async def slice(self):
        (people,) = await self.ledger.fetch([[(1, 3)]])
        return people

    def statements(self, ask) -> tuple[list[str], set[int]]:
        """What a question costs, and its answer."""
        seen: list[str] = []
        self.ours._db.set_exec_trace(lambda _, statement, __: seen.append(statement.split()[0]) or True)
        answer = set(ask())
        self.ours._db.set_exec_trace(None)
        return seen, answer


@contextmanager
def made(folder: Path, *, planned: tuple[str, ...] = (), before: tuple[str, ...] = ()) -> Iterator[Case]:
    """`planned`: whom the plan knows to be suppressed; `before` the run, others are."""
    (folder / "people.csv").write_text("email\nann@a.test\n")
    (folder / "hello.md").write_text("Hello\n")
    place = folder / "project.db"
    with Store.create(folder / "c.journal", {}) as store, Suppressions.open(place) as others:
        with store.write_plan() as writer:
            people = [Planned(f"{name}@a.test", "{}") for name in ("Ann", "bob", "cy")]
            writer.interval("a.test", True, False, people)
        others.add(planned, "asked to stop")
        known = others.newest()
        others.add(before, "asked to stop")
        with Suppressions.open(place) as ours:
            journal = Journal(store)
            composer = compose(load(folder), date=datetime(2026, 11, 21, tzinfo=UTC))
            ledger = CampaignLedger(journal, composer, ours, None, now=lambda: NOW, suppressed_until=known)
            yield Case(ledger, ours, others)
            journal.close()


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with made(tmp_path) as case:
        yield case


async def test_where_nobody_is_suppressed_during_the_run_asking_costs_no_statement(case: Case) -> None:
    people = await case.slice()
    assert case.statements(lambda: case.ledger.withheld([people])) == ([], set())


async def test_who_was_suppressed_between_the_plan_and_the_run_is_withheld(tmp_path: Path) -> None:
    with made(tmp_path, before=("ann@a.test",)) as case:
        people = await case.slice()
        assert set(case.ledger.withheld([people])) == {1}


async def test_whom_the_plan_knew_is_not_looked_for_again(tmp_path: Path) -> None:
    with made(tmp_path, planned=("dan@a.test",)) as case:
        seen: list[str] = []
        case.ours._db.set_exec_trace(lambda _, statement, __: seen.append(statement) or True)
        await case.slice()
        assert seen == []


async def test_what_one_session_found_is_not_forgotten_by_another_that_found_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ask side by side, in threads."""
    with made(tmp_path, before=("ann@a.test",)) as case:
        people = await case.slice()
        case.ledger._asking = False
        contains = case.ours.contains_keys

        def overtaken(keys) -> set[str]:
            found = contains(keys)
            case.ledger._asking = True  # by the other, meanwhile
            return found - {"ann@a.test"}

        monkeypatch.setattr(case.ours, "contains_keys", overtaken)
        await case.slice()
        monkeypatch.setattr(case.ours, "contains_keys", contains)
        assert set(case.ledger.withheld([people])) == {1}


async def test_who_took_the_place_of_the_newest_is_looked_for(tmp_path: Path) -> None:
    with made(tmp_path, planned=("dan@a.test",)) as case:
        before = case.others.newest()
        case.others.remove(["dan@a.test"])
        case.others.add(["ann@a.test"], "asked to stop")
        assert case.others.newest() != before


async def test_who_is_suppressed_after_being_loaded_is_withheld(case: Case) -> None:
    people = await case.slice()
    case.others.add(["BOB@a.test"], "asked to stop")
    assert [set(case.ledger.withheld([people])) for _ in range(2)] == [{2}, {2}]


async def test_an_import_during_the_run_is_asked_for_the_batch_at_hand_and_not_read(case: Case) -> None:
    people = await case.slice()
    case.others.import_((f"cy{n or ''}@a.test" for n in range(20_000)), "imported")
    first = case.statements(lambda: case.ledger.withheld([people]))
    second = case.statements(lambda: case.ledger.withheld([people[:1]]))
    # one indexed look-up a batch, whatever was imported
    assert (first, second) == ((["PRAGMA", "SELECT"], {3}), (["SELECT"], set()))


async def test_who_is_taken_off_the_suppressions_again_is_mailed(case: Case) -> None:
    people = await case.slice()
    case.others.add(["bob@a.test"], "by mistake")
    case.ledger.withheld([people])
    case.others.remove(["bob@a.test"])
    assert set(case.ledger.withheld([people])) == set()
