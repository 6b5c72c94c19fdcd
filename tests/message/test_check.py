"""What is found before the first connection: rows that have no message, drafts that have none for anybody."""

from __future__ import annotations

import pytest
from drafts import body, composer, read

from bulkmail.message import TemplateProblem, Unrenderable


@pytest.mark.parametrize("value", ["Ann\nBcc: x@y.example", "Ann\r", "An\0n"])
@pytest.mark.parametrize(
    "changes",
    [
        {"to": "{{ name }} <{{ email }}>"},
        {"subject": "{{ name }}, hello"},
        {"subject": "{% if name %}Hi {{ name }}!{% endif %}"},
        {"headers": {"X-Name": "{{ name }}x"}},
        {"reply_to": "{{ name }} <x@y.example>"},
    ],
)
def test_a_line_break_in_a_value_that_a_header_uses_leaves_the_row_out(
    value: str, changes: dict[str, object]
) -> None:
    """I1."""
    c = composer(**changes)
    row = {"name": value + "."}
    reason = c.check(row)
    assert reason is not None
    assert not reason.missing
    with pytest.raises(Unrenderable):
        c.render("a@b.example", row)


def test_terminal_escapes_in_a_header_value_become_blanks() -> None:
    c = composer(subject="Hi {{ name }}!")
    assert read(c.render("a@b.example", {"name": "\x1b[2JAnn\x85\u2028"}))["subject"] == "Hi  [2JAnn  !"


def test_a_line_break_in_a_value_that_only_the_body_uses_is_legal() -> None:
    """I1, I2."""
    c = composer(text="{{ address }}\n")
    assert c.check({"address": "1 Main St\nSpringfield\r\n.\r\n"}) is None
    data = c.render("a@b.example", {"address": "1 Main St\nSpringfield\r\n.\r\nx\ry"})
    assert data.endswith(b"\r\n\r\n1 Main St\r\nSpringfield\r\n=2E\r\nx\r\ny\r\n")


@pytest.mark.parametrize(
    "text", ["Hi {{ name }}", "{% if 1 %}{{ name }}{% endif %}", "{{ name | upper }}", "{{ name.x }}"]
)
def test_a_missing_field_is_found_before_anything_is_sent(text: str) -> None:
    """I8."""
    reason = composer(text=text).check({"other": "x"})
    assert reason is not None
    assert reason.missing
    assert "name" in reason


def test_an_expression_that_fails_for_one_row_is_that_rows_reason_with_the_line() -> None:
    """I8."""
    c = composer(text="Hello\n\n{{ 10 // (n | int) }}\n", text_file="hello.txt")
    assert c.check({"n": "5"}) is None
    reason = c.check({"n": "zero"})
    assert reason is not None
    assert reason.missing
    assert reason.startswith("hello.txt:3: ")


def test_missing_fields_may_be_empty() -> None:
    """I8."""
    c = composer(text="Dear {{ name }}, {% if vip %}VIP{% endif %}.\n", on_missing="empty")
    assert c.check({}) is None
    assert body(read(c.render("a@b.example", {}))) == "Dear , .\n"


def test_a_default_stands_in_for_a_missing_field_and_for_an_empty_cell() -> None:
    c = composer(subject="{{ first_name | default('Hello') }}, your week")
    for row in ({}, {"first_name": ""}):
        assert c.check(row) is None
        assert read(c.render("a@b.example", row))["subject"] == "Hello, your week"


def test_text_that_is_not_unicode_leaves_the_row_out() -> None:
    reason = composer(text="{{ name }}").check({"name": "\ud800"})
    assert reason is not None
    assert not reason.missing


def test_every_problem_of_a_draft_is_told_at_once_with_its_place() -> None:
    with pytest.raises(TemplateProblem) as caught:
        composer(
            from_="nobody",
            to="a@b.example, c@d.example",
            subject="{{ x",
            headers={"Bcc": "x@y.example", "X-A": "1", "x-a": "2"},
            text="one\n{% if %}\n",
            text_file="hello.txt",
            data={"email": "x"},
        )
    assert [(p.file, p.line, p.where) for p in caught.value.problems] == [
        ("campaign.yaml", 0, "from"),
        ("campaign.yaml", 0, "to"),
        ("campaign.yaml", 1, "subject"),
        ("campaign.yaml", 0, "headers.Bcc"),
        ("campaign.yaml", 0, "headers.x-a"),
        ("hello.txt", 2, ""),
        ("campaign.yaml", 0, "content.data"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "one\ntwo"},
        {"subject": "{{ title }}", "data": {"title": "one\ntwo"}},
        {"text": "{% include 'x' %}"},
        {"text": None},
        {"to": "news@acme.example", "text": "{{ 1 // 0 }}"},
        {"to": "news@acme.example", "subject": "{{ issue.title }}", "data": {"issue": {"title": "one\ntwo"}}},
        {"to": "news@acme.example", "text": "{{ range }}"},
        {"to": "news@acme.example", "text": "{{ ''.__class__.__mro__ }}"},
    ],
)
def test_a_draft_that_fails_for_everybody_is_refused_at_once(changes: dict[str, object]) -> None:
    with pytest.raises(TemplateProblem):
        composer(**changes)


def test_a_column_that_a_value_for_all_would_hide_is_told() -> None:
    c = composer(text="{{ city }} {{ date }}\n", data={"city": "Madrid"})
    for column in ("city", "date"):
        reason = c.check({column: "Paris"})
        assert reason is not None
        assert reason.startswith(f"'{column}' is bulkmail's own, or in content.data, and a column")
    assert c.check({"town": "Paris"}) is None


def test_half_a_character_in_the_data_is_told_at_once() -> None:
    with pytest.raises(TemplateProblem, match=r"content\.data: not valid Unicode"):
        composer(text="hi {{ s }}\n", data={"s": ["x", {"y": "\ud83d"}]})
