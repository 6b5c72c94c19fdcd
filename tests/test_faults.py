"""tests/README.md: every row of the fault catalogue is in its table, and the tests that it names exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CATALOGUE = {"D": 10, "T": 6, "G": 9, "S": 10, "X": 17, "I": 13, "J": 6, "P": 5, "H": 6}  # rows by letter
# What must not be left for later.
DUE = [
    f"{letter}{number}"
    for letter, numbers in {
        "D": range(1, 11),
        "T": range(1, 5),
        "G": (1, 2, 3, 4, 5, 8, 9),
        "S": (1, 2, 3, 4, 6),
        "X": (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 15),
        "I": (1, 2, 3, 5, 6, 7, 10, 11, 12, 13),
        "J": (1, 4),
        "P": (1, 2, 5),
    }.items()
    for number in numbers
]

TABLE = dict(
    re.findall(r"^\| ([A-Z]\d+) \| (.*) \|$", (TESTS / "README.md").read_text("utf-8"), re.MULTILINE)
)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


@cache
def functions(file: Path) -> dict[str, str]:
    """The tests of a file, each with its docstring."""
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_row_of_the_catalogue_is_in_the_table() -> None:
    assert list(TABLE) == [f"{letter}{n}" for letter, count in CATALOGUE.items() for n in range(1, count + 1)]


@pytest.mark.parametrize("row", TABLE)
def test_a_row_names_tests_that_exist_and_say_so(row: str) -> None:
    named = NAMED.findall(TABLE[row])
    wrong = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).exists() or not re.search(rf"\b{row}\b", functions(TESTS / file).get(name, ""))
    ]
    assert (wrong, bool(named) or "not yet: " in TABLE[row]) == ([], True)


@pytest.mark.parametrize("row", DUE)
def test_a_row_that_is_due_is_tested_wholly(row: str) -> None:
    assert (bool(NAMED.search(TABLE[row])), "not " in NAMED.sub("", TABLE[row])) == (True, False)
