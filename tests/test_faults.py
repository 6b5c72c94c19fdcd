"""tests/README.md: every row of the fault catalogue is in its table, with tests that exist and name it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CATALOGUE = {"D": 10, "T": 6, "G": 9, "S": 10, "X": 17, "I": 13, "J": 6, "P": 5, "H": 6}  # rows by letter
# What may have no test, for it is not built.
NOT_YET = {"H1", "H2", "H4", "H5", "H6", "S7", "S8", "S9"}
# What has tests that do not tell the whole of it, and says which part is missing.
IN_PART = {"G6", "H3", "J5", "J6"}

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
    assert [
        f"{file}::{name}"
        for file, name in NAMED.findall(TABLE[row])
        if not (TESTS / file).exists()
        or not name.startswith("test_")
        or not re.search(rf"\b{row}\b", functions(TESTS / file).get(name, ""))
    ] == []


@pytest.mark.parametrize("row", TABLE)
def test_a_row_is_tested_unless_it_is_not_built_yet(row: str) -> None:
    said = NAMED.sub("", TABLE[row]).replace("<br>", "")
    if row in NOT_YET:
        assert (re.match(r"\*not yet: .{20,}\*$", said) is not None, NAMED.findall(TABLE[row])) == (True, [])
    elif row in IN_PART:
        assert (re.match(r"\*not whole: .{20,}\*$", said) is not None, bool(NAMED.findall(TABLE[row]))) == (
            True,
            True,
        )
    else:
        assert (said, bool(NAMED.findall(TABLE[row]))) == ("", True)
