"""The fast way through a list and the careful one make the same plan; and the fast one is really taken."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from listcase import TINY, Case, composer, sums

from bulkmail.campaign import csv_plain, csv_source
from bulkmail.campaign.csv_source import read_csv
from bulkmail.campaign.listing import Batch, ListSpec
from bulkmail.campaign.plain_address import plain_domains
from bulkmail.campaign.share_key import key_of, keys_of
from bulkmail.campaign.spill import Budget
from bulkmail.errors import ConfigError
from bulkmail.journal.roll import parse_row
from bulkmail.message.composer import Composer
from bulkmail.smtp.address import Mailbox

COLUMNS = ("email", "name", "x")
CELLS = st.one_of(
    st.sampled_from(
        ["", " ", "Ann", "é", "山", 'a"b', '"', "a\x1fb", "\x1e", "a\x00b", "\x85", "\u2028", "x" * 80]
    ),
    st.text(max_size=4),
)
ADDRESSES = st.one_of(
    st.sampled_from(
        [
            "ann@a.test",
            "Ann@a.test",
            "bob@A.test",
            " cy@a.test",
            "d.d@xn--a.test",
            "é@a.test",
            "no",
            "a@b@c.test",
            '"q q"@a.test',
            "..@a.test",
            "a.@a.test",
            ".a@a.test",
            "a@b..test",
            "a@[192.0.2.1]",
            "a@1.2",
            "@",
            "a@",
            f"{'l' * 64}@a.test",
            f"{'l' * 65}@a.test",
            f"a@{'d' * 64}.test",
            "a@b.test-",
            "A@ü.test",
            "a@a.test\t",
        ]
    ),
    st.emails(),
)
QUOTED = st.booleans()
NEWLINES = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"])
LINES = st.lists(
    st.tuples(ADDRESSES, st.lists(st.tuples(CELLS, QUOTED), max_size=3), QUOTED, NEWLINES), max_size=30
)


def written(cell: str, quoted: bool) -> str:
    return '"' + cell.replace('"', '""') + '"' if quoted else cell


def file_of(lines: Sequence[tuple[str, list[tuple[str, bool]], bool, str]]) -> str:
    rows = (
        ",".join([written(address, quoted), *(written(*cell) for cell in cells)]) + newline
        for address, cells, quoted, newline in lines
    )
    return ",".join(COLUMNS) + "\n" + "".join(rows)


SHAPES = {",".join(names): names for names in (COLUMNS[:1], COLUMNS[:2], COLUMNS)}


def batches(text: str, *, plain: bool) -> list[Batch]:
    shape = (lambda columns: ",".join(columns)) if plain else None
    return list(read_csv(StringIO(text, newline=""), ListSpec(["x.csv"]), "x.csv", shape))


def told(text: str, *, plain: bool) -> object:
    """Every row and every complaint, in the order of the lines, or what is wrong with the whole."""
    try:
        found = batches(text, plain=plain)
    except ConfigError as error:
        return str(error)
    rows = [row for batch in found for row in batch.rows]
    for batch in found:
        if batch.plain is not None:
            people = zip(batch.plain.lines, batch.plain.texts, batch.plain.columns["email"], strict=True)
            for place, (line, stored, address) in enumerate(people):
                rows.append((line, batch.plain.row(place)))
                assert parse_row(stored, address, SHAPES) == rows[-1][1]
    return sorted(rows, key=lambda row: row[0]), [bad for batch in found for bad in batch.bad]


@settings(max_examples=300)
@given(LINES)
@example([("a@a.test", [("b", False), ('"', False)], False, "\n"), ("b@a.test", [("c", False)], False, "\n")])
@example([("a@a.test", [("x\ny@a.test,1,2\nz", True), ("", False)], False, "\n")])
def test_rows_by_column_are_the_rows_one_by_one(
    lines: list[tuple[str, list[tuple[str, bool]], bool, str]],
) -> None:
    text = file_of(lines)
    assert told(text, plain=True) == told(text, plain=False)


@pytest.mark.parametrize("chunk", [1, 7, 60])
def test_rows_are_the_same_wherever_a_chunk_ends(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_plain, "_CHUNK", chunk)
    text = 'email,name\na@a.test,A\n"b@a.test","B\nb, ""c@a.test"",\n",\r\nd@a.test,D\r\n\r\n'
    text += "e@a.test\nf@a.test,F"
    assert told(text, plain=True) == told(text, plain=False)


@pytest.mark.parametrize(
    "text",
    [
        "email,name\na@a.test,A\nb@a.test,é\n",
        "email,name\r\na@a.test,A\r\nb@a.test,B\r\n",
        "email;name\na@a.test;A,A\n b@a.test;B",
        '"email","name"\n"a@a.test","A, A"\n"b@a.test",""\n',
        '"email"\n"a@a.test"\n"b@a.test"',
    ],
)
def test_plain_lists_are_read_by_column(text: str) -> None:
    assert [len(batch.plain.lines) for batch in batches(text, plain=True) if batch.plain] == [2]


def test_a_line_that_is_not_like_the_others_leaves_them_plain() -> None:
    lines = [
        '"a@a.test","A, A"',
        '"b@a.test","B ""b"""',
        "c@a.test,C",
        '"d@a.test","D',
        '","x"',
        '"e@a.test","E"',
    ]
    [batch] = batches("email,name\n" + "\n".join(lines), plain=True)
    assert batch.plain is not None
    assert (batch.plain.lines, batch.plain.columns["name"]) == ([2, 7], ["A, A", "E"])
    assert told("email,name\n" + "\n".join(lines), plain=True) == told(
        "email,name\n" + "\n".join(lines), plain=False
    )


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(['"', '","', '"\n"', '""', "a", "\n", ",", "\r\n", '"a"\n"b"', '"a","b"']),
        max_size=20,
    ),
    st.sampled_from([1, 2, 3]),
)
@example(['"a', "\n", 'b"'], 1)
@example(['""', "\n", '""'], 1)
@example(['"'], 1)
@example(['","', '""'], 2)
def test_rows_of_nearly_nothing_but_quotes_are_the_same(parts: list[str], width: int) -> None:
    text = ",".join(COLUMNS[:width]) + "\n" + "".join(parts)
    assert told(text, plain=True) == told(text, plain=False)


def test_a_line_that_is_not_plain_leaves_the_others_so() -> None:
    [batch] = batches('email,name\na@a.test,A\n"b@a.test","B\nb"\nc@a.test,C\nd@a.test\n', plain=True)
    assert batch.plain is not None
    assert (batch.plain.lines, batch.plain.columns["email"]) == ([2, 5], ["a@a.test", "c@a.test"])
    assert [line for line, _ in batch.rows] == [3, 6]


@given(st.lists(ADDRESSES.map(lambda cell: cell.replace("\n", "")), min_size=1))
def test_a_plain_address_is_canonical_as_it_stands(cells: list[str]) -> None:
    domains, odd = plain_domains(cells)
    for place, cell in enumerate(cells):
        if place not in odd:
            assert (str(mailbox := Mailbox.parse(cell)), mailbox.domain.decode()) == (cell, domains[place])


def test_most_addresses_are_plain() -> None:
    cells = ["ann@a.test", "o'neill+x@b-c.d.test", "x", "b@A.test", "z@a.test"]
    assert plain_domains(cells)[1] == [2, 3]


VALUES = st.text(
    st.sampled_from("ab\x1d\x1e\x1f\n'\\") | st.characters(exclude_categories=["Cs"]), max_size=5
)
PEOPLE = st.dictionaries(st.sampled_from(["x", "y"]), st.one_of(VALUES, st.just("long" * 40)))


@given(PEOPLE, PEOPLE)
@example({"x": "a\x1f", "y": "b"}, {"x": "a", "y": "\x1fb"})
@example({"x": ""}, {"y": ""})
def test_keys_are_equal_for_equal_values_only(one: dict[str, str], other: dict[str, str]) -> None:
    used = ("x", "y")
    assert (key_of(one, used) == key_of(other, used)) == (one == other)
    assert "\n" not in key_of(one, used)


@given(st.lists(st.tuples(st.text("abé", max_size=40), st.text("abé", max_size=40)), min_size=1))
def test_keys_of_columns_are_those_of_rows(rows: list[tuple[str, str]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    assert keys_of(columns) == [key_of({"x": x, "y": y}, ("x", "y")) for x, y in rows]


MESSAGES = [
    "Hello.\n",
    "Hello {{ name }}.\n",
    "{{ email }} {{ name }}\n",
    "{{ 3 // (name | length) }}\n",
    "{{ z }}\n",
]


@settings(max_examples=60, deadline=None)
@given(
    lines=LINES,
    text=st.sampled_from(MESSAGES),
    subject=st.sampled_from(["News", "For {{ x }}"]),
    budget=st.sampled_from([None, TINY]),
    more=st.fixed_dictionaries({}, optional={"where": st.just("name <> 'Ann'"), "limit": st.integers(1, 9)}),
)
def test_the_plan_is_the_same_by_column_and_row_by_row(
    lines: list[tuple[str, list[tuple[str, bool]], bool, str]],
    text: str,
    subject: str,
    budget: Budget | None,
    more: dict[str, object],
) -> None:
    plans = []
    for plain in (True, False):
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            if not plain:
                patch.setattr(csv_source, "can_be_plain", lambda separator: False)
            case = Case(Path(folder))
            case.write("people.csv", file_of(lines).encode())
            case.write("out.csv", "email\nann@a.test\n")
            plans.append(told_plan(case, composer(text, subject=subject), budget, more))
    assert plans[0] == plans[1]


def told_plan(case: Case, message: Composer, budget: Budget | None, more: dict[str, object]) -> object:
    try:
        plan = case.plan(
            message=message,
            on_missing="skip",
            budget=budget,
            exclude=["out.csv"],
            suppressed=["bob@a.test"],
            seeds=["cy@a.test"],
            **more,  # type: ignore[arg-type]
        )
    except ConfigError as error:
        return str(error)
    assert sums(plan.totals)
    left_out = sorted(plan.left_out, key=lambda row: (row.row, row.state))
    return plan.totals, plan.intervals, plan.fields, left_out
