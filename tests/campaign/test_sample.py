"""Whose message is shown: the first, somebody by address, some at random."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from listcase import Case, composer

from bulkmail.campaign.sample import at_random, by_address, first
from bulkmail.errors import ConfigError

NAMED = composer("Dear {{ name }}\n")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_the_first_with_a_message_is_the_first(case: Case) -> None:
    case.write("people.csv", "email,name\nnobody,N\nann@a.test\nbob@a.test,Bob\n")
    found = first(case.spec(), NAMED)
    assert (found.address, found.fields["name"], found.origin) == ("bob@a.test", "Bob", "people.csv:4")
    assert "people.csv:3: " in found.note


def test_the_first_of_standard_input(case: Case) -> None:
    found = first(case.spec("-"), NAMED, stdin=BytesIO(b'{"email": "ann@a.test", "name": "Ann"}\n'))
    assert (found.address, found.origin) == ("ann@a.test", "-:1")


def test_a_seed_stands_for_an_empty_list(case: Case) -> None:
    case.write("people.csv", "email,name\n")
    found = first(case.spec(seeds=["qa@a.test"]), NAMED)
    assert (found.address, found.fields["name"], found.note) == ("qa@a.test", "[name]", "a seed")


def test_where_is_heeded_however_far_down_the_first_is(case: Case) -> None:
    rows = "".join(f"p{n}@a.test,N{n}\n" for n in range(12_000))
    case.write("people.csv", "email,name\n" + rows)
    assert first(case.spec(where="name = 'N11999'"), NAMED).address == "p11999@a.test"


def test_nobody_who_passes_where_is_told_so(case: Case) -> None:
    case.write("people.csv", "email,name\nann@a.test,Ann\n")
    with pytest.raises(ConfigError, match=r"recipients\.where: nobody of the list passes it"):
        first(case.spec(where="name = 'Zoe'"), NAMED)


def test_rows_that_all_lack_a_field_are_told_and_not_all_read(case: Case) -> None:
    case.write("people.csv", "email\n" + "ann@a.test\n" * 20_000)
    with pytest.raises(ConfigError) as refused:
        first(case.spec(), NAMED)
    told = [(problem.line, problem.text) for problem in refused.value.problems]
    assert [line for line, _ in told] == [2, 3, 4, 5, 6, 0]
    assert "no row has a message, nor any behind it that was looked at" in told[-1][1]


@pytest.mark.parametrize("cell", ["Ann@a.test", '" ann@A.TEST "', '"""ann""@a.test"'])
def test_an_address_is_found_in_any_spelling(case: Case, cell: str) -> None:
    case.write("people.csv", f"email,name\nbob@a.test,Bob\n{cell},Ann\n")
    found = by_address(case.spec(), NAMED, "aNN@a.test")
    assert (found.fields["name"], found.origin, found.note) == ("Ann", "people.csv:3", "")


def test_an_international_domain_is_found_in_either_form(case: Case) -> None:
    case.write("people.csv", "email,name\nann@bücher.test,Ann\n")
    assert by_address(case.spec(), NAMED, "ann@xn--bcher-kva.test").fields["name"] == "Ann"


def test_a_seed_is_found_though_it_is_no_row(case: Case) -> None:
    case.write("people.csv", "email,name\nann@a.test,Ann\n")
    assert by_address(case.spec(seeds=["qa@a.test"]), NAMED, "qa@a.test").note == "a seed"


def test_a_row_beyond_the_limit_can_be_looked_at(case: Case) -> None:
    case.write("people.csv", "email,name\nann@a.test,Ann\nbob@a.test,Bob\n")
    assert by_address(case.spec(limit=1), NAMED, "bob@a.test").fields["name"] == "Bob"


def test_a_stranger_never_has_the_values_of_somebody_else(case: Case) -> None:
    case.write("people.csv", "email,name\nann@a.test,Ann\n")
    found = by_address(case.spec(), NAMED, "zoe@z.test")
    assert (found.fields, found.origin) == ({"email": "zoe@z.test", "name": "[name]"}, "")


def test_where_no_placeholder_will_do_that_is_told(case: Case) -> None:
    case.write("people.csv", "email,name,n\nann@a.test,Ann,1\n")
    with pytest.raises(ConfigError, match=r"zoe@z\.test is not in the list, and without values"):
        by_address(case.spec(), composer("{{ 7 // (n | int) }}\n"), "zoe@z.test")


def test_each_row_is_as_likely_as_any_other(case: Case) -> None:
    case.write("people.csv", "email,name\n" + "".join(f"p{n}@a.test,N{n}\n" for n in range(30)))
    drawn = Counter(one.address for seed in range(200) for one in at_random(case.spec(), NAMED, 3, seed))
    assert len(drawn) == 30
    assert max(drawn.values()) < 3 * min(drawn.values())


def test_the_same_seed_draws_the_same_in_the_order_of_the_list(case: Case) -> None:
    case.write("people.csv", "email,name\n" + "".join(f"p{n}@a.test,N{n}\n" for n in range(500)))
    drawn = at_random(case.spec(), NAMED, 20, 7)
    lines = [int(one.origin.removeprefix("people.csv:")) for one in drawn]
    assert (at_random(case.spec(), NAMED, 20, 7), lines, len(set(lines))) == (drawn, sorted(lines), 20)


def test_only_rows_with_a_message_that_pass_where_are_drawn(case: Case) -> None:
    rows = "ann@a.test,Ann\nnobody,N\nbob@a.test\ncleo@a.test,Cleo\nzoe@a.test,Zoe\n"
    case.write("people.csv", "email,name\n" + rows)
    drawn = at_random(case.spec(where="name <> 'Zoe' or name is null"), NAMED, 5, 1)
    assert [one.address for one in drawn] == ["ann@a.test", "cleo@a.test"]


def test_drawing_from_a_list_takes_no_memory_of_its_length(case: Case) -> None:
    case.write("people.csv", "email,name\n" + "".join(f"p{n}@a.test,N{n}\n" for n in range(40_000)))
    tracemalloc.start()
    try:
        at_random(case.spec(), NAMED, 3, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # the rows as dicts are 20 MB
