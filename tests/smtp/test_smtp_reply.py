"""Replies and their reader: the same values however the bytes are cut, and bounds on what a peer can say."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_strategies import cuts, replies

from bulkmail.errors import RemoteProtocolError
from bulkmail.smtp import EnhancedStatus, Reply, ReplyReader
from bulkmail.smtp.reply import MAX_LINE, MAX_LINES, MAX_REPLY


def read(pieces: list[bytes]) -> tuple[list[Reply], str | None]:
    """What a reader makes of a stream in these pieces: its replies, and the violation that ended it."""
    reader, found = ReplyReader(), []
    try:
        for piece in [*pieces, b""]:
            found += reader.feed(piece)
    except RemoteProtocolError as violation:
        return found, str(violation)
    return found, None


@given(st.lists(replies, max_size=5).flatmap(lambda all_: st.tuples(st.just(all_), cuts(encode(all_)))))
def test_replies_parse_alike_under_every_split(drawn: tuple[list[Reply], list[bytes]]) -> None:
    sent, pieces = drawn
    assert read(pieces) == (sent, None)


_STRETCHES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"250 2.1.5 Ok\r\n",
                b"250 2.1.5 Ok\n",
                b"250 2.1.5 Okay\r\n",
                b"250-2.1.5 Ok\r\n",
                b"550 5.1.1 no\r\n",
                b"421 bye\r\n",
                b"oops\r\n",
            ]
        ),
        st.integers(1, 90),
    ),
    max_size=6,
).map(lambda stretches: b"".join(line * times for line, times in stretches))


@given(_STRETCHES, st.integers(1, 200))
def test_replies_that_come_again_and_again_are_each_counted(data: bytes, piece: int) -> None:
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    reader, (replies, failure), (again, fault) = ReplyReader(), read([data]), read(pieces)
    with suppress(RemoteProtocolError):
        reader.feed(data)
    smooth = all(reply.positive for reply in replies)
    assert (replies, failure is None, smooth) == (again, fault is None, reader.smooth)


def encode(sent: list[Reply]) -> bytes:
    return b"".join(reply.encode() for reply in sent)


_FRAGMENTS = st.sampled_from(
    [
        b"250 ok\r\n",
        b"250-a\r\n",
        b"250 b\r\n",
        b"251 b\r\n",
        b"2200\r\n",
        b"\xff",
        b"\r",
        b"\n",
        b"HTTP/1.1",
        b"2",
        b"550 5.1.1 no\n",
        b"600 x\r\n",
        b"x" * MAX_LINE,
        b"250 " + b"y" * (MAX_LINE - 6) + b"\r\n",
        b"4",
    ]
)


@given(
    st.lists(_FRAGMENTS, max_size=8).map(b"".join).flatmap(lambda data: st.tuples(st.just(data), cuts(data)))
)
def test_replies_before_a_violation_are_the_same_under_every_split(drawn: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = drawn
    found, violation = read(pieces)
    expected, expected_violation = read([whole])
    assert (found, violation is None) == (expected, expected_violation is None)


@given(replies)
def test_a_reply_decodes_to_what_was_encoded(reply: Reply) -> None:
    assert ReplyReader().feed(reply.encode()) == [reply]


@pytest.mark.parametrize(
    "data",
    [
        b"2200 mx.test\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"SSH-2.0-x\r\n",
        b"\r\n",
        b"25 x\r\n",
        b"250x\r\n",
        b"250\tx\r\n",
        b"\x00",
        b" 250 x\r\n",
    ],
)
def test_what_is_no_smtp_reply_is_a_protocol_error(data: bytes) -> None:
    """G3."""
    with pytest.raises(RemoteProtocolError, match="not an SMTP reply"):
        ReplyReader().feed(data)


@pytest.mark.parametrize("code", [b"000", b"100", b"199", b"600", b"999"])
def test_a_code_outside_2yz_to_5yz_is_a_protocol_error(code: bytes) -> None:
    """X15."""
    with pytest.raises(RemoteProtocolError):
        ReplyReader().feed(code + b" ok\r\n")


def test_a_multiline_reply_with_two_codes_is_a_protocol_error() -> None:
    """G5."""
    with pytest.raises(RemoteProtocolError, match="two codes: 250 and 550"):
        ReplyReader().feed(b"250-ok\r\n550 no\r\n")


def test_an_endless_line_is_a_protocol_error_before_it_ends() -> None:
    """G5."""
    reader = ReplyReader()
    for _ in range(MAX_LINE - 1):
        reader.feed(b"2")
    with pytest.raises(RemoteProtocolError, match="more than 2048 octets"):
        reader.feed(b"2")


def test_the_longest_line_is_read() -> None:
    line = b"250 " + b"x" * (MAX_LINE - 6) + b"\r\n"
    assert len(ReplyReader().feed(line)) == 1


def test_an_endless_reply_is_a_protocol_error() -> None:
    """G5."""
    with pytest.raises(RemoteProtocolError, match="an endless reply"):
        ReplyReader().feed(b"250-x\r\n" * (MAX_LINES + 1))


def test_a_reply_of_long_lines_is_bounded_in_octets() -> None:
    """G5."""
    line = b"250-" + b"x" * 2000 + b"\r\n"
    with pytest.raises(RemoteProtocolError, match="an endless reply"):
        ReplyReader().feed(line * (MAX_REPLY // len(line) + 1))


def test_a_last_line_that_was_a_reply_before_still_ends_its_own_reply() -> None:
    found = ReplyReader().feed(b"250 a\r\n250-x\r\n250 a\r\n250 a\r\n")
    assert [reply.lines for reply in found] == [(b"a",), (b"x", b"a"), (b"a",)]


def test_a_reader_says_whether_a_reply_is_unfinished() -> None:
    reader, seen = ReplyReader(), []
    for piece in (b"250-a\r\n", b"25", b"0 b\r", b"\n"):
        reader.feed(piece)
        seen.append(reader.partial)
    assert seen == [True, True, True, False]


def test_a_reply_that_comes_again_is_one_value_and_one_with_an_id_of_its_own_is_not_kept() -> None:
    """A thousand connections would keep dozens each."""
    reader, constant = ReplyReader(), set()
    for number in range(100):
        mail, rcpt, own = reader.feed(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 queued as %d\r\n" % number)
        constant |= {id(mail), id(rcpt)} if number > 1 else set()
        assert sys.getrefcount(own) == 2, "the name here, and the argument"
    assert len(constant) == 2


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        (b"550 5.1.1 unknown\r\n", EnhancedStatus(5, 1, 1)),
        (b"550 5.1.1\r\n", EnhancedStatus(5, 1, 1)),
        (b"452 4.5.3 too many\r\n", EnhancedStatus(4, 5, 3)),
        (b"550 2.1.1 contradicts\r\n", None),
        (b"250 5.1.1 contradicts\r\n", None),
        (b"550 5.1.1000 no such\r\n", None),
        (b"550 5.1.1x\r\n", None),
        (b"550 unknown\r\n", None),
        (b"550-5.7.1 first\r\n550 5.7.2 second\r\n", EnhancedStatus(5, 7, 1)),
    ],
)
def test_an_enhanced_code_counts_only_where_the_reply_code_agrees(
    line: bytes, enhanced: EnhancedStatus | None
) -> None:
    """G7."""
    assert ReplyReader().feed(line)[0].enhanced == enhanced


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"550 5.1.1 unknown\r\n", "550 5.1.1 unknown"),
        (b"550-5.1.1 no such user\r\n550 5.1.1 here\r\n", "550 5.1.1 no such user here"),
        (b"250\r\n", "250"),
        (b"250 \x1b[31mred\x07\x00\r\n", "250 \\x1b[31mred\\x07\\x00"),
        ("250 grüß\r\n".encode(), "250 gr\\xc3\\xbc\\xc3\\x9f"),
        (b"250 a\rb\r\n", "250 a\\x0db"),
    ],
)
def test_reply_text_is_one_line_that_no_terminal_obeys(wire: bytes, text: str) -> None:
    """G6."""
    assert ReplyReader().feed(wire)[0].text == text


def test_a_server_writes_the_enhanced_code_in_front_of_each_line() -> None:
    assert Reply.of(550, "no", "way", enhanced="5.7.1").encode() == b"550-5.7.1 no\r\n550 5.7.1 way\r\n"


@pytest.mark.parametrize("text", ["a\r\n250 b", "a\nb", "a\rb"])
def test_a_server_cannot_write_a_line_end_within_a_line(text: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        Reply.of(250, text)


@pytest.mark.parametrize("code", [0, 199, 600, 2200])
def test_a_reply_with_an_impossible_code_cannot_be_constructed(code: int) -> None:
    """X15."""
    with pytest.raises(ValueError, match="no SMTP reply"):
        Reply(code, None, (b"x",))


@pytest.mark.parametrize(
    ("code", "classes"),
    [(250, (1, 0, 0, 0)), (354, (0, 1, 0, 0)), (421, (0, 0, 1, 0)), (550, (0, 0, 0, 1)), (599, (0, 0, 0, 1))],
)
def test_a_reply_is_judged_by_its_first_digit(code: int, classes: tuple[int, ...]) -> None:
    reply = Reply.of(code)
    assert (reply.positive, reply.intermediate, reply.transient, reply.permanent) == tuple(map(bool, classes))


LINES = [
    b"250-a",
    b"250 a",
    b"250",
    b"251-a",
    b"250-4.1.1 a",
    b"550-5.1.1 a",
    b"550 5.1.1 a",
    b"250-a\rb",
    b"x",
]


@given(st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from([b"\r\n", b"\r\n", b"\n"])), max_size=6))
def test_a_reply_of_many_lines_is_the_same_at_once_and_line_by_line(lines):
    pieces = [line + end for line, end in lines]
    assert read([b"".join(pieces)]) == read(pieces)
