"""From a draft and a row to bytes: what arrives, what is refused, what is the same for everybody."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import pytest
from drafts import DATE, as_lines, body, composer, draft, markdown, read
from hypothesis import example, given
from hypothesis import strategies as st

from bulkmail.message import Composer, Letter, TemplateProblem, Unsubscribe
from bulkmail.message.template import Environments
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
    assert body(message) == f"Dear {name},\n{as_lines(words)}\n"
    assert len(list(message.iter_parts())) == 2


def test_a_message_has_the_fields_that_a_message_needs_and_each_of_them_once() -> None:
    message = read(
        composer(reply_to="hello@acme.example", headers={"X-Team": "growth"}).render("a@b.example", {})
    )
    assert sorted(message.keys()) == [
        "Content-Transfer-Encoding",
        "Content-Type",
        "Date",
        "Feedback-ID",
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


def test_lines_over_998_octets_are_encoded() -> None:
    """I4."""
    data = composer(text="x" * 5000 + "\n").render("a@b.example", {})
    assert max(map(len, data.split(b"\r\n"))) <= 76
    assert body(read(data)) == "x" * 5000 + "\n"


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
    assert c.letter("jörg@bücher.example", {"name": "Jörg"}).smtputf8
    assert not c.letter("jorg@bücher.example", {"name": "Jörg"}).smtputf8
    assert composer(from_="Jörg <jörg@acme.example>").letter("ann@b.example", {}).smtputf8
    answer = composer(reply_to="{{ rep }}").letter("ann@b.example", {"rep": "jörg@acme.example"})
    assert answer.smtputf8


def test_the_address_in_to_may_be_another_field_but_must_be_an_address() -> None:
    c = composer(to="{{ name }} <{{ other }}>")
    assert c.check({"name": "Ann", "other": "ann@work.example"}) is None
    assert "other" in c.fields
    assert c.check({"name": "Ann", "other": "ann@work.example, bob@work.example"}) is not None


def test_a_body_that_contains_the_boundary_cannot_end_its_part() -> None:
    c = composer(html="<p>x</p>", text="{{ words }}\n")
    boundary = read(c.render("a@b.example", {"words": "x"})).get_boundary()
    assert boundary is not None
    hostile = f"--{boundary}\nContent-Type: text/html\n\n<b>other</b>\n--{boundary}--"
    assert body(read(c.render("a@b.example", {"words": hostile}))) == hostile + "\n"


@given(CELL)
def test_joining_fields_gives_what_jinja_gives(value: str) -> None:
    source = "<a>{{ name }}</a> {{ name | default('<x>') }} {{ count }}{% raw %}{{ x }}{% endraw %}"
    environments = Environments("fail")
    for html in (False, True):
        joined = environments.compile(source, file="x", html=html)
        rendered = environments.compile(source + "{% if 0 %}{% endif %}", file="x", html=html)
        for count in ("7", 7, None):
            values = {"name": value, "count": count}
            assert joined.render(values) == rendered.render(values)


class Person(NamedTuple):
    id: int
    address: str
    fields: dict[str, str]


def test_a_batch_has_the_letters_that_each_would_have_alone_and_a_reason_for_who_has_none() -> None:
    c = composer(
        to="{{ name }} <{{ email }}>",
        text="{% if vip %}Dear {% endif %}{{ name }}\n",
        html="<p>{{ name }}</p>",
    )
    rows = [
        Person(1, "ann@a.example", {"name": "Ann", "vip": "1"}),
        Person(2, "no address", {"name": "Bob", "vip": ""}),
        Person(3, "cid@a.example", {"name": "Ci\nd", "vip": ""}),
        Person(4, "dora@a.example", {"name": "half \ud83d", "vip": ""}),
        Person(5, "eve@a.example", {"vip": ""}),
        Person(6, "zoë@a.example", {"name": "Zoë", "vip": ""}),
    ]
    letters = c.letters(rows)
    assert [type(letter).__name__ for letter in letters] == [
        *("Letter", "AddressError", "Unrenderable", "Unrenderable", "Unrenderable", "Letter")
    ]
    for row, letter in zip(rows, letters, strict=True):
        if isinstance(letter, Letter):
            assert letter == c.letter(row.address, row.fields, id=row.id)


@pytest.mark.parametrize(
    "text", ["你\n", "a=b=\n", "1 + 1 =", "x\n\n\n", "\n\nx\n", "", "\n", "{{ name }}", "你 {{ name }}\n"]
)
def test_a_message_of_one_part_keeps_its_last_character(text: str) -> None:
    message = read(composer(text=text).render("a@b.example", {"name": "你="}))
    assert body(message).rstrip("\n") == text.replace("{{ name }}", "你=").rstrip("\n")


def test_messages_to_different_people_have_different_message_ids() -> None:
    c = composer(to="{{ email | lower }}")
    assert c.unique == ("to holds the recipient's address",)
    ids = {
        read(c.letter(address, {}, id=number).content)["message-id"]
        for address, number in (("ann@a.example", 1), ("bob@a.example", 2), ("bob@a.example", 3))
    }
    assert len(ids) == 3


@pytest.mark.parametrize(("domain", "length"), [("acme.example", 12), ("mail.news.acme.example", 10)])
def test_the_sender_in_feedback_id_is_short_enough_for_those_who_read_it(domain: str, length: int) -> None:
    field = read(composer(from_=f"a@{domain}").render("a@b.example", {}))["feedback-id"]
    assert len(field.rpartition(":")[2]) == length


def test_a_list_unsubscribe_of_the_senders_own_stands_alone_or_is_refused() -> None:
    own = {"List-Unsubscribe": "<https://acme.example/leave>"}
    assert len(read(composer(headers=own).render("a@b.example", {})).get_all("list-unsubscribe")) == 1
    with pytest.raises(TemplateProblem, match=r"headers\.List-Unsubscribe"):
        composer(headers=own, unsubscribe=Unsubscribe(mailto="leave@acme.example"))
