"""`plan`: the numbers of a plan that is not made."""

from __future__ import annotations

from pathlib import Path

import pytest
from listcase import TINY, Case, composer

from bulkmail.campaign.plan_summary import OTHER, DomainCount, PlanSummary
from bulkmail.campaign.plan_summary import plan_summary as summarise
from bulkmail.campaign.spill import Budget
from bulkmail.journal.suppressions import Suppressions


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def summary(
    case: Case, text: str = "Hello.\n", *, individual: bool = False, **settings: object
) -> PlanSummary:
    budget = settings.pop("budget", None)
    assert budget is None or isinstance(budget, Budget)
    with Suppressions.open(case.folder / "project.db") as suppressions:
        suppressions.add(["gone@a.test"], "asked")
        return summarise(
            case.spec(**settings),
            composer(text),
            suppressions,
            recipients_per_transaction=10,
            individual=individual,
            budget=budget,
            top=2,
        )


def people(case: Case) -> None:
    rows = [f"p{n}@a.test,N{n % 2}\n" for n in range(25)] + [f"q{n}@b.test,N\n" for n in range(3)]
    case.write(
        "people.csv", "email,name\n" + "".join([*rows, "r@c.test,N\n", "gone@a.test,N\n", "no,N\n", rows[0]])
    )


@pytest.mark.parametrize("budget", [None, TINY])
def test_the_numbers_of_a_plan_are_those_of_its_run(case: Case, budget: Budget | None) -> None:
    people(case)
    found = summary(case, seeds=["qa@a.test"], budget=budget)
    assert {state: n for state, n in found.totals.items() if n} == {
        "source": 33,
        "invalid": 1,
        "duplicate": 1,
        "suppressed": 1,
        "pending": 30,
    }
    assert (found.recipients, found.seeds, found.domains) == (30, 1, 3)
    assert [(count.domain, count.recipients) for count in found.top] == [("a.test", 25), ("b.test", 3)]


@pytest.mark.parametrize(
    ("text", "individual", "transactions", "top"),
    [
        ("Hello.\n", False, 3 + 1 + 1, DomainCount("a.test", 25, 3)),
        ("Hello {{ name }}.\n", False, 2 + 2 + 1 + 1, DomainCount("a.test", 25, 4)),
        ("Hello {{ email }}.\n", False, 29, DomainCount("a.test", 25, 25)),
        ("Hello.\n", True, 29, DomainCount("a.test", 25, 25)),
    ],
)
def test_transactions_follow_from_what_may_be_shared(
    case: Case, text: str, individual: bool, transactions: int, top: DomainCount
) -> None:
    people(case)
    found = summary(case, text, individual=individual)
    assert (found.transactions, found.transactions_if_same, found.top[0]) == (transactions, 5, top)


def test_reasons_are_counted_with_the_first_row_of_each(case: Case) -> None:
    case.write("people.csv", "email\nx\ny\nann@\n")
    found = [(r.state, r.reason, r.rows, r.first.row) for r in summary(case).reasons]
    assert found == [
        ("invalid", "column email: no @ in the address", 2, 2),
        ("invalid", "column email: nothing after the @", 1, 4),
    ]


def test_a_list_where_each_row_has_its_own_reason_is_summed_up(case: Case) -> None:
    case.write("people.csv", "email\n" + "".join("x" + ",x" * n + "\n" for n in range(1, 301)))
    found = {reason.reason: reason.rows for reason in summary(case).reasons}
    assert (len(found), found[OTHER], sum(found.values())) == (201, 100, 300)


def test_nothing_is_left_behind(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    people(case)
    place = case.folder / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert len(summary(case, budget=TINY).samples) == 3
    assert list(place.iterdir()) == []
