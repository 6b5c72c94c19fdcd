"""Quoted-printable in pieces: each stands anywhere, together they say what was meant, in canonical form."""

from __future__ import annotations

import binascii

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.message.quoted import LINE, SOFT, closed, piece

ODD = st.sampled_from([*" \t\n\r.=FaéX\0\x7f", "From ", "  ", " \n", "\r\n", "x" * 80, "é" * 40])
TEXT = st.lists(ODD | st.characters(exclude_categories=["Cs"]), max_size=60).map("".join)


def as_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decoded(octets: bytes) -> str:
    return binascii.a2b_qp(octets).replace(b"\r\n", b"\n").decode()


@given(st.lists(TEXT, max_size=5))
def test_pieces_in_a_row_decode_to_their_texts_in_a_row(texts: list[str]) -> None:
    assert decoded(b"".join(map(piece, texts))) == "".join(map(as_lines, texts))


@given(st.lists(TEXT, max_size=5))
def test_a_closed_body_is_canonical_and_nobody_will_want_to_change_it(texts: list[str]) -> None:
    """I2, I3, I4."""
    octets = closed(b"".join(map(piece, texts)))
    assert Relaxed.canonicalize_body(octets) == octets
    lines = octets.split(b"\r\n")
    assert all(len(line) <= LINE and line.isascii() for line in lines)
    assert not any(line.startswith((b".", b"From ")) for line in lines)
    assert decoded(octets).rstrip("\n") == "".join(map(as_lines, texts)).rstrip("\n")


@given(TEXT)
def test_a_piece_whose_line_ends_is_the_piece_and_the_end_of_its_line(text: str) -> None:
    assert decoded(piece(text, b"\r\n")) == as_lines(text) + "\n"


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("", b""),
        ("Ann", b"Ann=\r\n"),
        ("a b", b"a b=\r\n"),
        (".", b"=2E=\r\n"),
        ("From me", b"=46rom me=\r\n"),
        ("Dear ", b"Dear =\r\n"),
        ("a  b", b"a =20b=\r\n"),
        ("a \nb", b"a=20\r\nb=\r\n"),
        ("1=1\t", b"1=3D1=09=\r\n"),
        ("é", b"=C3=A9=\r\n"),
    ],
)
def test_a_piece_begins_and_ends_its_own_lines(text: str, octets: bytes) -> None:
    assert piece(text) == octets
    assert octets.endswith(SOFT) or not octets
