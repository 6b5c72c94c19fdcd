"""Rows that mean harm: nothing on the wire is a command or a header that was not meant.

A few blocks of what `python -m tests.injection` does a million times, the same octets cut at every place, and
the judges themselves: each catches what it is there for.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd_judge import Aiosmtpd
from hostile_rows import MARKS, Row, rows
from injection_block import run_block
from injection_road import Addressed, Line, composer, deliver, letters
from letter_judge import judge
from wire_judge import Forged, Host

from bulkmail.journal import Recipient
from bulkmail.message import header
from bulkmail.smtp import Bdat, Mailbox, Message, Reply, ServerProtocol, grammar
from bulkmail.smtp import command as smtp

SEED = 2026
SHAPES = 4  # blocks until each shape has had its turn, as CSV and as JSON
TEXT = 3  # the block of a plain letter, in which name and city stand in the header


@pytest.fixture(scope="module")
def aiosmtpd() -> Iterator[Aiosmtpd]:
    made = Aiosmtpd()
    yield made
    made.close()


@pytest.mark.parametrize("number", range(2 * SHAPES))
def test_nothing_on_the_wire_was_not_meant(number: int, aiosmtpd: Aiosmtpd) -> None:
    """I1, I2, I3, I6, I9."""
    found = run_block(SEED, number + number // SHAPES, 400, aiosmtpd=aiosmtpd)
    assert found.letters > 200
    assert found.refused == 0


# --- every boundary -----------------------------------------------------------------------------------

WORDS = ("\r\n.\r\nMAIL FROM:<eve@evil.test>\r\n..", "\n.\nRSET\n\r.\r")
CELLS = {"name": 'A" <x>,', "city": "=?utf-8?q?=0d=0a?="}
PEOPLE = [
    Recipient(number, address, json.dumps(CELLS | {"email": address, "words": words}), {})
    for number, (address, words) in enumerate(zip(("ann@a.test", '"b> x"@a.test'), WORDS, strict=True), 1)
]


def said(way: str) -> bytes:
    """The octets of a session with these letters."""
    host, octets = Host(), bytearray()

    def hear(data: bytes) -> bytes:
        octets.extend(data)
        return host.take(data)

    deliver(letters(composer("text"), PEOPLE), Line(hear, random.Random(1), host.greet()), way)
    return bytes(octets)


@pytest.mark.parametrize("way", ["plain", "riding", "whole"])
def test_wherever_the_octets_are_cut_a_strict_host_and_our_server_take_the_same(way: str) -> None:
    """I2, I3."""
    octets = said(way)
    expected = ours([octets])
    assert [content for _, content in expected] == [
        one.letter.content for one in letters(composer("text"), PEOPLE)
    ]
    for at in range(len(octets) + 1):
        pieces = [octets[:at], octets[at:]]
        assert ours(pieces) == expected, at
        host = Host()
        for piece in pieces:
            host.take(piece)
        host.end()
        assert [
            ([path.decode() for path in one.forward_paths], one.content) for one in host.taken
        ] == expected, at


def ours(pieces: list[bytes]) -> list[tuple[list[str], bytes]]:
    """What our own server half has after these octets."""
    protocol = ServerProtocol(extensions=["PIPELINING", "CHUNKING", "SIZE", "SMTPUTF8"])
    protocol.greet(Reply.of(220, "mx"))
    taken: list[tuple[list[str], bytes]] = []
    recipients: list[str] = []
    for piece in pieces:
        protocol.receive_data(piece)
        while (event := protocol.next_event()) is not None:
            reply = Reply.of(250, "mx", "PIPELINING", "CHUNKING", "SIZE", "SMTPUTF8")
            match event:
                case smtp.Mail():
                    recipients = []
                case smtp.Rcpt(path):
                    recipients.append(str(path))
                case smtp.Data():
                    reply = Reply.of(354, "go")
                case Message(octets):
                    taken.append((recipients, octets))
                case smtp.Ehlo() | smtp.Rset() | smtp.Quit():
                    pass
                case _:
                    raise AssertionError(event)
            protocol.reply(reply)
    return taken


def test_wherever_the_octets_are_cut_aiosmtpd_takes_the_same(aiosmtpd: Aiosmtpd) -> None:
    octets = said("plain")
    expected = [one.letter.content for one in letters(composer("text"), PEOPLE)]
    for at in range(len(octets) + 1):
        taken, _ = aiosmtpd.octets([octets[:at], octets[at:]], turns=2)
        assert [one.content for one in taken] == expected, at


def test_wherever_content_is_cut_into_two_chunks_it_is_the_same() -> None:
    """RFC 3030: also in the middle of CRLF, and with nothing in the first or the last of them."""
    content = letters(composer("text"), PEOPLE)[0].letter.content
    path = Mailbox.parse("ann@a.test")
    head = b"EHLO c.test\r\n" + smtp.Mail(None).encode() + smtp.Rcpt(path).encode()
    for at in range(len(content) + 1):
        octets = head + Bdat(content[:at], last=False).encode() + Bdat(content[at:], last=True).encode()
        host = Host()
        host.take(octets)
        host.end()
        assert [one.content for one in host.taken] == [content], at


# --- the judges see what they are there for -----------------------------------------------------------


def forged(way: str = "plain", part: list[Addressed] | None = None) -> None:
    host = Host()
    deliver(part or letters(composer("text"), PEOPLE), Line(host.take, random.Random(1), host.greet()), way)
    host.end()


def test_a_dot_that_is_not_stuffed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "stuff", lambda data: data + b".\r\n")
    (one, *_) = letters(composer("text"), PEOPLE)
    letter = type(one.letter)(one.letter.reverse_path, (b".\r\nx\r\n.y\r\n",))
    with pytest.raises(Forged):
        forged("plain", [Addressed(one.people, letter)])


def test_a_lone_dot_at_the_end_of_data_is_unstuffed() -> None:
    """The other way round: what begins with dots arrives with them."""
    (one, *_) = letters(composer("text"), PEOPLE)
    letter = type(one.letter)(one.letter.reverse_path, (b".\r\n..\r\n.x\r\n\r\n.\r\n",))
    host = Host()
    deliver([Addressed(one.people, letter)], Line(host.take, random.Random(1), host.greet()), "plain")
    assert [taken.content for taken in host.taken] == [letter.content]


def test_content_that_is_not_canonical_is_seen() -> None:
    (one, *_) = letters(composer("text"), PEOPLE)
    for wrong in (
        b"a\n.\nb\r\n",
        b"a\rb\r\n",
        b"a\r\n.\rb\r\n",
        b"a\0\r\n",
        b"a",
        b"\xff\r\n",
        b"x" * 999 + b"\r\n",
    ):
        letter = type(one.letter)(one.letter.reverse_path, (wrong,))
        for way in ("plain", "whole") if wrong != b"a" else ("whole",):
            with pytest.raises(Forged):
                forged(way, [Addressed(one.people, letter)])


@pytest.mark.parametrize("line", [b"MAIL FROM:<a@b.test> AUTH=<>", b"RCPT TO:<a@b.test>\r\nRCPT TO:<>",
b"mail from:<a@b.test>", b"RCPT TO:<a b@c.test>", b"DATA"])  # fmt: skip
def test_what_is_no_command_of_a_sender_is_seen(line: bytes) -> None:
    with pytest.raises(Forged):
        Host().take(b"EHLO a.test\r\n" + line + b"\r\n")


def hostile(**changes: str) -> Row:
    """A row that may be mailed, changed behind the back of its letter."""
    row = next(row for row in rows(1, 0, 100) if row.meant is not None and row.meant[0].isalnum())
    return row._replace(**{"name": "Ann", "city": "Rome", "words": row.mark} | changes)


def content_of(row: Row) -> bytes:
    fields = {"email": row.email, "name": row.name, "city": row.city, "words": row.words}
    return composer("text").render("@".join(row.meant or ()), fields)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda octets, row: octets.replace(b"\r\nSubject:", b"\r\nBcc: eve@evil.test\r\nSubject:"),
        "fields"),
        (lambda octets, row: octets.replace(b"X-City: Rome", b"X-City: Rom"), "X-City"),
        (lambda octets, row: octets.replace(b"Subject: Ann", b"Subject: Bob"), "subject"),
        (lambda octets, row: re.sub(rb"<[^<>]*>(?=\r\nSubject)", b"<eve@evil.test>", octets), "To"),
        (lambda octets, row: octets.replace(b"OPENS", b"OPEN"), "substring not found"),
        (lambda octets, row: re.sub(row.mark.encode() + rb"(?=(=\r\n)?CLOSES)", b"", octets), "body"),
        (lambda octets, row: octets + MARKS.pattern.replace("[0-9a-f]{8}", "00000000").encode() + b"\r\n",
        "words"),
    ],
)  # fmt: skip
def test_a_letter_that_was_tampered_with_is_seen(change: Any, told: str) -> None:
    row = hostile()
    octets = content_of(row)
    judge(octets, row, "text", slowly=True)
    tampered = change(octets, row)
    assert tampered != octets
    with pytest.raises((AssertionError, ValueError), match=told):
        judge(tampered, row, "text", slowly=True)


def test_a_bracket_that_ends_a_path_is_seen(monkeypatch: pytest.MonkeyPatch, aiosmtpd: Aiosmtpd) -> None:
    """As if the grammar let anything stand for a local part."""
    monkeypatch.setattr(grammar, "CONTROL", re.compile("(?!)"))
    monkeypatch.setattr(grammar, "QUOTED_STRING", re.compile(r'"(.*)"', re.DOTALL))
    with pytest.raises((AssertionError, ValueError)):
        run_block(SEED, TEXT, 500, aiosmtpd=aiosmtpd)


def test_a_line_break_in_a_header_is_seen(monkeypatch: pytest.MonkeyPatch, aiosmtpd: Aiosmtpd) -> None:
    """As if rows were not looked at: then somebody is planned who should not be."""
    monkeypatch.setattr(header, "FORBIDDEN", re.compile("(?!)"))
    with pytest.raises(AssertionError):
        run_block(SEED, TEXT, 500, aiosmtpd=aiosmtpd)
