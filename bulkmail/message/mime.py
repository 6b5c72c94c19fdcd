"""The parts of a message and how they nest (RFC 2045, 2046), as octets and texts that are the same for all.

The tree is the one that the standard library builds: mixed (alternative (plain, related (html, images)),
attachments), each level only where it is needed. Everything is 7-bit on the wire, so that no server has a
reason to encode anew what was signed, and canonical as DKIM's relaxed form wants it (quoted.py).

A boundary begins with "=_", which neither quoted-printable nor base64 can contain (RFC 2045 section 6.7); a
7bit part that contains it nevertheless is quoted, so no content can end a part.
"""

from __future__ import annotations

import binascii
import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from bulkmail.smtp.content import canonical

LONGEST = 998  # octets in a line, without its CRLF (RFC 5322 section 2.1.1)
_OCTET_STREAM = "application/octet-stream"
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$&+^_`{}~ ().,;=@'\[\]-]{1,60}")
# RFC 2231 section 7 attribute-char, without the quote that separates the language
_NAME_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+^_`{}~.-")
# 7bit would let the other control characters through, readers do not
_FIT = bytes([0x0A, 0x0D, *range(0x20, 0x7F)])


@dataclass(frozen=True, slots=True)
class TextPart:
    """`text/subtype`. Where it has slots, `segments` are text, slot, text, … text; `html` escapes values."""

    subtype: str
    segments: tuple[str | int, ...]

    @property
    def html(self) -> bool:
        return self.subtype == "html"


@dataclass(frozen=True, slots=True)
class FilePart:
    """An embedded image (`cid`), or an attachment. A name of None is a slot's."""

    type: str
    body: bytes  # base64, lines ended
    name: str | None
    cid: str = ""


@dataclass(frozen=True, slots=True)
class Multipart:
    """`multipart/subtype` around parts."""

    subtype: str
    parts: tuple[Part, ...]


Part = TextPart | FilePart | Multipart


def tree(text: TextPart | None, html: TextPart | None, images: Sequence[Part], files: Sequence[Part]) -> Part:
    """The parts of one message, nested; there is a text or an HTML part."""
    root: Part | None = html
    if html is not None and images:
        root = Multipart("related", (html, *images))
    if text is not None:
        root = text if root is None else Multipart("alternative", (text, root))
    assert root is not None
    return Multipart("mixed", (root, *files)) if files else root


def encoding_of(part: TextPart, boundary: bytes) -> bytes:
    """The Content-Transfer-Encoding that suits a text part: by the text that is the same for everybody."""
    data = "".join([each for each in part.segments if isinstance(each, str)]).encode("utf-8")
    unfit = len(data.translate(None, _FIT))
    if not unfit and len(part.segments) == 1 and _is_canonical_7bit(data, boundary):
        return b"7bit"
    return b"base64" if 2 * (unfit + data.count(b"=")) > len(data) // 3 else b"quoted-printable"


def _is_canonical_7bit(data: bytes, boundary: bytes) -> bool:
    lines = canonical(data).split(b"\r\n")
    return (
        boundary not in data
        and b"  " not in data
        and not any(line.endswith(b" ") or line.startswith((b".", b"From ")) for line in lines)
        and max(map(len, lines)) <= LONGEST
    )


def base64_lines(data: bytes) -> bytes:
    """Base64 on lines of 76 (RFC 2045 section 6.8)."""
    encoded = binascii.b2a_base64(data, newline=False)
    return b"".join([encoded[start : start + 76] + b"\r\n" for start in range(0, len(encoded), 76)])


def guess_type(name: str) -> str:
    """The media type by the end of a name. Whole messages are octets: no encoding is allowed for them."""
    guessed, compressed = mimetypes.guess_type(name, strict=False)
    if guessed is None or compressed or guessed.startswith(("message/", "multipart/")):
        return _OCTET_STREAM
    return guessed if _TYPE.fullmatch(guessed) else _OCTET_STREAM


def is_type(text: str) -> bool:
    """Whether `text` is a media type that an attachment may have."""
    return _TYPE.fullmatch(text) is not None and not text.startswith(("message/", "multipart/"))


def text_fields(part: TextPart, encoding: bytes) -> list[bytes]:
    kind = b"Content-Type: text/%s; charset=utf-8\r\n" % part.subtype.encode("ascii")
    return [kind, b"Content-Transfer-Encoding: %s\r\n" % encoding]


def multipart_fields(part: Multipart, boundary: bytes) -> list[bytes]:
    kind = part.subtype.encode("ascii")
    return [b'Content-Type: multipart/%s;\r\n boundary="%s"\r\n' % (kind, boundary)]


def file_fields(part: FilePart, name: str) -> list[bytes]:
    fields = [b"Content-Type: %s\r\n" % part.type.encode("ascii"), b"Content-Transfer-Encoding: base64\r\n"]
    if part.cid:
        fields.append(b"Content-ID: <%s>\r\n" % part.cid.encode("ascii"))
    disposition = "inline" if part.cid else "attachment"
    return [*fields, f"Content-Disposition: {disposition}".encode("ascii") + parameter("filename", name)]


def parameter(name: str, value: str) -> bytes:
    """`; name="value"` and the end of the field: on a line of its own, in pieces where it is not plain.

    RFC 2231 sections 3 and 4.
    """
    if not value:
        return b"\r\n"
    if _PLAIN_NAME.fullmatch(value) and "  " not in value:
        return f';\r\n {name}="{value}"\r\n'.encode("ascii")
    pieces = list(_percent(value))
    if len(pieces) == 1:
        return f";\r\n {name}*=utf-8''{pieces[0]}\r\n".encode("ascii")
    lines = [f"{name}*{n}*={'' if n else 'utf-8' + chr(39) * 2}{piece}" for n, piece in enumerate(pieces)]
    return (";\r\n " + ";\r\n ".join(lines) + "\r\n").encode("ascii")


def _percent(value: str) -> Iterator[str]:
    """The value percent-encoded, in pieces of at most 50 characters."""
    piece = ""
    for octet in value.encode("utf-8"):
        piece += chr(octet) if octet in _NAME_SAFE else f"%{octet:02X}"
        if len(piece) > 47:
            yield piece
            piece = ""
    if piece:
        yield piece


def embedded(name: str, kind: str, content: bytes, domain: str) -> FilePart:
    """An image that the HTML shows. Its Content-ID says what it is, so that the same file has the same."""
    cid = f"{blake2b(content, digest_size=12).hexdigest()}@{domain}"
    return FilePart(kind, base64_lines(content), name, cid)
