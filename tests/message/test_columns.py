"""What is made of everybody's values at once is what the careful functions make of each, octet for octet."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from dkim_keys import ED25519_SEED
from drafts import DATE, draft
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkmail.message import Composer, header, quoted
from bulkmail.message.batch import Batch
from bulkmail.message.dkim import relaxed_field
from bulkmail.message.draft import MailingList, Unsubscribe
from bulkmail.message.letter import Addressed, ByColumn, Person
from bulkmail.message.signing_key import SigningKey
from bulkmail.message.template import Environments
from bulkmail.message.token import Tokens, base32
from bulkmail.message.unsubscribe import Unsubscription
from bulkmail.message.uses import REMEMBERED
from bulkmail.message.values import canonical
from bulkmail.smtp.address import AddressError, Mailbox

TOKENS = Tokens("a secret of sixteen", "hello")
KEY = SigningKey.load(ED25519_SEED, domain="acme.example", selector="ed")
PLAIN = ["Ann", "Bob O'Neill", "de Vries", "Baker-Jones", "Zed 7"]
ODD = [
    *("", " ", "  ", "Zoë", "山田", "Dr. No", "a, b", 'q"q', "<b>", "a&b", "a=b", "=?utf-8?q?x?=", "?= =?"),
    *(
        ".",
        "..",
        ".x",
        "From ",
        "From here",
        "Fromage",
        " a",
        "a ",
        "a  b",
        "a\tb",
        "\t",
        "\x7f",
        "\u2028",
        "x;",
    ),
    *("x" * 59, "x" * 60, "x" * 61, "x" * 74, "x" * 75, "x" * 76, "x" * 77, "x " * 38, "ä" * 40, "x" * 1100),
]
VALUE = st.sampled_from(PLAIN) | st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]))
LINE = VALUE.filter(lambda text: header.FORBIDDEN.search(text) is None)
PLAIN_ADDRESSES = ["ann@a.example", "Bob.O'Neill@mail.b.example", "x+y@x--y.example"]
ADDRESSES = [
    *(
        "zoë@a.example",
        "ann@A.example",
        " ann@a.example",
        '"a b"@a.example',
        "u@[192.0.2.1]",
        "ann@bücher.example",
    ),
    *("l" * 64 + "@a.example", "ann@" + "d" * 63 + ".example", "a" * 50 + "@" + "b" * 50 + ".example"),
]
NO_ADDRESSES = [
    "",
    "ann",
    "a@b.example\nc@d.example",
    "a@b.example\n",
    "a@1.2.3.4",
    "a..b@c.example",
    "a@b_c.example",
    "l" * 65 + "@a.example",
    "a@" + "d" * 64 + ".example",
]


def column(value: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Mostly plain, or not."""
    return st.lists(st.sampled_from(PLAIN), min_size=1) | st.lists(value, min_size=1, max_size=8)


@given(column(LINE))
@example(["Ann", "x" * 69, "x" * 70, "x" * 71, "x" * 72])
def test_unstructured_fields(values: list[str]) -> None:
    assert header.unstructured_all("Subject", values) == [header.unstructured("Subject", v) for v in values]


@given(
    column(LINE), st.lists(st.sampled_from([*PLAIN_ADDRESSES, *ADDRESSES[:1], *ADDRESSES[-3:]]), min_size=8)
)
@example(["x" * 61, "x" * 60], ["a@b.cd", "a@b.cd"])
@example(["Ann", "=?utf-8?q?x?="], ["a@b.cd", "a@b.cd"])
@example(["Ann", "Ann  A"], ["a@b.cd", "a@b.cd"])
@example(["Ann", " Ann"], ["a@b.cd", "a@b.cd"])
@example(["Ann ", "Ann"], ["a@b.cd", "a@b.cd"])
@example(["Ann", ""], ["a@b.cd", "a@b.cd"])
@example(["x" * 40] * 3, [f"{'y' * length}@example" for length in (23, 24, 25)])
def test_fields_of_addresses(displays: list[str], addresses: list[str]) -> None:
    count = min(len(displays), len(addresses))
    displays, wires = displays[:count], [address.encode() for address in addresses[:count]]
    assert header.addresses("To", displays, wires) == list(
        map(header.address, ["To"] * count, displays, wires)
    )


@given(column(VALUE))
@example(["Ann", ""])
@example(["Ann", " Ann"])
@example(["Ann", "From Ann"])
@example(["Ann", "Fro"])
@example(["a\0b"])
def test_values_of_quoted_printable(values: list[str]) -> None:
    simple = quoted.column(values)
    plain = all(len(value) < quoted.LINE and quoted.SIMPLE.fullmatch(value) for value in values)
    assert (simple is not None) == plain
    if simple is not None:
        assert quoted.around(simple, b"", b"") == [quoted.within(value) for value in values]
        for end in (quoted.SOFT, b"\r\n"):
            assert quoted.around(simple, b"", end) == [quoted.piece(value, end) for value in values]
        assert quoted.around(simple, b"=", b"") == [b"=" + value.encode() for value in values]


@given(st.lists(st.sampled_from(PLAIN_ADDRESSES) | st.sampled_from(ADDRESSES), max_size=5))
def test_addresses(addresses: list[str]) -> None:
    assert canonical(addresses) == [str(Mailbox.parse(address)) for address in addresses]


@pytest.mark.parametrize("wrong", NO_ADDRESSES)
def test_what_is_no_address_among_those_that_are(wrong: str) -> None:
    with pytest.raises(AddressError):
        canonical([*PLAIN_ADDRESSES, wrong])


@given(st.lists(st.binary(min_size=10, max_size=10)), st.binary())
def test_base32(groups: list[bytes], data: bytes) -> None:
    for octets in (b"".join(groups), data):
        assert base32(octets) == b32encode(octets).decode().rstrip("=").lower()


@given(st.lists(st.integers(0, 2**40 - 1)))
def test_tokens(ids: list[int]) -> None:
    assert TOKENS.tokens(ids) == [TOKENS.token(number) for number in ids]


@pytest.mark.parametrize("wrong", [-1, 2**40])
def test_one_id_that_has_no_token(wrong: int) -> None:
    with pytest.raises(ValueError, match="no token"):
        TOKENS.tokens([1, wrong, 2])


@pytest.mark.parametrize(
    "url", ["", "https://u.example", "https://u.example/?t={{ token }}&t={{ token }}&x=1"]
)
@pytest.mark.parametrize("mailto", ["", "leave@acme.example"])
def test_ways_off_the_list(url: str, mailto: str) -> None:
    unsubscription, tokens = Unsubscription(Unsubscribe(url, mailto), "hello"), TOKENS.tokens([1, 2, 3])
    assert unsubscription.urls(tokens) == [unsubscription.url(token) for token in tokens]
    fields = [unsubscription.field(token) for token in tokens]
    assert unsubscription.fields(tokens) == fields
    assert unsubscription.fields(tokens, relaxed=True) == [*map(relaxed_field, fields)]


@given(
    column(VALUE),
    st.sampled_from(["{{ x }}", "100% {{ x | default('you') }} {{ s }} {{ x }}", "{{ x | upper }}"]),
)
def test_templates(values: list[str], source: str) -> None:
    template = Environments("fail").compile(source, file="x")
    rows: list[Mapping[str, object]] = [{"x": value, "s": "%s"} for value in values]
    batch = Batch([b""] * len(rows), [""] * len(rows), {"x": values}, {"s": "%s"}, lambda: rows)
    assert list(template.column(batch)) == [template.render(row) for row in rows]


# --- whole letters --------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "to": "{{ name | default('Friend') }} {{ last }} <{{ email }}>",
    "subject": "{{ name }}: {{ words }}",
    "headers": {"X-Name": "{{ last }}"},
    "text": "Dear {{ name }}\n{{ words }}, {{ words }}\n{{ unsubscribe_url }} {{ email }}\n",
    "html": "<p title='{{ name }}'>{{ name }}</p>{{ words }}\n<a href='{{ unsubscribe_url }}'>x</a>{{token}}",
    "unsubscribe": Unsubscribe("https://u.example/", "leave@acme.example"),
    "list_": MailingList("l.acme.example", "Main St 1"),
}
DRAFTS: dict[str, dict[str, Any]] = {
    "everything": EVERYTHING,
    "a reverse-path for each": EVERYTHING | {"reverse_path": "b+{{ token }}@acme.example"},
    "a missing field is empty": EVERYTHING | {"on_missing": "empty"},
    "filters": EVERYTHING | {"subject": "{{ name | upper }}", "text": "{{ words | title }} {{ name }}\n"},
    "control flow": EVERYTHING | {"text": "{% if name %}Dear {{ name }}{% endif %}\n"},
    "one text": {"to": "{{ name }} <{{ email }}>", "text": "Dear {{ name }} {{ last }}\n{{ words }}"},
    "a text in base64": {
        "to": "{{ email }}",
        "text": "你你你你你你 {{ words }}",
        "html": "<p>{{ name }}</p>",
    },
    "nothing but the header": {"to": "{{ name }} <{{ email }}>", "reply_to": "{{ last }} <{{ reply }}>"},
}
COMPOSERS: dict[tuple[str, bool], Composer] = {}


def compiled(name: str, *, signed: bool) -> Composer:
    if (name, signed) not in COMPOSERS:
        keys = (KEY,) if signed else ()
        COMPOSERS[name, signed] = Composer(draft(**DRAFTS[name]), date=DATE, tokens=TOKENS, keys=keys)
    return COMPOSERS[name, signed]


FIELDS = st.fixed_dictionaries(
    {"name": VALUE, "last": VALUE, "words": VALUE},
    optional={"reply": st.sampled_from([*PLAIN_ADDRESSES, *ADDRESSES, *NO_ADDRESSES])},
)
ORDINARY = st.fixed_dictionaries(
    dict.fromkeys(("name", "last", "words"), st.sampled_from(PLAIN)) | {"reply": st.just("r@a.example")}
)
INCOMPLETE = st.dictionaries(st.sampled_from(["name", "last", "words"]), st.sampled_from([*PLAIN, *ODD]))
ADDRESS = st.sampled_from(PLAIN_ADDRESSES)
PEOPLE = st.lists(st.builds(Person, ADDRESS, ORDINARY, st.integers(1, 2**40 - 1)), max_size=6)
ODD_PEOPLE = st.lists(
    st.builds(
        Person,
        ADDRESS | st.sampled_from([*ADDRESSES, *NO_ADDRESSES]),
        FIELDS | INCOMPLETE,
        st.integers(1, 2**40 - 1),
    ),
    max_size=3,
)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", DRAFTS)
@settings(max_examples=12)
@given(PEOPLE, ODD_PEOPLE)
def test_a_letter_is_the_same_whoever_is_written_to_beside(
    name: str, signed: bool, people: list[Person], odd: list[Person]
) -> None:
    c, everybody = compiled(name, signed=signed), [*people, *odd, *people]
    together = [told(each) for each in c.letters(everybody)]
    assert together == [told(each) for person in everybody for each in c.letters([person])]
    careful = Composer(draft(**DRAFTS[name]), date=DATE, tokens=TOKENS, keys=c.keys)
    with one_by_one(careful):
        assert together == [told(each) for each in careful.letters(everybody)]


def told(letter: object) -> object:
    return (type(letter), str(letter)) if isinstance(letter, Exception) else letter


@contextmanager
def one_by_one(composer: Composer) -> Iterator[None]:
    """`composer` without columns, and each value by itself."""
    batch = composer._values.batch

    def without_columns(people: Sequence[Addressed], _: ByColumn | None = None) -> Batch:
        made = batch(people)
        return Batch(made.wires, made.tokens, {}, {}, lambda: made.rows)

    def each(careful: Callable[..., bytes]) -> Callable[..., list[bytes]]:
        return lambda name, *columns: [careful(name, *values) for values in zip(*columns, strict=True)]

    with (
        patch.object(composer._values, "batch", without_columns),
        patch.object(header, "addresses", each(header.address)),
        patch.object(header, "unstructured_all", each(header.unstructured)),
        patch.object(quoted, "column", lambda _: None),
    ):
        yield


def test_what_is_remembered_of_values_is_replaced_and_never_wrong() -> None:
    c = compiled("everything", signed=False)
    for first in range(0, 3 * REMEMBERED, 100):
        names = [f"name{number}" for number in range(first, first + 100)] + ["Ann", "x" * 100]
        people = [Person("a@b.example", {"name": n, "last": "L", "words": n}, 7) for n in names]
        for person, letter in zip(people, c.letters(people), strict=True):
            assert not isinstance(letter, Exception)
            assert letter == c.letter(*person[:2], id=7)


def test_nobody_has_no_letter() -> None:
    assert compiled("everything", signed=True).letters([]) == []
