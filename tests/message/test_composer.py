"""From a draft and a row to bytes: what arrives, what is refused, what is the same for everybody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
from drafts import DATE, as_lines, body, composer, draft, markdown, read
from hypothesis import example, given
from hypothesis import strategies as st

from bulkmail.message import Composer, Content, Source, TemplateProblem, Unrenderable, read_content
from bulkmail.smtp.content import is_canonical

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80)


@given(CELL, TEXT)
@example("Ann", "one\n.\r\n.\rtwo\n..\n" + "x" * 1200)
@example("=?utf-8?q?x?=", "--=_" + "0" * 24 + "\n")
@example(", <z@evil.example>", "From here\n \t\n=20=\n")
def test_whatever_the_values_are_the_message_reads_back_and_is_fit_for_the_wire(
    name: str, words: str
) -> None:
    c = composer(
        to="{{ name }} <{{ email }}>",
        subject="{{ name }}: news",
        text="Dear {{ name }},\n{{ words }}\n",
        html="<p>Dear {{ name }},</p>\n<pre>{{ words }}</pre>\n",
    )
    row = {"name": name, "words": words}
    assert c.check(row) is None
    data = c.render("ann@a.example", row)
    assert is_canonical(data)
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998
    message = read(data)
    assert [a.addr_spec for a in message["to"].addresses] == ["ann@a.example"]
    assert body(message) == as_lines(f"Dear {name},\n{words}\n")
    assert len(list(message.iter_parts())) == 2


def test_a_message_has_the_fields_that_a_message_needs_and_each_of_them_once() -> None:
    message = read(
        composer(reply_to="hello@acme.example", headers={"X-Team": "growth"}).render("a@b.example", {})
    )
    assert sorted(message.keys()) == [
        "Content-Transfer-Encoding",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Precedence",
        "Reply-To",
        "Subject",
        "To",
        "X-Team",
    ]
    assert parsedate_to_datetime(message["date"]) == DATE
    assert message["message-id"].endswith("@acme.example>")


def test_a_transactional_message_says_that_nobody_wrote_it() -> None:
    message = read(composer(kind="transactional").render("a@b.example", {}))
    assert (message["auto-submitted"], message["precedence"]) == ("auto-generated", None)


def test_a_senders_own_precedence_replaces_ours() -> None:
    message = read(composer(headers={"precedence": "list"}).render("a@b.example", {}))
    assert message.get_all("precedence") == ["list"]


def test_the_same_row_gives_the_same_bytes_from_another_composer() -> None:
    changes = {"to": "{{ name }} <{{ email }}>", "html": "<p>{{ name }}</p>"}
    one, other = composer(**changes), composer(**changes)
    assert one.render("a@b.example", {"name": "Ann"}) == other.render("a@b.example", {"name": "Ann"})


def test_two_recipients_never_share_a_message_id_and_two_campaigns_neither() -> None:
    ids = [
        read(c.render(address, {}))["message-id"]
        for c in (composer(), composer(campaign="again"), composer(text="Other\n"))
        for address in ("a@b.example", "c@b.example")
    ]
    assert len(set(ids)) == 6


def test_a_constant_message_is_the_same_for_everybody() -> None:
    """I9."""
    c = composer(to="Readers <news@acme.example>", text="{{ campaign }}, {{ issue }}", data={"issue": 48})
    assert (c.personal, c.fields) == (False, frozenset())
    assert c.render("a@b.example", {}) == c.render("c@d.example", {"name": "Ann"})


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, {"email"}),
        ({"to": "news@acme.example"}, set()),
        ({"to": "news@acme.example", "text": "{{ email }}"}, {"email"}),
        ({"to": "news@acme.example", "headers": {"X-Id": "{{ id }}"}}, {"id"}),
        (
            {"to": "{{ first_name }} <{{ email }}>", "subject": "{{ city | default('x') }}"},
            {"email", "first_name", "city"},
        ),
        (
            {
                "to": "news@acme.example",
                "text": "{% for i in items %}{{ i }}{{ x }}{% endfor %}",
                "data": {"items": []},
            },
            {"x"},
        ),
        (
            {"to": "news@acme.example", "text": "{% set n = name %}{% if vip %}{{ n }}{% endif %}"},
            {"vip", "name"},
        ),
        ({"to": "news@acme.example", "text": "{% for i in range(3) %}{{ loop.index }}{% endfor %}"}, set()),
        ({"reply_to": "{{ rep }} <{{ rep_email }}>"}, {"email", "rep", "rep_email"}),
    ],
)
def test_the_fields_are_those_that_a_template_really_reads(
    changes: dict[str, object], fields: set[str]
) -> None:
    c = composer(**changes)
    assert (c.fields, c.personal) == (fields, bool(fields))


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
    assert data.endswith(b"\r\n\r\n1 Main St\r\nSpringfield\r\n.\r\nx\r\ny\r\n")


def test_lines_over_998_octets_are_encoded() -> None:
    """I4."""
    data = composer(text="x" * 5000 + "\n").render("a@b.example", {})
    assert max(map(len, data.split(b"\r\n"))) <= 76
    assert body(read(data)) == "x" * 5000 + "\n"


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


def test_the_digest_changes_with_anything_that_changes_the_message_but_not_with_the_date() -> None:
    base = composer()
    others = [
        composer(subject="Other"),
        composer(text="Other\n"),
        composer(data={"x": 1}),
        composer(headers={"X-A": "1"}),
        composer(from_="Other <news@acme.example>"),
        markdown("Good morning\n"),
    ]
    assert len({base.digest, *(c.digest for c in others)}) == 7
    assert Composer(draft(), date=DATE + timedelta(days=1)).digest == base.digest


def test_international_addresses_are_utf_8_only_where_the_address_itself_needs_it() -> None:
    """I6."""
    c = composer(to="{{ name }} <{{ email }}>")
    idn = c.render("ann@bücher.example", {"name": "Jörg"})
    assert idn.isascii()
    assert read(idn)["to"].addresses[0].addr_spec == "ann@xn--bcher-kva.example"
    eai = c.render("jörg@bücher.example", {"name": "Jörg"})
    to = next(line for line in eai.split(b"\r\n") if line.startswith(b"To:"))
    assert to == "To: =?utf-8?q?J=C3=B6rg?= <jörg@xn--bcher-kva.example>".encode()
    assert not c.smtputf8
    assert composer(from_="Jörg <jörg@acme.example>").smtputf8


def test_the_address_in_to_may_be_another_field_but_must_be_an_address() -> None:
    c = composer(to="{{ name }} <{{ other }}>")
    assert c.check({"name": "Ann", "other": "ann@work.example"}) is None
    assert "other" in c.fields
    assert c.check({"name": "Ann", "other": "ann@work.example, bob@work.example"}) is not None


def test_content_files_become_parts_by_their_kind(tmp_path) -> None:
    sources = {"a.txt": "Text\n", "a.md": "*Words*\n", "a.html": "<p>Words</p>\n", "b.txt": "Given\n"}
    for name, text in sources.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")

    def parts(name: str, text: str = "auto") -> dict[str, str]:
        c = Composer(replace(draft(), content=read_content(tmp_path / name, text)), date=DATE)
        message = read(c.render("a@b.example", {}))
        return {
            p.get_content_type(): as_lines(p.get_content()) for p in message.walk() if not p.is_multipart()
        }

    assert parts("a.txt") == {"text/plain": "Text\n"}
    assert parts("a.html") == {"text/plain": "Words\n", "text/html": "<p>Words</p>\n"}
    assert parts("a.html", "none") == {"text/html": "<p>Words</p>\n"}
    assert parts("a.html", "b.txt") == {"text/plain": "Given\n", "text/html": "<p>Words</p>\n"}
    assert parts("a.md")["text/plain"] == "*Words*\n"
    assert "<p><em>Words</em></p>" in parts("a.md")["text/html"]


def test_content_that_cannot_be_read_is_told_with_its_line(tmp_path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(b"one\ntwo \xff\n")
    with pytest.raises(Exception, match=r"a\.html:2: content\.template: not UTF-8"):
        read_content(path)


def test_a_body_that_contains_the_boundary_cannot_end_its_part() -> None:
    c = composer(html="<p>x</p>", text="{{ words }}\n")
    boundary = read(c.render("a@b.example", {"words": "x"})).get_boundary()
    assert boundary is not None
    hostile = f"--{boundary}\nContent-Type: text/html\n\n<b>other</b>\n--{boundary}--"
    assert body(read(c.render("a@b.example", {"words": hostile}))) == hostile + "\n"


def test_html_without_text_is_one_part() -> None:
    c = composer(text=None, content=Content(html=Source("<p>x</p>\n", "x.html"), text_from_html=False))
    assert read(c.render("a@b.example", {})).get_content_type() == "text/html"
