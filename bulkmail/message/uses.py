"""What stands in the slots of a value, for a column of values at once.

A value is encoded once for all of its slots, and those that come again and again are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from markupsafe import escape

from bulkmail.message import quoted
from bulkmail.message.slots import Quoted

REMEMBERED = 500  # values of a slot: towns and first names come again and again


class Uses:
    """A value and its slots, in which it may be escaped or not, and may have room or not."""

    def __init__(self, slots: Sequence[Quoted], *, unique: bool) -> None:
        """`unique`: it never comes again."""
        self.value = slots[0].value
        self._slots = slots
        self._room = min(slot.room for slot in slots)
        self._ends = {slot.end for slot in slots}
        self._known: dict[str, Sequence[bytes]] | None = None if unique else {}

    def columns(self, texts: Sequence[str]) -> Iterable[Sequence[bytes]]:
        """For each slot what stands in it, for each of the texts."""
        known = self._known
        if known is None:
            return self._filled(texts)
        try:
            return zip(*[known[text] for text in texts], strict=True)
        except KeyError:
            return zip(*self._learned(texts, known), strict=True)

    def _learned(self, texts: Sequence[str], known: dict[str, Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
        """Other threads learn meanwhile, so nothing is ever taken out of what is known: it is replaced."""
        new = [text for text in {*texts} if text not in known]
        made: dict[str, Sequence[bytes]] = dict(zip(new, zip(*self._filled(new), strict=True), strict=True))
        found = {text: known.get(text) or made[text] for text in texts}
        kept = {text: octets for text, octets in made.items() if len(text) <= quoted.LINE}
        if len(known) + len(kept) > REMEMBERED:
            self._known = kept
        else:
            known |= kept
        return map(found.__getitem__, texts)

    def _filled(self, texts: Sequence[str]) -> Iterable[Sequence[bytes]]:
        simple = quoted.column(texts)
        if simple is None:
            return zip(*map(self._each, texts), strict=True)
        sizes = [*map(len, texts)] or [0]
        shortest, longest = min(sizes), max(sizes)
        if longest <= self._room:
            by_end = {end: quoted.around(simple, b"", end) for end in self._ends}
            return [by_end[slot.end] for slot in self._slots]
        return [self._column(slot, texts, simple, shortest, longest) for slot in self._slots]

    @staticmethod
    def _column(
        slot: Quoted, texts: Sequence[str], simple: bytes, shortest: int, longest: int
    ) -> Sequence[bytes]:
        around = slot.around(shortest)
        if around is not None and around == slot.around(longest):
            return quoted.around(simple, *around)
        return [slot.filled(text, text.encode("ascii")) for text in texts]

    def _each(self, text: str) -> list[bytes]:
        """What stands in each slot."""
        plain = quoted.within(text)
        escaped = str(escape(text))
        if escaped == text:
            return [slot.filled(text, plain) for slot in self._slots]
        both = (text, plain), (escaped, quoted.within(escaped))
        return [slot.filled(*both[slot.html]) for slot in self._slots]
