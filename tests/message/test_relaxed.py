"""Fields in the form that is signed (RFC 6376 section 3.4.2): the RFC's example, and dkimpy's opinion."""

from __future__ import annotations

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.message.dkim import relaxed_field


@pytest.mark.parametrize(
    ("field", "canonical"),
    [
        (b"A: X\r\n", b"a:X\r\n"),  # these two: RFC 6376 section 3.4.5
        (b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
        (b"Subject: nothing to do\r\n", b"subject:nothing to do\r\n"),
        (b"SUBJECT \t :no space\r\n", b"subject:no space\r\n"),
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"Subject:   \r\n \t \r\n", b"subject:\r\n"),
        (b"Subject:\r\n folded at once\r\n", b"subject:folded at once\r\n"),
        (b"Subject: a  b   c    d\te\r\n", b"subject:a b c d e\r\n"),
        (b"Subject: A: B : C\r\n", b"subject:A: B : C\r\n"),
        (b"Subject: a" + b" " * 10_000 + b"b\r\n", b"subject:a b\r\n"),
        (b"Subject: " + b" \r\n" * 300 + b" x\r\n", b"subject:x\r\n"),
        ("Subject: Größe\u00a0日本\r\n".encode(), "subject:Größe\u00a0日本\r\n".encode()),
        (b"Subject: \v\f kept \0\f\r\n", b"subject:\v\f kept \0\f\r\n"),  # WSP is space and tab only
    ],
)
def test_a_field_has_one_form(field: bytes, canonical: bytes) -> None:
    assert relaxed_field(field) == canonical


# dkimpy strips VT and FF from the ends too, and reads a bare LF as the end of a line: neither is sent
words = st.binary(min_size=1, max_size=8).map(lambda octets: octets.translate(None, b"\r\n\v\f"))
spaces = st.sampled_from([b" ", b"\t", b"  ", b" \t ", b"\r\n ", b"\r\n\t", b" \r\n  ", b"\r\n \r\n\t"])
names = st.text("ABCXYZabcxyz-0189!#~", min_size=1, max_size=12).map(str.encode)
values = st.lists(words | spaces, max_size=12).map(b"".join)
fields = st.builds(lambda name, value: (name, value + b"\r\n"), names, values)


@given(fields)
def test_dkimpy_finds_the_same_form(field: tuple[bytes, bytes]) -> None:
    name, value = field
    ((theirs, canonical),) = Relaxed.canonicalize_headers([(name, value)])
    assert relaxed_field(name + b":" + value) == theirs + b":" + canonical


@given(fields)
def test_a_field_in_that_form_stays_as_it_is(field: tuple[bytes, bytes]) -> None:
    canonical = relaxed_field(b":".join(field))
    assert relaxed_field(canonical) == canonical


@given(fields, st.lists(spaces, min_size=12, max_size=12))
def test_servers_that_fold_elsewhere_change_nothing(
    field: tuple[bytes, bytes], elsewhere: list[bytes]
) -> None:
    """RFC 6376 section 3.4.2: what relaxed is for. Each space becomes any other white space."""
    canonical = relaxed_field(b":".join(field))
    name, _, value = canonical[:-2].partition(b":")
    first, *rest = value.split(b" ")
    pieces = [elsewhere[0], first]
    for number, word in enumerate(rest):
        pieces += [elsewhere[number % len(elsewhere)], word]
    assert relaxed_field(name.upper() + b":" + b"".join(pieces) + b"\r\n") == canonical
