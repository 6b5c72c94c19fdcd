"""Quoted-printable that is its own canonical form, in pieces that can stand anywhere.

Every piece begins at the start of a line and ends with a line break, a soft one where its text goes on, so
that the octets of a piece do not depend on its neighbours: what is the same for everybody is encoded once
and the values are put in between (RFC 2045 section 6.7).

DKIM's relaxed canonicalisation (RFC 6376 section 3.4.4) changes nothing here: there is no white space at the
end of a line, none beside another, and no tab. No line begins with a dot or with "From ", which servers and
mailboxes have their own ideas about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LINE = 76  # RFC 2045 section 6.7 (5), the soft break's "=" included
SOFT = b"=\r\n"

# What stands for itself at the beginning of a line, is not touched by HTML's escaping, and needs no line end.
SIMPLE = re.compile(r"(?!\.|From )[!#-%(-;?-~]+(?: [!#-%(-;?-~]+)*")
_SIMPLE_LINE = re.compile(rb"(?!\.|From )[!-<>-~]+(?: [!-<>-~]+)*")
_UNSAFE = re.compile(rb"[^ !-<>-~]")
_RUNS = re.compile(rb"  +| \Z")
_HEX = [b"=%02X" % octet for octet in range(256)]
_TABLE = [bytes([octet]) if _UNSAFE.match(bytes([octet])) is None else _HEX[octet] for octet in range(256)]
SHORT = 60  # octets: where a table is faster than a search
BETWEEN = b"\0"  # texts of a column, none of which can hold it
_SIMPLE_OCTETS = bytes(octet for octet in range(32, 127) if octet not in b"\"&'<=>") + BETWEEN
_NOT_SIMPLE = (b"  ", b"\0 ", b" \0", b"\0\0", b"\0.", b"\0From ")  # in a column between two of BETWEEN


def piece(text: str, end: bytes = SOFT) -> bytes:
    """`text`, with any line ends, as a piece; with an `end` of CRLF, its last line ends behind it.

    Empty for an empty text that goes on.
    """
    if len(text) < LINE and SIMPLE.fullmatch(text):  # most values
        return text.encode("ascii") + end
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n" not in text:
        return _line(text.encode("utf-8"), end) if text or end != SOFT else b""
    lines = text.encode("utf-8").split(b"\n")
    last = lines.pop()
    encoded = [_line(line, b"\r\n") for line in lines]
    if last or end != SOFT:
        encoded.append(_line(last, end))
    return b"".join(encoded)


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


def pieces(column: bytes, end: bytes = SOFT) -> list[bytes]:
    """`piece` of each text of a `column`."""
    return column[1:].replace(BETWEEN, end + BETWEEN).split(BETWEEN)[:-1]


def ended(text: str, soft: bytes) -> bytes:
    """`piece(text, CRLF)`, from what `piece(text)` gave."""
    if soft.endswith(SOFT) and not soft.endswith(b" " + SOFT):
        return soft[:-3] + b"\r\n"
    return piece(text, b"\r\n")


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


def _line(line: bytes, end: bytes) -> bytes:
    """One line without its end, as many as it takes; `end` is the last one's."""
    room = LINE - (end == SOFT)
    if len(line) < SHORT:
        line = b"".join([_TABLE[octet] for octet in line])
        if len(line) <= room and b"  " not in line and line[-1:] != b" " and line[:1] not in b".F":
            return line + end
    elif len(line) <= room and _SIMPLE_LINE.fullmatch(line):
        return line + end
    else:
        line = _UNSAFE.sub(_escape, line)
    if b"  " in line or line.endswith(b" "):
        line = _RUNS.sub(_spread, line)
    if end == SOFT and line.endswith(b"=20") and not line.endswith(b" =20"):
        line = line[:-3] + b" "  # the soft break stands behind it
    lines: list[bytes] = []
    start = 0
    while True:
        if line.startswith((b".", b"From "), start):
            line = b"%s=%02X%s" % (line[:start], line[start], line[start + 1 :])
        if len(line) - start <= room:
            lines.append(line[start:] + end)
            return b"".join(lines)
        stop = start + LINE - 1
        cut = line.rfind(b"=", stop - 2, stop)
        if cut >= 0:
            stop = cut  # an escape is not cut in two
        lines.append(line[start:stop] + SOFT)
        start = stop


def _escape(match: re.Match[bytes]) -> bytes:
    return _HEX[match[0][0]]


def _spread(match: re.Match[bytes]) -> bytes:
    """A run of spaces, or one at the end: no two stand side by side, and none is last."""
    count = len(match[0])
    return b"=20" * (count % 2) + b" =20" * (count // 2)
