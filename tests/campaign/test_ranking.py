"""The most engaged first: in which order a plan has the people of a domain, whatever its size."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from listcase import TINY, Case, composer

from bulkmail.campaign.ranking import LEAST, worth
from bulkmail.errors import ConfigError


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


PERSONAL = {"to": "{{ email }}"}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12.0),
        ("-3.5", -3.5),
        (" 7 ", 7.0),
        ("1970-01-02", 86_400.0),
        ("1970-01-01T00:01:00", 60.0),
        ("", LEAST),
        ("often", LEAST),
        ("nan", LEAST),
    ],
)
def test_a_cell_is_worth_what_it_says(cell: str, value: float):
    assert worth(cell) == value


def opens(count: int, domain: str = "a.test") -> tuple[str, list[str]]:
    """A list in which the numbers are mixed up, and the addresses by number, the largest first."""
    numbers = [n * 7919 % count for n in range(count)]
    rows = "".join(f"p{number}@{domain},{number},x\n" for number in numbers)
    return rows, [f"p{number}@{domain}" for number in sorted(numbers, reverse=True)]


@pytest.mark.parametrize("message", [composer(), composer(**PERSONAL), composer(subject="{{ name }}")])
@pytest.mark.parametrize("budget", [None, TINY])
def test_in_each_domain_who_has_the_most_comes_first(case, message, budget):
    """Shared, personal and by their fields; in memory, and spilled again and again."""
    (ours, best), (theirs, second) = opens(60), opens(40, "b.test")
    case.write("people.csv", f"email,opens,name\n{ours}{theirs}")
    found = case.plan(message=message, first="opens", budget=budget).addresses
    assert sorted(found) == sorted(best + second)
    assert [one for one in found if one.endswith("@a.test")] == best
    assert [one for one in found if one.endswith("@b.test")] == second


def test_dates_serve_as_well_and_who_has_nothing_comes_last_in_the_order_of_the_list(case):
    days = [date(2026, 11, 1) + timedelta(days=n) for n in (3, 1, 2)]
    rows = "".join(f'{{"email": "p{n}@a.test", "clicked": "{day}"}}\n' for n, day in enumerate(days))
    case.write("people.jsonl", '{"email": "q@a.test"}\n{"email": "r@a.test", "clicked": ""}\n' + rows)
    found = case.plan("people.jsonl", message=composer(**PERSONAL), first="clicked")
    assert found.addresses == ["p0@a.test", "p2@a.test", "p1@a.test", "q@a.test", "r@a.test"]


def test_seeds_go_before_everybody_however_engaged(case):
    case.write("people.csv", "email,opens\nann@a.test,9\nbob@a.test,10\n")
    found = case.plan(message=composer(**PERSONAL), first="opens", seeds=["qa@a.test"])
    assert found.addresses == ["qa@a.test", "bob@a.test", "ann@a.test"]


def test_a_field_that_no_row_has_is_an_error_and_says_which_there_are(case):
    case.write("people.csv", "email,opened\nann@a.test,9\n")
    with pytest.raises(
        ConfigError, match=r"shaping\.warmup\.first: no row has the field opens: did you mean"
    ):
        case.plan(first="opens")
