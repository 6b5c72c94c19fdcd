"""Who is excluded from a campaign, and what is refused because nobody can tell whom it excludes."""

from __future__ import annotations

from pathlib import Path

import pytest
from listcase import TINY, Case, sums

from bulkmail.errors import ConfigError


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.parametrize("budget", [None, TINY])
@pytest.mark.parametrize("header", ["mail,x", "Email,x", "anything"])
def test_excluded_people_are_left_out_however_their_list_names_the_column(
    case: Case, header: str, budget: object
) -> None:
    people = [f"p{n}@{'ab'[n % 2]}.test" for n in range(40)]
    case.write("people.csv", "mail\n" + "\n".join(people))
    case.write("bought.csv", f"{header}\n" + "".join(f"{p.upper()}\n" for p in people[::4]))
    plan = case.plan(columns={"email": "mail"}, exclude=["bought.csv"], budget=budget)
    assert sorted(plan.addresses) == sorted(set(people) - set(people[::4]))
    assert {reason for *_, reason in plan.reasons("excluded")} == {"in bought.csv"}
    assert sums(plan.totals)


def test_an_exclusion_list_without_a_header_is_refused_rather_than_its_first_address_mailed(
    case: Case,
) -> None:
    case.write("people.csv", "email\nann@a.test\n")
    case.write("bought.csv", "ann@a.test\nbob@b.test\n")
    with pytest.raises(ConfigError, match=r"bought\.csv:1: no column 'email'"):
        case.plan(exclude=["bought.csv"])


def test_an_exclusion_that_cannot_be_read_is_refused_rather_than_somebody_mailed(case: Case) -> None:
    case.write("people.csv", "email,name\nann@a.test,Ann\nbob@a.test,Bob\n")
    case.write(
        "bought.csv", b'email\nann@a.test\n"bob"@a.test\nb\xf6b@a.test\nBob <bob@a.test>\nbob@a.test,x\n'
    )
    case.write("more.jsonl", '{"email": "ann@a.test"}\n{"email": }\n')
    with pytest.raises(ConfigError) as refused:
        case.plan(exclude=["bought.csv", "more.jsonl"])
    told = [(problem.file, problem.line) for problem in refused.value.problems]
    assert told == [*(("bought.csv", line) for line in (3, 4, 5, 6)), ("more.jsonl", 2)]
    assert "'Bob <bob@a.test>'" in refused.value.problems[2].text
    assert "whoever this excludes would be mailed" in refused.value.problems[2].text


def test_of_many_exclusions_that_cannot_be_read_the_first_are_told_and_all_are_counted(case: Case) -> None:
    case.write("people.csv", "email\nann@a.test\n")
    case.write("bought.csv", "email\n" + "bob\n" * 100)
    with pytest.raises(ConfigError, match=r"(?s)bought\.csv:2: .*and \d+ more rows that cannot be read"):
        case.plan(exclude=["bought.csv"])


@pytest.mark.parametrize("out", ["email\n", "email\n\n\n", "email,since\n,\n \t,2026\n\n", ""])
def test_an_exclusion_list_that_names_nobody_excludes_nobody(case: Case, out: str) -> None:
    case.write("people.csv", "email\nann@a.test\n")
    case.write("bought.csv", out)
    assert case.plan(exclude=["bought.csv"]).addresses == ["ann@a.test"]
