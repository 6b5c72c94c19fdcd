"""`where`: SQLite's expressions over text columns, and what is said when one cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkmail.campaign.listing import Batch, ListSpec
from bulkmail.campaign.where import Where
from bulkmail.errors import ConfigError

ROWS = [
    (2, {"email": "ann@a.test", "country": "ES", "age": "7"}),
    (3, {"email": "bob@b.test", "country": "XX", "age": "31"}),
    (5, {"email": "cid@c.test", "age": "100"}),
]
BATCH = Batch("people.csv", ROWS, [], ("email", "country", "age"), {"Land": "country"})


def passed(expression: str, batch: Batch = BATCH) -> list[int]:
    where = Where(ListSpec([Path("people.csv")]), expression)
    try:
        return [line for line, _ in where.split(batch)[0]]
    finally:
        where.close()


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        ("country <> 'XX'", [2]),  # a missing cell is NULL, and NULL does not pass
        ("country IS NOT 'XX'", [2, 5]),
        ("Land = 'XX'", [3]),  # the list's own name for it
        ("age > '5'", [2]),  # text
        ("age > 5", [2]),  # still text
        ("CAST(age AS INTEGER) > 30", [3, 5]),
        ("age = 7", [2]),
        ("email LIKE '%@B.TEST'", [3]),
        ("COUNTRY = 'ES' -- a comment", [2]),
        ("1", [2, 3, 5]),
        ("NULL", []),
        ("0", []),
    ],
)
def test_rows_pass_by_sqlites_rules(expression: str, lines: list[int]) -> None:
    assert passed(expression) == lines


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("contry = 'ES'", "no such column: contry"),
        ('country = "ES"', "no such column"),
        ("country =", "syntax error"),
        ("1); DROP TABLE row; SELECT (1", "a single expression"),
        ("1), (2", "a single expression"),
        ("country = ?", "a single expression"),
    ],
)
def test_an_expression_that_cannot_be_used_is_shown_with_the_reason(expression: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        passed(expression)
    text = str(raised.value)
    assert "recipients.where" in text
    assert complaint in text
    assert expression in text


def test_a_column_that_is_not_there_is_complained_of_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="The columns: email, country, age, Land"):
        passed("nothing = 1")


def test_an_expression_that_fails_for_a_row_says_which() -> None:
    rows = [(2, {"email": "a", "data": "{}"}), (7, {"email": "b", "data": "{"})]
    with pytest.raises(ConfigError, match=r"people\.csv:7: malformed JSON.*in where: json_extract"):
        passed("json_extract(data, '$.x') IS NULL", Batch("people.csv", rows, [], ("email", "data"), {}))
