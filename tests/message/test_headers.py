"""Header fields: what a reader gets back, and what no value can do."""

from __future__ import annotations

from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest
from drafts import composer, read
from hypothesis import example, given
from hypothesis import strategies as st

from bulkmail.message import Author, TemplateProblem
from bulkmail.message.header import address, encoded_words, refuse_name, unstructured
from bulkmail.smtp.address import Mailbox

# What may arrive in a cell of a list: anything but CR, LF and NUL, which are refused before (I1).
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=300)
NASTY = st.sampled_from(
    [
        'Müller, "Ann"',
        "=?utf-8?q?hello?=",
        "a\tb",
        "O'Neil <x@y.test>, z@y.test",
        "\\",
        "(comment)",
        "\u202eevil",
        "a" * 2000,
        "ä" * 700,
        "x " * 700,
        "😀" * 90,
        ";:@",
        ".",
        '"',
    ]
)


def plain(text: str) -> str:
    """Blanks as readers may show them: runs and outer ones are not kept by every header reader."""
    return " ".join(text.split())


def lines(field: bytes) -> list[bytes]:
    assert field.endswith(b"\r\n")
    return field[:-2].split(b"\r\n")


@given(VALUES | NASTY)
def test_a_subject_reads_back_as_it_was_written(value: str) -> None:
    value = value.strip()
    field = unstructured("Subject", value)
    assert plain(str(read(field + b"\r\n")["subject"])) == plain(value)


@given(VALUES | NASTY)
def test_a_subject_is_seven_bit_with_short_lines_that_all_continue_the_field(value: str) -> None:
    first, *rest = lines(unstructured("Subject", value.strip()))
    assert first.startswith(b"Subject: ")
    assert all(line.startswith(b" ") and line.strip() for line in rest)
    assert all(len(line) <= 998 and line.isascii() and b"\r" not in line for line in [first, *rest])


@given(VALUES | NASTY)
def test_a_display_name_reads_back_and_never_adds_an_address(value: str) -> None:
    field = address("To", value, b"ann@a.example")
    assert [a.addr_spec for a in read(field + b"\r\n")["to"].addresses] == ["ann@a.example"]
    # The name by the older parser: the newer one of Python 3.11 keeps the blanks between encoded words, which
    # RFC 2047 section 6.2 says are not there.
    name, wire = parseaddr(field.removeprefix(b"To: ").decode("ascii").replace("\r\n", ""))
    assert (plain(str(make_header(decode_header(name)))), wire) == (plain(value), "ann@a.example")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(20, 75))
@example("é" * 100, 28)
def test_encoded_words_never_exceed_75_octets_and_never_cut_a_character(text: str, first: int) -> None:
    for word in encoded_words(text, first):
        assert len(word) <= 75
        read(f"Subject: {word}\r\n\r\n".encode())


def test_ascii_with_a_long_word_is_folded_at_its_spaces_only() -> None:
    url = "https://u.acme.example/" + "x" * 300
    field = unstructured("List-Unsubscribe", f"<mailto:unsub@acme.example>, <{url}>")
    assert field == (b"List-Unsubscribe: <mailto:unsub@acme.example>,\r\n <" + url.encode() + b">\r\n")


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        ("Ann", b"To: Ann <a@b.example>\r\n"),
        ("", b"To: a@b.example\r\n"),
        ("Acme, Inc.", b'To: "Acme, Inc." <a@b.example>\r\n'),
        ('Ann "Q" \\', b'To: "Ann \\"Q\\" \\\\" <a@b.example>\r\n'),
        ("Jörg", b"To: =?utf-8?q?J=C3=B6rg?= <a@b.example>\r\n"),
        ("山田太郎", b"To: =?utf-8?b?5bGx55Sw5aSq6YOO?= <a@b.example>\r\n"),
    ],
)
def test_a_name_is_written_in_the_plainest_form_that_is_safe(display: str, expected: bytes) -> None:
    assert address("To", display, b"a@b.example") == expected


@pytest.mark.parametrize("name", ["X-Team", "List-Id", "precedence"])
def test_a_sender_may_add_fields(name: str) -> None:
    assert refuse_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "From",
        "to",
        "BCC",
        "Content-Type",
        "MIME-version",
        "Received",
        "X Team",
        "X:",
        "",
        "Ü",
        "X\r\nTo",
        "Resent-To",
    ],
)
def test_a_sender_cannot_override_the_structure(name: str) -> None:
    assert refuse_name(name)
    with pytest.raises(TemplateProblem):
        composer(headers={name: "x"})


@pytest.mark.parametrize(
    ("text", "name", "wire"),
    [
        ("Acme News <news@acme.example>", "Acme News", b"news@acme.example"),
        ("Acme, Inc. <news@acme.example>", "Acme, Inc.", b"news@acme.example"),
        ('"Acme \\"A\\" <x>" <news@acme.example>', 'Acme "A" <x>', b"news@acme.example"),
        ("news@acme.example", "", b"news@acme.example"),
        ("<news@bücher.example>", "", b"news@xn--bcher-kva.example"),
    ],
)
def test_an_author_is_a_name_and_one_mailbox(text: str, name: str, wire: bytes) -> None:
    author = Author.parse(text)
    assert (author.name, author.mailbox.wire) == (name, wire)


@pytest.mark.parametrize(
    "text",
    ["", "Ann", "Ann <>", "a@b.example, c@d.example", "a@x.example, B <b@x.example>", "A <a@x.example"],
)
def test_an_author_that_is_not_one_mailbox_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Author.parse(text)


def test_a_line_break_cannot_live_in_an_author() -> None:
    """I1."""
    with pytest.raises(ValueError):
        Author("Ann\r\nBcc: x@y.example", Mailbox.parse("a@b.example"))
