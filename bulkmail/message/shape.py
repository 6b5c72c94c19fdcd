"""One shape of a message's body: its octets, with slots where a value goes.

Everything but the values is encoded when the shape is made, values are encoded as they are put in, and each
only once however often it is used. Messages that differ in their control flow (a condition on a field, a
loop over one) have different shapes; those that differ in values share one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import escape

from bulkmail.message import mime, quoted
from bulkmail.message.mime import FilePart, Multipart, Part, TextPart
from bulkmail.smtp.content import canonical

LONG_PREFIX = 4096  # octets before the first slot that are worth a saved state of the hash

Key = tuple[int, bool, bool]  # index of the value, escaped for HTML, ends its line


class Body(NamedTuple):
    """The octets of a body, canonical under DKIM's relaxed form, and how to hash them."""

    octets: bytes
    prefix: int  # so many of them are hashed in `state` already
    state: hashlib._Hash

    def digest(self) -> bytes:
        """SHA-256."""
        state = self.state.copy()
        state.update(self.octets[self.prefix :] if self.prefix else self.octets)
        return state.digest()


class Shape:
    """`fields`: the body's own header fields, which stand in the header of the message.

    Slots count the values of the message; those of attachments' names are counted in `names` instead.
    """

    def __init__(self, root: Part, boundary: bytes) -> None:
        self._boundary = boundary
        self._pieces: list[bytes] = []
        self._quoted: dict[Key, list[int]] = {}
        self._encoded: list[tuple[int, TextPart]] = []
        self._names: list[tuple[int, FilePart]] = []
        self._levels = 0
        self.fields: list[bytes] = self._add(root, outermost=True)
        self._single = not isinstance(root, Multipart)
        self._merge()
        self._slots = [(key, tuple(positions)) for key, positions in self._quoted.items()]
        self._constant: Body | None = None
        slots = {n for positions in self._quoted.values() for n in positions}
        slots |= {n for n, _ in self._encoded} | {n for n, _ in self._names}
        varies = not self._single and slots and 0 not in slots
        first = self._pieces[0] if varies else b""
        self._prefix = len(first) if len(first) >= LONG_PREFIX else 0
        self._state = hashlib.sha256(first[: self._prefix])
        if not slots:
            self._constant = self._body(self._pieces)

    def body(self, values: Sequence[str], names: Sequence[str] = ()) -> Body:
        """The body with `values` in the slots, and `names` for the attachments whose names vary."""
        if self._constant is not None:
            return self._constant
        pieces = self._pieces.copy()
        for (index, html, ends), positions in self._slots:
            value = values[index]
            octets = quoted.piece(str(escape(value)) if html else value, b"\r\n" if ends else quoted.SOFT)
            for position in positions:
                pieces[position] = octets
        for position, part in self._encoded:
            pieces[position] = _encoded(part, values)
        for (position, file), name in zip(self._names, names, strict=True):
            pieces[position] = b"".join(mime.file_fields(file, name))
        return self._body(pieces)

    def _body(self, pieces: list[bytes]) -> Body:
        octets = b"".join(pieces)
        if self._single:
            octets = quoted.closed(octets)
        return Body(octets, self._prefix, self._state)

    # --- laying out --------------------------------------------------------------------------------

    def _add(self, part: Part, *, outermost: bool = False) -> list[bytes]:
        """Append the part's body; give its header fields. Inner parts have theirs in front of them."""
        match part:
            case Multipart():
                self._levels += 1
                boundary = self._boundary + b"%d" % self._levels
                fields = mime.multipart_fields(part, boundary)
                if not outermost:
                    self._pieces += [*fields, b"\r\n"]
                for inner in part.parts:
                    self._pieces.append(b"--%s\r\n" % boundary)
                    self._add(inner)
                    self._pieces.append(b"\r\n")
                self._pieces.append(b"--%s--\r\n" % boundary)
                return fields
            case TextPart():
                encoding = mime.encoding_of(part, self._boundary)
                fields = mime.text_fields(part, encoding)
                if not outermost:
                    self._pieces += [*fields, b"\r\n"]
                self._add_text(part, encoding)
                return fields
            case FilePart():
                if part.name is None:
                    self._names.append((len(self._pieces), part))
                    self._pieces.append(b"")
                else:
                    self._pieces += mime.file_fields(part, part.name)
                self._pieces += [b"\r\n", part.body]
                return []

    def _add_text(self, part: TextPart, encoding: bytes) -> None:
        if encoding == b"7bit":
            self._pieces.append(canonical(str(part.segments[0]).encode("ascii")))
            return
        if encoding == b"base64":
            if len(part.segments) > 1:
                self._encoded.append((len(self._pieces), part))
            self._pieces.append(_encoded(part, ()) if len(part.segments) == 1 else b"")
            return
        segments = list(part.segments)
        if not str(segments[-1]).endswith("\n"):
            segments[-1] = f"{segments[-1]}\n"
        for position in range(len(segments)):
            segment = segments[position]
            if isinstance(segment, str):
                self._pieces.append(quoted.piece(segment))
                continue
            following = str(segments[position + 1])
            ends = following.startswith("\n")
            if ends:
                segments[position + 1] = following[1:]
            self._quoted.setdefault((segment, part.html, ends), []).append(len(self._pieces))
            self._pieces.append(b"")

    def _merge(self) -> None:
        """Join neighbouring pieces that do not vary."""
        vary = {position for positions in self._quoted.values() for position in positions}
        vary |= {position for position, _ in self._encoded} | {position for position, _ in self._names}
        merged: list[bytes] = []
        moved: dict[int, int] = {}
        run: list[bytes] = []
        for position, piece in enumerate(self._pieces):
            if position not in vary:
                run.append(piece)
                continue
            if run:
                merged.append(b"".join(run))
                run = []
            moved[position] = len(merged)
            merged.append(b"")
        if run:
            merged.append(b"".join(run))
        self._pieces = merged
        self._quoted = {key: [moved[n] for n in positions] for key, positions in self._quoted.items()}
        self._encoded = [(moved[n], part) for n, part in self._encoded]
        self._names = [(moved[n], part) for n, part in self._names]


def _encoded(part: TextPart, values: Sequence[str]) -> bytes:
    texts = []
    for segment in part.segments:
        if isinstance(segment, str):
            texts.append(segment)
        else:
            texts.append(str(escape(values[segment])) if part.html else values[segment])
    return mime.base64_lines(canonical("".join(texts).encode("utf-8")))
