"""A letter stays in its pieces, and those that are the same for all are the same objects."""

from __future__ import annotations

from binascii import a2b_qp
from collections.abc import Mapping

import pytest
from drafts import DATE, draft
from hypothesis import example, given
from hypothesis import strategies as st
from key_pairs import pems, signing_keys

from bulkmail.message import Composer, quoted
from bulkmail.message.letter import Letter, Person
from bulkmail.message.mime import TextPart
from bulkmail.message.shape import Shape

LONG = "The same words for everybody, and many of them.\n" * 200
MANY = 50
KINDS: Mapping[str, Mapping[str, str]] = {
    "one part that a value ends": {"text": f"{LONG}Yours, {{{{ name }}}}"},
    "two parts": {
        "text": f"Dear {{{{ name }}}},\n{LONG}",
        "html": f"<p>Dear {{{{ name }}}},</p><p>{LONG}</p>",
    },
    "a condition": {"text": f"{{% if name %}}Dear {{{{ name }}}},\n{{% endif %}}{LONG}"},
    "only the header": {"text": LONG, "subject": "For {{ name }}"},
}


def letters(kind: str, *, signed: bool = False) -> list[Letter]:
    keys = signing_keys("acme.test", pems()) if signed else ()
    people = [Person(f"p{n}@a.test", {"name": f"Ann {n}"}, n) for n in range(MANY)]
    written = Composer(draft(**KINDS[kind]), date=DATE, keys=keys).letters(people)
    return [letter for letter in written if isinstance(letter, Letter)]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_many_letters_hold_what_is_the_same_for_all_once(kind: str, signed: bool) -> None:
    held = letters(kind, signed=signed)
    objects = {id(piece): len(piece) for letter in held for piece in letter.pieces}
    whole = len(held[0].content)
    assert len(held) == len({letter.content for letter in held}) == MANY
    assert sum(objects.values()) < whole + MANY * (whole // 4)


@given(
    st.lists(st.sampled_from(["", "a", "ab", "one two", "x\n", "\n\n", " ", ".", "=", "y" * 80]), min_size=1)
)
@example([""])
@example(["\n", " "])
def test_a_body_that_values_end_is_closed_as_its_octets_are(values: list[str]) -> None:
    slots = list(range(len(values)))
    segments = [part for slot in slots for part in ("", slot)]
    shape = Shape(TextPart("plain", (*segments, "")), b"=_")
    (body,) = shape.bodies(1, [[value] for value in values]).pieces
    octets = b"".join(body[1:])
    assert octets == quoted.closed(octets)
    assert a2b_qp(octets).replace(b"\r\n", b"\n").rstrip(b"\n") == "".join(values).encode().rstrip(b"\n")
