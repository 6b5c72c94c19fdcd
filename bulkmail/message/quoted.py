"""Quoted-printable that is its own canonical form, in pieces that do not depend on their neighbours.

A piece (`piece`) begins at the start of a line and ends with a line break, a soft one where its text goes on.
A value that has room on the line of its neighbours (`slots`) is encoded so that it can stand anywhere
(`within`). So what is the same for everybody is encoded once, and the values are put in between (RFC 2045
section 6.7).

DKIM's relaxed canonicalisation (RFC 6376 section 3.4.4) changes nothing here: there is no white space at the
end of a line, none beside another, and no tab. No line begins with a dot or with "From ", which servers and
mailboxes have their own ideas about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LINE = 76  # RFC 2045 section 6.7 (5), the soft break's "=" included
SOFT = b"=\r\n"

# What stands for itself wherever and beside whatever it stands, and is not touched by HTML's escaping.
SIMPLE = re.compile(r"(?!\.|From |F(?:r(?:om?)?)?\Z)[!#-%(-;?-~]+(?: [!#-%(-;?-~]+)*")
_UNSAFE = re.compile(rb"[^ !-<>-~]")
_RUNS = re.compile(rb"  +| \Z")
_ENDS = re.compile(rb"  +|\A | \Z")
_HEX = [b"=%02X" % octet for octet in range(256)]
_TABLE = [bytes([octet]) if _UNSAFE.match(bytes([octet])) is None else _HEX[octet] for octet in range(256)]
SHORT = 60  # octets: where a table is faster than a search
BETWEEN = b"\0"  # texts of a column, none of which can hold it
_SIMPLE_OCTETS = bytes(octet for octet in range(32, 127) if octet not in b"\"&'<=>") + BETWEEN
_FROM = (b"F", b"Fr", b"Fro", b"From")  # what stands behind it may make it b"From "
_NOT_SIMPLE = (b"  ", b"\0 ", b" \0", b"\0\0", b"\0.", b"\0From ", *(b"\0%b\0" % part for part in _FROM))


def piece(text: str, end: bytes = SOFT) -> bytes:
    """`text`, with any line ends, as a piece; with an `end` of CRLF, its last line ends behind it.

    Empty for an empty text that goes on.
    """
    if len(text) < LINE and SIMPLE.fullmatch(text):  # most values
        return text.encode("ascii") + end
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    *lines, last = text.split("\n")
    done = [_line(line, b"\r\n") for line in lines]
    if last or end != SOFT:
        done.append(_line(last, end))
    return b"".join(done)


def column(texts: Sequence[str]) -> bytes | None:
    """The texts with BETWEEN before, between and behind them; None unless each is SIMPLE and fits a line."""
    try:
        joined = "\0".join(["", *texts, ""]).encode("ascii")
    except UnicodeEncodeError:
        return None
    if joined.count(BETWEEN) != len(texts) + 1 or joined.translate(None, _SIMPLE_OCTETS):
        return None
    if max(map(len, texts), default=0) >= LINE or any(odd in joined for odd in _NOT_SIMPLE):
        return None
    return joined


def around(column: bytes, before: bytes, behind: bytes) -> list[bytes]:
    """Each text of a `column`, with these around it."""
    texts = column[1:-1]
    if before or behind:
        texts = before + texts.replace(BETWEEN, behind + BETWEEN + before) + behind
    return texts.split(BETWEEN) if column != BETWEEN else []


def within(text: str) -> bytes | None:
    """`text`, which is not empty, as it may stand anywhere in a line; None where it has line ends.

    No space stands at its ends, nor beside another, and it is harmless at the beginning of a line, too.
    """
    if len(text) < LINE and SIMPLE.fullmatch(text):
        return text.encode("ascii")
    if "\n" in text or "\r" in text:
        return None
    return beginning(_ENDS.sub(lambda spaces: b"=20" * len(spaces[0]), _escaped(text.encode("utf-8"))))


def encoded(text: str, *, ends: bool) -> bytes:
    """`text`, without line ends, as octets to be cut into lines. `ends`: the line does behind it."""
    line = _escaped(text.encode("utf-8"))
    if b"  " in line or line.endswith(b" "):
        line = _RUNS.sub(_spread, line)
    if not ends and line.endswith(b"=20") and not line.endswith(b" =20"):
        line = line[:-3] + b" "  # something stands behind it
    return beginning(line, ends=ends)


def cut(line: bytes, used: int = 0, *, ends: bool) -> list[bytes]:
    """What was `encoded`, in parts that fit a line each, if `used` octets stand before the first already."""
    parts: list[bytes] = []
    start = 0
    while len(line) - start > LINE - (not ends) - used:
        stop = start + LINE - 1 - used
        escape = line.rfind(b"=", max(start, stop - 2), stop)
        if escape >= 0:
            stop = escape  # an escape is not cut in two
        parts.append(line[start:stop])
        start, used = stop, 0
        if line.startswith((b".", b"From "), start):
            line = b"%s%s" % (line[:start], beginning(line[start:]))
    parts.append(beginning(line[start:], ends=ends))
    return parts


def beginning(line: bytes, *, ends: bool = False) -> bytes:
    """`line` as it may begin a line; unless it `ends` there, something may follow it."""
    if line.startswith((b".", b"From ")) or (not ends and line in _FROM):
        return b"=%02X%s" % (line[0], line[1:])
    return line


def closed(octets: bytes) -> bytes:
    """A piece, or several, as they may end a body: no soft break and no empty lines behind the text."""
    while octets.endswith((b"\r\n\r\n", SOFT)):
        if octets.endswith(b" " + SOFT):
            octets = octets[:-4] + SOFT + b"=20\r\n"  # on a line of its own there is room for it
        elif octets.endswith(SOFT):
            octets = octets[:-3] + b"\r\n"
        else:
            octets = octets[:-2]
    return b"" if octets == b"\r\n" else octets


def _line(text: str, end: bytes) -> bytes:
    """One line without its end, as many as it takes; `end` is the last one's."""
    ends = end != SOFT
    return SOFT.join(cut(encoded(text, ends=ends), ends=ends)) + end


def _escaped(octets: bytes) -> bytes:
    if len(octets) < SHORT:
        return b"".join([_TABLE[octet] for octet in octets])
    return _UNSAFE.sub(_escape, octets)


def _escape(match: re.Match[bytes]) -> bytes:
    return _HEX[match[0][0]]


def _spread(match: re.Match[bytes]) -> bytes:
    """A run of spaces, or one at the end: no two stand side by side, and none is last."""
    count = len(match[0])
    return b"=20" * (count % 2) + b" =20" * (count // 2)
