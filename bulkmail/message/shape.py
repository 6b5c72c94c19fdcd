"""One shape of a message's body: its octets, with slots where a value goes.

Everything but the values is encoded when the shape is made, values are encoded as they are put in, and each
only once however often it is used. Messages that differ in their control flow (a condition on a field, a
loop over one) have different shapes; those that differ in values share one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, repeat
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

from markupsafe import escape

from bulkmail.message import mime, quoted
from bulkmail.message.dkim import relaxed_field
from bulkmail.message.mime import FilePart, Multipart, Part, TextPart
from bulkmail.message.slots import Quoted, laid_out
from bulkmail.message.uses import Uses
from bulkmail.smtp.content import canonical

LONG_PREFIX = 4096  # octets before the first slot that are worth a saved state of the hash
CRLF = b"\r\n"
NONE: Mapping[int, int] = MappingProxyType({})

Piece = bytes | Quoted | TextPart | FilePart  # a text in base64 and a file's name vary as a whole
Columns = list[Iterable[bytes]]


class Bodies(NamedTuple):
    """The octets of some bodies, canonical under DKIM's relaxed form, with how the header before them ends.

    Each of `pieces` has the body's own header fields and the empty line, and then what the body consists of;
    a piece that is the same for all is one object. What is the same for all as a whole may be a `repeat`,
    which has no end. `digests`: the SHA-256 of each body where they are signed.
    """

    canonical_fields: Iterable[bytes]
    pieces: Iterable[tuple[bytes, ...]]
    digests: Sequence[bytes]


class Shape:
    """What bodies have in common."""

    def __init__(
        self, root: Part, boundary: bytes, unique: Mapping[int, int] = NONE, *, hashed: bool = True
    ) -> None:
        """A slot of `root` is the number of a value. `unique`: those that never come again, and the octets
        that they take as a rule."""
        self._hashed = hashed
        made = _Pieces(boundary, unique.get)
        fields = made.add(root, outermost=True)
        self._fields = b"".join([*fields, CRLF])
        self._canonical_fields = repeat(b"".join([relaxed_field(field) for field in fields]))
        pieces = _merged(made.pieces)
        single = isinstance(root, TextPart)
        self._closes = single and made.quoted  # the last line of a single part may be a value's
        first = pieces[0] if isinstance(pieces[0], bytes) and not single else b""
        self._prefix = len(first) if len(first) >= LONG_PREFIX else 0
        self._state = hashlib.sha256(first[: self._prefix])
        constants = [piece for piece in pieces if isinstance(piece, bytes)]
        self.size = sum(map(len, constants))  # octets
        slots = sorted({piece for piece in pieces if isinstance(piece, Quoted)})
        self._others = [piece for piece in pieces if isinstance(piece, (TextPart, FilePart))]
        values = dict.fromkeys(slot.value for slot in slots)
        self._uses = [
            Uses([slot for slot in slots if slot.value == value], unique=value in unique) for value in values
        ]
        # The columns of some bodies are what is constant, and then each slot once, by value: `order` says
        # what follows what, so that putting them together needs no loop here.
        self._constants = [repeat(self._fields), *map(repeat, constants)]
        number = {slot: len(self._constants) + n for n, slot in enumerate(slots)}
        constant, other = count(1), count(len(self._constants) + len(slots))
        order = [0]  # the fields; and there is always a piece: itemgetter gives a tuple for two and more
        for piece in pieces:
            if isinstance(piece, Quoted):
                order.append(number[piece])
            else:
                order.append(next(constant if isinstance(piece, bytes) else other))
        self._in_order: Callable[[Columns], Sequence[Iterable[bytes]]] = itemgetter(*order)
        self._constant = None if slots or self._others else self._closed(b"".join(constants))

    def bodies(
        self, number: int, values: Sequence[Sequence[str]], names: Sequence[Sequence[str]] = ()
    ) -> Bodies:
        """So many bodies, with columns of `values` for their slots; `names`: of each body's attachments that
        have none yet."""
        if self._constant is not None:
            octets, digest = self._constant
            return Bodies(self._canonical_fields, repeat((self._fields, octets)), [digest] * number)
        table: Columns = [*self._constants]
        for uses in self._uses:
            table += uses.columns(values[uses.value])
        if self._others:
            rows = zip(*values, strict=True) if values else repeat((), number)
            whole = [[*self._whole(*one)] for one in zip(rows, names or repeat(()), strict=False)]
            table += zip(*whole, strict=True)
        bodies: Iterable[tuple[bytes, ...]] = zip(*self._in_order(table), strict=False)
        if self._closes:
            bodies = map(_closed, bodies)
        if not self._hashed:
            return Bodies(self._canonical_fields, bodies, ())
        pieces = [*bodies]
        # Put together for this alone, while the processor has them at hand: they are kept as their pieces
        digests = [self._digest(b"".join(body[1:])) for body in pieces]
        return Bodies(self._canonical_fields, pieces, digests)

    def _whole(self, values: Sequence[str], names: Sequence[str]) -> Iterator[bytes]:
        """What varies as a whole."""
        name = iter(names)
        for part in self._others:
            if isinstance(part, TextPart):
                yield _base64(part, values)
            else:
                yield b"".join(mime.file_fields(part, next(name)))

    def _closed(self, octets: bytes) -> tuple[bytes, bytes]:
        if self._closes:
            octets = quoted.closed(octets)
        return octets, self._digest(octets) if self._hashed else b""

    def _digest(self, octets: bytes) -> bytes:
        """Taken while the octets are still in the processor's cache."""
        if not self._prefix:
            return hashlib.sha256(octets).digest()
        state = self._state.copy()
        state.update(octets[self._prefix :])
        return state.digest()


class _Pieces:
    """The pieces of a body, in order."""

    def __init__(self, boundary: bytes, width: Callable[[int], int | None]) -> None:
        self._boundary, self._width = boundary, width
        self._levels = 0
        self.pieces: list[Piece] = []
        self.quoted = False  # some text is in quoted-printable

    def add(self, part: Part, *, outermost: bool = False) -> list[bytes]:
        """Append the part's body; give its header fields. Inner parts have theirs in front of them."""
        match part:
            case Multipart():
                self._levels += 1
                boundary = self._boundary + b"%d" % self._levels
                fields = mime.multipart_fields(part, boundary)
                if not outermost:
                    self.pieces += [*fields, CRLF]
                for inner in part.parts:
                    self.pieces.append(b"--%s\r\n" % boundary)
                    self.add(inner)
                    self.pieces.append(CRLF)
                self.pieces.append(b"--%s--\r\n" % boundary)
                return fields
            case TextPart():
                encoding = mime.encoding_of(part, self._boundary)
                fields = mime.text_fields(part, encoding)
                if not outermost:
                    self.pieces += [*fields, CRLF]
                self._add_text(part, encoding, last=outermost)
                return fields
            case FilePart():
                self.pieces.append(part if part.name is None else b"".join(mime.file_fields(part, part.name)))
                self.pieces += [CRLF, part.body]
                return []

    def _add_text(self, part: TextPart, encoding: bytes, *, last: bool) -> None:
        """`last`: nothing follows, and empty lines at the end of a body are none (RFC 6376 section 3.4.4)."""
        if encoding == b"7bit":
            octets = canonical(str(part.segments[0]).encode("ascii"))
            if last:
                octets = octets.rstrip(CRLF)
                octets = octets and octets + CRLF
            self.pieces.append(octets)
            return
        if encoding == b"base64":
            self.pieces.append(part if len(part.segments) > 1 else _base64(part, ()))
            return
        self.quoted = True
        segments = list(part.segments)
        if not str(segments[-1]).endswith("\n"):
            segments[-1] = f"{segments[-1]}\n"
        self.pieces += laid_out(segments, html=part.html, width=self._width)


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbours that do not vary as one."""
    merged: list[Piece] = [b""]
    for piece in pieces:
        last = merged[-1]
        if isinstance(piece, bytes) and isinstance(last, bytes):
            merged[-1] = last + piece
        elif piece != b"":
            merged.append(piece)
    return merged


def _closed(pieces: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """`quoted.closed` of what stands behind the fields; mostly the last piece says that it is."""
    last = pieces[-1]
    if len(last) >= 4 and not last.endswith((b"\r\n\r\n", quoted.SOFT)):
        return pieces
    return pieces[0], quoted.closed(b"".join(pieces[1:]))


def _base64(part: TextPart, values: Sequence[str]) -> bytes:
    texts = []
    for segment in part.segments:
        if isinstance(segment, str):
            texts.append(segment)
        else:
            texts.append(str(escape(values[segment])) if part.html else values[segment])
    return mime.base64_lines(canonical("".join(texts).encode("utf-8")))
