"""YAML with marks: text stays text, every problem has its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.yaml_data import load_data
from bulkmail.campaign.yaml_marks import Node, merge, read_yaml
from bulkmail.errors import ConfigError, Problem


def read(text: str, environ: Mapping[str, str] | None = None) -> tuple[Node | None, list[str]]:
    problems: list[Problem] = []
    tree = read_yaml(text, file="c.yaml", folder=Path("/there"), environ=environ or {}, problems=problems)
    return tree, [str(problem) for problem in problems]


def values(text: str, environ: Mapping[str, str] | None = None) -> Any:
    tree, problems = read(text, environ)
    assert tree is not None
    assert problems == []
    return tree.plain()


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "12:30", "007", "9.90", "1e5", "0x1f", "2026-11-24", "true", "1_000"]
)
def test_a_value_stays_the_text_it_was(text: str) -> None:
    assert values(f"key: {text}") == {"key": text}


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_nothing_behind_a_key_is_nothing(text: str) -> None:
    assert values(f"key: {text}\nother: 'null'") == {"key": None, "other": "null"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "c.yaml:3:1: a: written twice, first on line 1"),
        ("s: {x: 1, x: 2}", "c.yaml:1:11: s.x: written twice, first on line 1"),
        ("a: &x [*x]", "c.yaml:1:4: a[0]: nested too deeply, or in itself"),
        ("a: !!python/object:os.system x", "c.yaml:1:4: a: tags are not used here: remove !!python/"),
        ("a: !env x", "c.yaml:1:4: a: tags are not used here: remove !env"),
        ("b: &b {x: 1}\na:\n  <<: *b", "c.yaml:3:3: a: merge keys are not used here"),
        ("a: {{ name }}", "c.yaml:1:5: a: a key must be text (a value that begins with {{ needs"),
        ("a: 1\n---\nb: 2", "c.yaml:2:1: not YAML: one document is wanted: remove what follows ---"),
        ("from: @acme", "c.yaml:1:7: not YAML: found character that cannot start any"),
        ("a: x\nb: \x01", "c.yaml:2:4: a control character is not allowed"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_with_its_place(text: str, problem: str) -> None:
    assert [told[: len(problem)] for told in read(text)[1]] == [problem]


def test_aliases_cannot_grow_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    _, problems = read("\n".join(lines))
    assert any("nested too deeply" in problem for problem in problems)


def test_variables_are_resolved_in_values_and_a_double_dollar_is_one() -> None:
    environ = {"NAME": "Ann: 'x' # y", "EMPTY": ""}
    text = "a: ${NAME}\nb: '${NONE:-no one}'\nc: $$5 and $6\nd: ${EMPTY:-full}${EMPTY}\n${NAME}: e"
    assert values(text, environ) == {
        "a": "Ann: 'x' # y",
        "b": "no one",
        "c": "$5 and $6",
        "d": "full",
        "${NAME}": "e",
    }


def test_an_unset_variable_is_a_problem_at_its_value() -> None:
    problem = "c.yaml:2:6: a.b: the environment variable NONE is not set (write ${NONE:-…} for a default)"
    assert read("a:\n  b: ${NONE}")[1] == [problem]


def test_a_resolved_variable_is_never_read_as_yaml() -> None:
    assert values("a: ${X}", {"X": "{b: [1, 2]}\nc: ${Y}"}) == {"a": "{b: [1, 2]}\nc: ${Y}"}


def test_mappings_merge_and_all_else_replaces() -> None:
    over, _ = read("a: {x: 1, l: [1]}\nb: text\nsecret: {file: p}")
    under, _ = read("a: {y: 2, l: [2, 3]}\nb: {c: 1}\nd: 4\nsecret: {env: P}")
    assert over is not None
    assert under is not None
    assert merge(over, under).plain() == {
        "a": {"x": "1", "y": "2", "l": ["1"]},
        "b": "text",
        "d": "4",
        "secret": {"file": "p"},
    }


# "$" has a meaning of its own, and the escaped surrogates of JSON are none in YAML
TEXT = st.text(
    st.characters(exclude_characters="$", exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=8
)
JSON = st.recursive(
    TEXT | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_json_is_read_as_it_is(value: dict[str, Any]) -> None:
    assert values(json.dumps(value)) == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_complained_of(text: str) -> None:
    tree, problems = read(text)
    assert tree is not None or problems


def test_data_keeps_types_and_prints_as_written(tmp_path: Path) -> None:
    file = tmp_path / "issue.yaml"
    file.write_text(
        "price: 9.90\nitems: [{n: 3, sale: false}]\nwhen: 12:30\ncode: 007\ncountry: no\nnothing:\n"
    )
    data = load_data(file)
    shown = {name: str(value) for name, value in data.items()}
    assert (data["items"], data["nothing"]) == ([{"n": 3, "sale": False}], None)
    assert data["price"] * 2 == 19.8  # type: ignore[operator]
    assert (shown["price"], shown["when"], shown["code"], shown["country"]) == ("9.90", "12:30", "007", "no")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"- a\n- b", ":1:1: a mapping (name: value) is wanted at the top"),
        (b"a: \xff", ": not UTF-8: the byte at offset 3 fits no character"),
        (b"a: [", ":2:1: not YAML: while parsing a flow node: did not find expected node content"),
        (None, ": no such file"),
    ],
)
def test_data_that_cannot_be_used_is_said_with_its_place(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    file = tmp_path / "issue.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load_data(file)
    assert str(refused.value) == f"{file}{problem}"
