"""Lines of quoted-printable in which values will stand: laid out once, with room for each of them.

What is the same for everybody is encoded and cut into lines before any value is known. So that these cuts
hold whatever the values are, a slot gets some room on its line: `WIDTH` octets, or what its kind of value
takes, and its part of what the line has left. A value that fits stands within the line. One that does not
begins a line, if with what follows it fits there; else it has lines of its own, between two soft breaks.
Which of these it is follows from the value alone, never from its neighbours: so a message is the same whoever
is written to beside.

Whatever stands behind a slot may come to stand at the beginning of a line, and is encoded so that it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bulkmail.message import quoted
from bulkmail.message.quoted import LINE, SOFT

WIDTH = 20  # octets: most names and towns; an empty half line costs less than a broken one
WIDEST = 70  # octets of room that a slot is given for the asking
CRLF = b"\r\n"


class Quoted(NamedTuple):
    """A slot in quoted-printable: for which value, how it is encoded, and where it stands.

    `first`: at the beginning of a line. `room`: the octets that fit where it stands; `rest`: at the beginning
    of a line, with what follows it there. `end`: of its line, if that ends right behind it. `empty`: what
    stands for no text.
    """

    value: int
    html: bool
    first: bool
    room: int
    rest: int
    end: bytes
    empty: bytes

    def around(self, size: int) -> tuple[bytes, bytes] | None:
        """What stands before and behind `size` octets; None where they take several lines."""
        if size <= self.room:
            return b"", self.end
        if size <= self.rest:
            return SOFT, self.end
        if size < LINE:
            return b"" if self.first else SOFT, self.end or SOFT
        return None

    def filled(self, text: str, within: bytes | None) -> bytes:
        """With `text`; `within` is `quoted.within` of it."""
        if not text:
            return self.empty + self.end
        around = None if within is None else self.around(len(within))
        if within is None or around is None:
            return (b"" if self.first else SOFT) + quoted.piece(text, self.end or SOFT)
        before, behind = around
        return before + within + behind


def laid_out(
    segments: Sequence[str | int], *, html: bool, width: Callable[[int], int | None]
) -> Iterator[bytes | Quoted]:
    """Octets and slots of a text, in order. `segments`: text, value, text, … text; the last ends its line.

    `html`: values are escaped. `width`: the octets that a value is known to take.
    """
    plain: list[str] = []
    for line in _lines(segments):
        if len(line) == 1:
            plain.append(str(line[0]))
            continue
        if plain:
            yield quoted.piece("\n".join(plain), CRLF)
            plain.clear()
        for physical in _cut(line, width):
            yield from _with_room(physical, html=html)
    if plain:
        yield quoted.piece("\n".join(plain), CRLF)


def _lines(segments: Sequence[str | int]) -> Iterator[list[str | int]]:
    """The lines of a text, without their ends: each is text, value, text, … text."""
    line: list[str | int] = [""]
    for segment in segments:
        if isinstance(segment, int):
            line += [segment, ""]
            continue
        first, *others = segment.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        line[-1] = f"{line[-1]}{first}"
        for other in others:
            yield line
            line = [other]


class _Slot(NamedTuple):
    value: int
    width: int


_Line = tuple[list[bytes | _Slot], bytes]  # and its end, soft or not


def _cut(line: Sequence[str | int], width: Callable[[int], int | None]) -> Iterator[_Line]:
    """A line with slots as those that it takes."""
    items: list[bytes | _Slot] = []
    used = 0
    for number, part in enumerate(line):
        if isinstance(part, int):
            slot = _Slot(part, max(1, min(width(part) or WIDTH, WIDEST)))
            if used + slot.width >= LINE:
                yield items, SOFT
                items, used = [], 0
            items.append(slot)
            used += slot.width
            continue
        ends = number == len(line) - 1
        # whatever stands behind a slot may begin a line, too
        *full, octets = quoted.cut(quoted.encoded(str(part), ends=ends), used, ends=ends)
        for each in full:
            yield [*items, each] if each else items, SOFT
            items, used = [], 0
        if octets:
            items.append(octets)
            used += len(octets)
    yield items, CRLF


def _with_room(line: _Line, *, html: bool) -> Iterator[bytes | Quoted]:
    """What is left of a line is given to its slots."""
    items, end = line
    sizes = [item.width if isinstance(item, _Slot) else len(item) for item in items]
    slots = [at for at, item in enumerate(items) if isinstance(item, _Slot)]
    whole = LINE if end == CRLF else LINE - 1
    left = whole - sum(sizes)
    for number, at in enumerate(slots):
        sizes[at] += left // len(slots) + (number < left % len(slots))
    taken = False  # the line's end is in its last slot
    for at, item in enumerate(items):
        if isinstance(item, bytes):
            yield item
            continue
        taken = at == len(items) - 1
        before, behind = items[at - 1] if at else b"", end if taken else items[at + 1]
        # without a text two spaces would stand side by side, or one at the end of a line
        open_before = isinstance(before, _Slot) or before.endswith(b" ")
        open_behind = isinstance(behind, _Slot) or behind.startswith((b" ", CRLF))
        yield Quoted(
            item.value,
            html,
            first=not at,
            room=sizes[at],
            rest=whole - sum(sizes[at + 1 :]),
            end=end if taken else b"",
            empty=SOFT if open_before and open_behind else b"",
        )
    if not taken:
        yield end
