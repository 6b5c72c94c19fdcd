"""Values in lines that were laid out before they were known: as if everything had been encoded at once."""

from __future__ import annotations

from binascii import a2b_qp

import pytest
from dkim.canonicalization import Relaxed
from drafts import as_lines
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import escape

from bulkmail.message import quoted
from bulkmail.message.mime import TextPart
from bulkmail.message.shape import Shape

BROKEN = 2  # lines more than one pass over the finished text would take, for each slot, at most
WORDS = [*" \t\n.=FaéX&", "From ", "Fr", "om ", "  ", " \n", "x" * 40, "x" * 75, "é" * 30, "<b>"]
TEXT = st.lists(st.sampled_from(WORDS) | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)
BETWEEN = TEXT | st.sampled_from(["", " ", ".", "\n", " \n", "F"])
VALUE = TEXT | st.sampled_from(["", " ", "From", "Ann", "x" * 20, "x" * 71, "x" * 200])
PLAIN = "What is said in plain words is not put in base64.\n" * 80
TAIL = "\n."  # a body loses the empty lines at its end (RFC 6376 section 3.4.4)


def body(segments: list[str | int], values: list[str], *, html: bool, width: int | None = None) -> bytes:
    """In a part of its own, behind something plain."""
    part = TextPart("html" if html else "plain", (f"{PLAIN}{segments[0]}", *segments[1:]))
    unique = {} if width is None else dict.fromkeys(range(len(values)), width)
    (pieces,) = Shape(part, b"=_", unique).bodies(1, [[value] for value in values]).pieces
    octets = b"".join(pieces[1:])
    plain = PLAIN.replace("\n", "\r\n").encode()
    assert octets.startswith(plain)
    return octets.removeprefix(plain)


@given(
    st.lists(st.tuples(BETWEEN, VALUE), min_size=1, max_size=6), st.booleans(), st.none() | st.integers(1, 99)
)
@example([("Fr", "om "), ("", "x")], False, None)
@example([("", ""), (" ", ""), (" ", "")], False, None)
@example([("a ", ""), ("", ""), (" ", "b")], False, None)
@example([("x" * 74, "y"), ("x" * 74, "é")], False, 1)
@example([("x" * 55, "y" * 21), ("é", "y" * 75)], False, 20)
def test_it_reads_as_what_was_said_and_takes_hardly_more_lines(
    said: list[tuple[str, str]], html: bool, width: int | None
) -> None:
    """I2, I3, I4."""
    segments: list[str | int] = []
    for number, (text, _) in enumerate(said):
        segments += [text, number]
    octets = body([*segments, TAIL], [value for _, value in said], html=html, width=width)
    parts = [part for text, value in said for part in (text, str(escape(value)) if html else value)]
    whole = "".join(map(as_lines, [*parts, TAIL]))
    assert a2b_qp(octets) == whole.replace("\n", "\r\n").encode() + b"\r\n"
    lines = octets.split(b"\r\n")
    assert max(map(len, lines)) <= quoted.LINE
    assert not any(line.startswith((b".", b"From ")) for line in lines)
    assert Relaxed.canonicalize_body(octets) == octets
    at_once = quoted.piece(whole, b"\r\n")
    assert octets.count(b"\n") <= at_once.count(b"\n") + BROKEN * len(said)


def test_values_that_fit_break_no_line() -> None:
    octets = body(
        ["Dear ", 0, " ", 1, ",\nyou live in ", 2, "."], ["Zoë", "Baker-Jones", "Springfield"], html=False
    )
    assert octets == b"Dear Zo=C3=AB Baker-Jones,\r\nyou live in Springfield=2E\r\n"


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        ("y" * 26, b"x" * 50 + b"y" * 26 + b"\r\n"),
        ("y" * 27, b"x" * 50 + b"=\r\n" + b"y" * 27 + b"\r\n"),
        ("y" * 76, b"x" * 50 + b"=\r\n" + b"y" * 76 + b"\r\n"),
        ("y" * 77, b"x" * 50 + b"=\r\n" + b"y" * 75 + b"=\r\nyy\r\n"),
        ("a\nb", b"x" * 50 + b"=\r\na\r\nb\r\n"),
    ],
)
def test_a_line_is_broken_only_where_a_value_makes_it_too_long(value: str, octets: bytes) -> None:
    assert body(["x" * 50, 0, "\n"], [value], html=False) == octets


def test_what_follows_a_value_stays_on_its_line_if_it_can() -> None:
    for size, soft in ((20, 0), (25, 1), (76 - len("</p>"), 1), (75, 2)):
        octets = body(["<p>" + "x" * 48, 0, "</p>\n"], ["y" * size], html=True)
        assert octets.count(quoted.SOFT) == soft, size
