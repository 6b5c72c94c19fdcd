"""Who may share a transaction: exactly those whose octets and reverse-path are the same.

Real plans of real messages: whatever the template reads, in the header, the bodies or the name of a file,
recipients lie in one shared interval only if what each would get alone, from a composer that never saw the
others, is equal. And those for whom it is equal do lie in one: sharing is not safe by not being done.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from listcase import Case, Plan, sums

from bulkmail.message import Composer, Draft
from bulkmail.message.draft import Attachment, MailingList, Unsubscribe
from bulkmail.message.token import Tokens

DATE = datetime(2026, 11, 24, tzinfo=UTC)
CONSTANT = "Readers <all@acme.example>"
PIECES = [
    "Hello.",
    "{{ name }}",
    "{{ city | default('Rome') }}",
    "{{ name }}{{ city }}",
    "{{ name | upper }}",
    "{{ count | default('1') | int % 2 }}",
    "{% if vip %}{{ city }}{% else %}{{ name }}{% endif %}",
    "{% for letter in name %}[{{ letter }}]{% endfor %}",
    "{% set who = name %}{{ who }}",
    "{% for item in items %}{{ item }}{% if city %}, {{ city }}{% endif %}{% endfor %}",
    "{{ campaign }}, {{ list.postal_address }}, {{ date.year }}",
]
OF_THE_ADDRESS = ["{{ email }}", "{{ email.split('@')[1] }}", "{% if email %}x{% endif %}"]
TOKENS: dict[str, dict[str, Any]] = {
    "a link to unsubscribe": {"unsubscribe": Unsubscribe("https://u.acme.example/")},
    "a link with the token inside": {"unsubscribe": Unsubscribe("https://u.acme.example/{{ token }}/now")},
    "VERP": {"reverse_path": "bounces+{{ token }}@acme.example"},
    "the token in the text": {"text": "{{ token }}\n"},
    "the link in the HTML": {
        "html": '<a href="{{ unsubscribe_url }}">Leave</a>',
        "unsubscribe": Unsubscribe("https://u.acme.example/"),
    },
    "the address in To": {"to": "{{ email }}"},
    "the address and a name in To": {"to": "{{ name }} <{{ email }}>"},
    "the address in the text": {"text": "For {{ email }}.\n"},
}


def draft(**changes: Any) -> Draft:
    settings: dict[str, Any] = {
        "from_": "Acme <news@acme.example>",
        "to": CONSTANT,
        "reply_to": None,
        "subject": "News",
        "headers": {},
        "text": "Hello.\n",
        "html": None,
        "campaign": "sharing",
        "data": {"items": ["one", "two"]},
        "on_missing": "empty",
        "list_": MailingList("weekly.acme.example", "1 Main St"),
    }
    return Draft(**(settings | changes))


def composer(draft: Draft) -> Composer:
    return Composer(draft, date=DATE, tokens=Tokens("a secret of sixteen", "sharing"))


TEMPLATE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(" ".join)
HTML = st.one_of(st.none(), TEMPLATE.map("<p>{}</p>".format), st.just('<p class="{{ city }}">{{ name }}</p>'))
DRAFTS = st.builds(
    draft,
    to=st.sampled_from([CONSTANT, CONSTANT, "{{ name }} <all@acme.example>"]),
    reply_to=st.sampled_from([None, "{{ city }} <answers@acme.example>"]),
    subject=TEMPLATE,
    headers=st.sampled_from([{}, {"X-City": "{{ city }}"}]),
    text=TEMPLATE,
    html=st.one_of(
        st.none(), TEMPLATE.map("<p>{}</p>".format), st.just('<p class="{{ city }}">{{ name }}</p>')
    ),
    preheader=st.sampled_from(["", "{{ name }}"]),
    attachments=st.sampled_from([(), (Attachment("{{ city }}.txt", b"x\n"),)]),
    reverse_path=st.sampled_from(["", "bounces@acme.example"]),
    on_missing=st.sampled_from(["empty", "skip"]),
)
NAMES = st.sampled_from(["A", "a", "B", "", "A ", "AB"])
CELLS = {
    "city": st.sampled_from(["Rome", "Oslo", "", "B"]),
    "vip": st.sampled_from(["", "yes"]),
    "count": st.sampled_from(["1", "2", "3"]),
}
ROW = st.fixed_dictionaries({"domain": st.sampled_from(["x.test", "y.test"]), "name": NAMES}, optional=CELLS)
ROWS = st.lists(ROW, min_size=2, max_size=24)


def row(name: str, city: str, domain: str = "x.test") -> Mapping[str, str]:
    return {"domain": domain, "name": name, "city": city}


def planned(message: Composer, rows: list[Mapping[str, str]], on_missing: str) -> Plan:
    """The plan of a list of these rows, everybody with an address of their own."""
    people = [{"email": f"p{n}@{row['domain']}", **row} for n, row in enumerate(rows)]
    with TemporaryDirectory() as folder:
        case = Case(Path(folder))
        case.write("people.jsonl", "".join(json.dumps(person) + "\n" for person in people))
        return case.plan("people.jsonl", message=message, on_missing=on_missing)


def alone(draft: Draft, plan: Plan) -> Callable[[str], tuple[object, bytes]]:
    """What a recipient would get if there were nobody else: a composer of their own makes it."""
    ids = {address: number for number, address in enumerate(plan.addresses, 1)}

    def letter(address: str) -> tuple[object, bytes]:
        letter = composer(draft).letter(address, plan.fields[address], id=ids[address])
        return letter.reverse_path, letter.content

    return letter


@settings(max_examples=25)
@given(draft=DRAFTS, rows=ROWS)
@example(draft=draft(text="{{ name }}{{ city }}"), rows=[row("AB", ""), row("A", "B"), row("A", "B")])
def test_recipients_share_an_interval_only_if_each_alone_would_get_the_same_octets(
    draft: Draft, rows: list[Mapping[str, str]]
) -> None:
    """I9."""
    message = composer(draft)
    plan = planned(message, rows, draft.on_missing)
    assert sums(plan.totals)
    assert message.unique == ()
    letter = alone(draft, plan)
    for _, shared, _, people in plan.intervals:
        if shared:
            assert len({letter(address) for address in people}) == 1


@settings(max_examples=25)
@given(draft=DRAFTS, rows=ROWS)
def test_recipients_with_the_same_values_for_what_is_read_lie_side_by_side(
    draft: Draft, rows: list[Mapping[str, str]]
) -> None:
    message = composer(draft)
    plan = planned(message, rows, draft.on_missing)
    alike: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for address, fields in plan.fields.items():
        values = [fields.get(name) for name in sorted(message.fields)]
        alike[(fields["domain"], *values)].add(address)
    found = [frozenset(people) for _, shared, _, people in plan.intervals if shared]
    assert {frozenset(people) for people in alike.values() if len(people) > 1} <= set(found)


@settings(max_examples=15)
@given(rows=ROWS)
def test_equal_octets_for_one_domain_are_one_interval(rows: list[Mapping[str, str]]) -> None:
    """Where nothing of a value is lost in the message, so that equal octets mean equal values."""
    text, html = "{{ name }}|{{ city }}|{{ vip }}\n", "<pre>{{ count }}|</pre>"
    personal = draft(text=text, html=html, reverse_path="bounces@acme.example")
    rows = [{"city": "", "vip": "", "count": "", **row} for row in rows]
    plan = planned(composer(personal), rows, "fail")
    letter = alone(personal, plan)
    alike: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for address in plan.addresses:
        alike[(address.partition("@")[2], *letter(address))].add(address)
    shared = {frozenset(people) for _, shared, _, people in plan.intervals if shared}
    assert shared == {frozenset(people) for people in alike.values() if len(people) > 1}


@pytest.mark.parametrize("changes", TOKENS.values(), ids=TOKENS.keys())
@settings(max_examples=4)
@given(rows=ROWS)
def test_with_a_token_or_the_address_nobody_shares(
    changes: dict[str, Any], rows: list[Mapping[str, str]]
) -> None:
    """I9."""
    unique = draft(**changes)
    message = composer(unique)
    plan = planned(message, rows, "empty")
    letter = alone(unique, plan)
    letters = [letter(address) for address in plan.addresses]
    assert message.unique
    assert len(set(letters)) == len(rows)
    assert not any(shared for _, shared, _, people in plan.intervals if len(people) > 1)


@pytest.mark.parametrize("source", OF_THE_ADDRESS)
def test_whatever_a_template_does_with_the_address_nobody_shares(source: str) -> None:
    """I9: what an expression makes of it is not looked into."""
    plan = planned(composer(draft(subject=source)), [row("A", "B"), row("A", "B")], "fail")
    assert [(shared, len(people)) for _, shared, _, people in plan.intervals] == [(False, 2)]


def test_what_is_the_same_for_everybody_is_shared_by_all_of_a_domain() -> None:
    rows = [row(name, "Rome", domain) for name in ("A", "B", "C") for domain in ("x.test", "y.test")]
    same = draft(text="Hello {{ campaign }}, {{ date.year }}: {{ items | join(', ') }}", subject="News")
    message = composer(same)
    plan = planned(message, rows, "fail")
    assert (message.unique, message.fields) == ((), frozenset())
    assert [(domain, shared, len(people)) for domain, shared, _, people in plan.intervals] == [
        ("x.test", True, 3),
        ("y.test", True, 3),
    ]
