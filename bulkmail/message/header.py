"""Header fields as bytes: what stands after the colon, encoded so that every reader gets back what was meant.

Each function gives whole fields, CRLF included, folded at 78 where a space allows it and never above 998
octets. Whatever is not printable ASCII, or would be read as an encoded word, becomes encoded words (RFC
2047): a stranger's value cannot end a field, begin another, or add an address. Callers refuse CR, LF and
NUL first, because those say that the row is broken; here they could do no harm.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence

FORBIDDEN = re.compile(r"[\r\n\0]")  # FAULTS.md I1
# What no terminal or mail reader should be told to do; a blank stands in for it
CONTROLS = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_NEXT = "\r\n\0"
LINE = 78  # RFC 5322 section 2.1.1: SHOULD
LONGEST = 998  # and MUST
WORD = 75  # an encoded word, delimiters included (RFC 2047 section 2)

# RFC 5322 section 3.6.8: ftext, printable ASCII without the colon
_NAME = re.compile(r"[!-9;-~]+")
_SPACES = re.compile(r"[ \t]+")
# RFC 5322 section 3.2.3: atoms with single spaces between them; a dot would need quotes
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_ATOM_OCTETS = b" \0" + bytes(octet for octet in range(128) if _ATOMS.fullmatch(chr(octet)))
_NOT_ATOMS = (b"  ", b"\0 ", b" \0", b"\0\0", b"=?")  # in several of them between NULs
_SHORT_DISPLAY = 60  # longer names are folded, as encoded words
# RFC 2047 section 5 (3): what stands for itself in a Q word within a phrase, the strictest place
_Q_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q_LEGIBLE = _Q_SAFE + b" "
_Q = [chr(octet) if octet in _Q_SAFE else "_" if octet == 0x20 else f"={octet:02X}" for octet in range(256)]

# Fields that bulkmail writes itself, or that only servers write. RFC 5322 section 3.6, RFC 2045 section 3.
RESERVED = frozenset(
    {"from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version"}
    | {"received", "return-path", "delivered-to", "dkim-signature", "authentication-results"}
)
RESERVED_PREFIXES = ("content-", "resent-", "arc-")


def refuse_name(name: str) -> str | None:
    """Why a sender may not set a field of this name, or None."""
    if not _NAME.fullmatch(name) or len(name) > 64:
        return "not a header field name (RFC 5322: printable ASCII without spaces and colons)"
    lower = name.lower()
    if lower in RESERVED or lower.startswith(RESERVED_PREFIXES):
        return "bulkmail or the mail servers write this field themselves"
    return None


def unstructured(name: str, value: str) -> bytes:
    """`name: value` for text that has no grammar of its own (Subject, and a sender's own fields)."""
    if value.isascii() and value.isprintable() and "=?" not in value:
        line = f"{name}: {value}\r\n"
        if len(line) <= LINE + 2:
            return line.encode("ascii")
        folded = _fold(line)
        if folded is not None:
            return folded
    return _words_field(name, value, b"")


def address(name: str, display: str, wire: bytes) -> bytes:
    """`name: display <wire>`, or the bare address where `display` is empty. `wire` comes from a Mailbox."""
    if "  " in display or "\t" in display:
        display = _SPACES.sub(" ", display)
    display = display.strip(" ")
    if not display:
        return b"%s: %s\r\n" % (name.encode("ascii"), wire)
    if len(display) > _SHORT_DISPLAY or not display.isascii() or not display.isprintable() or "=?" in display:
        return _words_field(name, display, b" <%s>" % wire)
    if not _ATOMS.fullmatch(display):
        display = '"' + display.replace("\\", "\\\\").replace('"', '\\"') + '"'
    head = f"{name}: {display}".encode("ascii")
    gap = b" <" if len(head) + len(wire) + 3 <= LINE else b"\r\n <"
    return head + gap + wire + b">\r\n"


def unstructured_all(name: str, values: Sequence[str]) -> list[bytes]:
    """`unstructured` of each."""
    texts, odd = _ascii_apart(values)
    if not "".join(texts).isprintable() or "=?" in "\0".join(texts):
        return [unstructured(name, value) for value in values]
    lines = f"{name}: {f'{_NEXT}{name}: '.join(texts)}\r\n".encode("ascii").split(b"\0")
    if max(map(len, lines)) > LINE + 2:
        odd += [place for place, line in enumerate(lines) if len(line) > LINE + 2]
    for place in odd:
        lines[place] = unstructured(name, values[place])
    return lines


def addresses(name: str, displays: Sequence[str], wires: Sequence[bytes]) -> list[bytes]:
    """`address` of each."""
    texts, odd = _ascii_apart(displays)
    joined = "\0".join(["", *texts, ""]).encode("ascii")
    other = joined.count(b"\0") > len(texts) + 1 or joined.translate(None, _ATOM_OCTETS)
    if other or any(each in joined for each in _NOT_ATOMS):
        return [address(name, *one) for one in zip(displays, wires, strict=True)]
    heads = joined.replace(b"\0", b"\0%b: " % name.encode("ascii")).split(b"\0")[1:-1]
    lines = [*map(b"%b <%b>\r\n".__mod__, zip(heads, wires, strict=True))]
    if max(map(len, lines)) > _SHORT_DISPLAY:
        sizes = zip(map(len, texts), map(len, lines), strict=True)
        odd += [n for n, (text, line) in enumerate(sizes) if text > _SHORT_DISPLAY or line > LINE + 2]
    for place in odd:
        lines[place] = address(name, displays[place], wires[place])
    return lines


def _ascii_apart(texts: Sequence[str]) -> tuple[Sequence[str], list[int]]:
    """The texts, with something plain instead of those that are not ASCII; and the places of these."""
    if "".join(texts).isascii():
        return texts, []
    odd = [place for place, text in enumerate(texts) if not text.isascii()]
    patched = list(texts)
    for place in odd:
        patched[place] = "x"
    return patched, odd


def encoded_words(text: str, first: int = WORD) -> list[str]:
    """`text` as encoded words (RFC 2047), the first at most `first` octets long, no character cut in two.

    Joined by white space they are read as `text`. Q where most of it stays legible, else B, which is shorter.
    """
    data = text.encode("utf-8")
    if 5 * len(data.translate(None, _Q_LEGIBLE)) <= 2 * len(data):
        return [f"=?utf-8?q?{part}?=" for part in _cut_q("".join(map(_Q.__getitem__, data)), first - 12)]
    parts = _cut_b(data, (first - 12) // 4 * 3)
    return [f"=?utf-8?b?{binascii.b2a_base64(part, newline=False).decode('ascii')}?=" for part in parts]


def _cut_q(encoded: str, room: int) -> Iterator[str]:
    """Pieces of at most 63 characters, the first of at most `room`."""
    start, room = 0, max(12, min(room, 63))
    while len(encoded) - start > room:
        end = start + room
        end -= 1 if encoded[end - 1] == "=" else 2 if encoded[end - 2] == "=" else 0
        while encoded[end] == "=" and encoded[end + 1] in "89AB":  # in the middle of a character
            end -= 3
        yield encoded[start:end]
        start, room = end, 63
    yield encoded[start:]


def _cut_b(data: bytes, room: int) -> Iterator[bytes]:
    """Pieces of at most 45 octets, which are 60 in base64, the first of at most `room`."""
    start, room = 0, max(12, min(room, 45))
    while len(data) - start > room:
        end = start + room
        while data[end] & 0xC0 == 0x80:  # in the middle of a character
            end -= 1
        yield data[start:end]
        start, room = end, 45
    yield data[start:]


def _words_field(name: str, value: str, tail: bytes) -> bytes:
    words = encoded_words(value, 76 - len(name) - 2)
    lines = f"{name}: " + "\r\n ".join(words)
    last = len(words[-1]) + (1 if len(words) > 1 else len(name) + 2)
    if tail and last + len(tail) > LINE:
        tail = b"\r\n" + tail
    return lines.encode("ascii") + tail + b"\r\n"


def _fold(line: str) -> bytes | None:
    """A long ASCII field on several lines, cut before spaces; None where a word is longer than a line."""
    name, _, value = line[:-2].partition(" ")
    lines: list[str] = []
    current = name
    for word in re.findall(r" +[^ ]*", " " + value):
        # A line of spaces only would end the header for some readers, hence the strip.
        if len(current) + len(word) > LINE and current != name and word.strip(" "):
            lines.append(current)
            current = word
        else:
            current += word
    lines.append(current)
    if any(len(part) > LONGEST for part in lines):
        return None
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
