"""Content: canonical form and dot-stuffing are laws, so they are tested as laws."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from smtp_strategies import contents, mixtures

from bulkmail.smtp import EndOfData, canonical, is_canonical, stuff, unstuff


@given(mixtures)
def test_canonical_content_has_no_bare_line_end_and_the_same_lines(data: bytes) -> None:
    """I2."""
    lines = re.split(rb"\r\n|\r|\n", data)
    if lines[-1] == b"" and len(lines) > 1:
        lines.pop()
    assert canonical(data) == b"".join(line + b"\r\n" for line in lines)


@given(mixtures)
def test_canonical_form_is_reached_once(data: bytes) -> None:
    """I2."""
    once = canonical(data)
    assert is_canonical(once)
    assert canonical(once) is once


@given(mixtures)
def test_what_is_called_canonical_is(data: bytes) -> None:
    expected = re.search(rb"\r(?!\n)|(?<!\r)\n", data) is None and (not data or data.endswith(b"\r\n"))
    assert is_canonical(data) is expected


@given(contents)
def test_unstuffing_gives_back_what_was_stuffed(content: bytes) -> None:
    assert unstuff(stuff(content)) == content


@given(contents)
def test_stuffed_content_has_one_lone_dot_at_its_end(content: bytes) -> None:
    """I2: not even for a server that takes a bare CR or LF for a line end."""
    lines = re.split(rb"\r\n|\r|\n", stuff(content))
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]


@pytest.mark.parametrize(
    ("data", "stuffed"),
    [
        (b"", b"\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
        (b"a\r\r\n.b", b"a\r\n\r\n..b\r\n.\r\n"),
        (b"a.\n", b"a.\r\n.\r\n"),
    ],
)
def test_a_dot_at_a_line_start_is_stuffed_and_a_missing_line_end_is_added(
    data: bytes, stuffed: bytes
) -> None:
    """I3."""
    assert stuff(canonical(data)) == stuffed


def test_nothing_stuffed_is_a_lone_dot() -> None:
    """X2: what a 354 is owed after every recipient was refused."""
    assert EndOfData(stuff(b"")).encode() == b".\r\n"


def test_content_without_its_last_line_end_is_not_stuffed() -> None:
    with pytest.raises(ValueError, match="does not end in CRLF"):
        stuff(b"a")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a\r\n",
        b"a",
        b".",
        b".\n",
        b".\r\n.\r\n",
        b"a\r\n.\r\nRSET\r\n.\r\n",
        b"a\n.\nRSET\r\n.\r\n",
        b"a\r.\rRSET\r\n.\r\n",
        b"a\n.\r\nRSET\r\n.\r\n",
        b"a\r\n.\nRSET\r\n.\r\n",
        b"a\r\n.\rRSET\r\n.\r\n",
        b".\nRSET\r\n.\r\n",
        b"a\n.\r\n",
        b"a\r\n.\r\n.",
    ],
)
def test_no_end_of_data_can_be_constructed_with_a_lone_dot_inside(data: bytes) -> None:
    """I2: CVE-2023-51764."""
    with pytest.raises(ValueError, match=r"lone dot|not dot-stuffed"):
        EndOfData(data)


@given(contents)
def test_every_stuffed_content_is_an_end_of_data(content: bytes) -> None:
    assert EndOfData(stuff(content)).encode() == stuff(content)
