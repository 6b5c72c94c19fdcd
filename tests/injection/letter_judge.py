"""What a reader gets of a letter, by the parser of the standard library: the fields that were meant and no
other, the recipient of its row, and nobody else's words.
"""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import compat32
from email.utils import getaddresses
from functools import cache
from html.parser import HTMLParser

from hostile_rows import MARKS, Row
from injection_road import CLOSES, OPENS, composer

CONTROLS = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")  # shown as a blank in a header
FOLD = re.compile(r"\r?\n(?=[ \t])")
ORDINARY = {"name": "Ann", "city": "Rome", "words": "hello"}


@cache
def fields_of(shape: str) -> list[tuple[str, ...]]:
    """The names of the fields of each part of a letter that means no harm."""
    content = composer(shape).render("ann@a.test", {"email": "ann@a.test", **ORDINARY})
    return names(message_from_bytes(content, policy=compat32))


def names(message: Message) -> list[tuple[str, ...]]:
    return [tuple(sorted(part.keys())) for part in message.walk()]


def judge(content: bytes, row: Row, shape: str, *, slowly: bool) -> None:
    """Raises AssertionError. `slowly`: by the newer parser as well, which knows the grammar of each field."""
    message = message_from_bytes(content, policy=compat32)
    assert names(message) == fields_of(shape), ("fields", row, names(message))
    assert all(part.defects == [] for part in message.walk()), row
    fields = {name: _unfolded(value) for name, value in message.raw_items()}
    assert "\n" not in "".join(fields.values()), row
    subject = f"{row.name}: {row.city}"
    assert _squeezed(_said(fields["Subject"])) == _squeezed(CONTROLS.sub(" ", subject)), ("subject", row)
    assert _squeezed(_said(fields["X-City"])) == _squeezed(CONTROLS.sub(" ", row.city)), ("X-City", row)
    assert row.meant is not None
    _judge_to(fields["To"], row)
    seen = "".join(fields.values())
    for part in message.walk():
        if (file := part.get_filename()) is not None:
            assert _named(file) == _named(f"Invoice {row.city}.txt"), ("name of the file", file, row)
        elif part.get_content_maintype() == "text":
            text = _lines(part.get_payload(decode=True).decode(part.get_content_charset() or "ascii"))
            seen += text
            _judge_body(text, part.get_content_subtype(), row)
    assert set(MARKS.findall(seen)) == {row.mark}, ("another's words", row, set(MARKS.findall(seen)))
    if slowly and row.meant[0].isascii():  # to the newer parser RFC 6532 is a defect
        _judge_slowly(content, row)


def _named(file: str) -> str:
    """Characters that nobody should see in the name of a file are replaced."""
    return "".join(character if character.isprintable() else "_" for character in file).strip()


def _judge_to(value: str, row: Row) -> None:
    """One address, and the one that was meant: what stands between the last angle brackets outside of
    quotes.
    """
    assert row.meant is not None
    path = value.strip()
    if path.endswith(">"):
        path = path[_opens(path) + 1 : -1]
    local, _, domain = path.rpartition("@")
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    assert (local, domain) == row.meant, ("To", value, row)
    found = getaddresses([value])
    assert len(found) == 1, ("To", value, row)


def _opens(path: str) -> int:
    """Where the last < stands that is not in a quoted string."""
    at, quoted, place = 0, False, -1
    while at < len(path):
        if path[at] == "\\" and quoted:
            at += 1
        elif path[at] == '"':
            quoted = not quoted
        elif path[at] == "<" and not quoted:
            place = at
        at += 1
    return place


def _judge_body(text: str, subtype: str, row: Row) -> None:
    words = _lines(row.words)
    if subtype == "plain":
        start = text.index(OPENS) + len(OPENS)
        expected = f"Dear {_lines(row.name)},\n\n{OPENS}{words}{CLOSES}\n.\n{_lines(row.city)}\n-- \nend\n"
        assert text[start:].startswith(words + CLOSES), ("body", row)
        assert text.startswith(expected), ("body", row, text)
        return
    seen = _Html()
    seen.feed(text)
    seen.close()
    assert f"{OPENS}{words}{CLOSES}" in _lines(seen.text), ("HTML", row, seen.text)
    assert seen.tags == ["html", "body", "p", "p"] + ["p", "a"] * (seen.tags.count("a")), (
        "HTML",
        row,
        seen.tags,
    )


class _Html(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags = "", []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def _judge_slowly(content: bytes, row: Row) -> None:
    assert row.meant is not None
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for value in message.values():
        assert not value.defects, ("defects", value, value.defects, row)
    addresses = message["To"].addresses
    assert [(one.username, one.domain) for one in addresses] == [row.meant], ("To", addresses, row)
    assert len(message["To"].groups) == 1
    assert message["Bcc"] is message["Cc"] is None


def _unfolded(value: str) -> str:
    """On one line, and UTF-8 where the parser keeps octets (RFC 6532)."""
    return FOLD.sub("", value).encode("ascii", "surrogateescape").decode("utf-8")


def _said(value: str) -> str:
    return str(make_header(decode_header(value)))


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
