"""What one session has taken and not tried yet: recipients of one or more parcels, in the order they go.

A site may serve a hundred thousand domains with a handful of recipients each. A transaction is of one domain,
but what is in flight on a connection, and what is rendered at once, need not be. Bookkeeping only, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bulkmail.delivery.work import Letter, Parcel, Recipient, Roll


class Errand(NamedTuple):
    """Recipients of one parcel."""

    parcel: Parcel
    roll: Roll


class Part(NamedTuple):
    """Those who get one letter in one transaction, or the reason why one of them has none."""

    parcel: Parcel
    roll: Roll
    letter: Letter | str


class Errands:
    """A queue of them. The first are the next."""

    def __init__(self, errands: Iterable[Errand] = ()) -> None:
        # few, at each of a thousand sessions: a deque would begin with room for sixty-four
        self._queue: list[Errand] = []
        self.add(errands)

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def first(self) -> Errand:
        return self._queue[0]

    def add(self, errands: Iterable[Errand]) -> None:
        """They go last, in this order."""
        self._queue += [errand for errand in errands if len(errand.roll)]

    def put_back(self, errands: Sequence[Errand]) -> None:
        """They go next, in this order."""
        self._queue[:0] = [errand for errand in errands if len(errand.roll)]

    def rest(self) -> list[Errand]:
        """Take out all that is left."""
        rest, self._queue = self._queue, []
        return rest

    def short_of(self, count: int, most: int) -> bool:
        """There are fewer than `count` transactions, of at most `most` recipients each."""
        for parcel, roll in self._queue:
            count -= -(-len(roll) // most) if parcel.shared else len(roll)
            if count <= 0:
                return False
        return True

    def sizes(self, count: int, most: int) -> list[int]:
        """Recipients of each of the next `count` transactions, of at most `most`."""
        sizes: list[int] = []
        for parcel, roll in self._queue:
            left = len(roll)
            while left and len(sizes) < count:
                sizes.append(min(left, most) if parcel.shared else 1)
                left -= sizes[-1]
        return sizes

    def wanted(self, count: int, most: int) -> list[int]:
        """Ids of those whose letters the next `count` transactions need, of at most `most` recipients each.

        Who shares a letter is represented by the first of them.
        """
        ids: list[int] = []
        for parcel, roll in self._queue:
            if count <= 0:
                break
            if parcel.shared:
                ids.append(roll.ids[0])
                count -= -(-len(roll) // most)
            else:
                ids += roll.ids[:count]
                count -= len(roll)
        return ids

    def upcoming(self, most: int) -> list[Recipient]:
        """Whose letters will be needed next, at most so many."""
        people: list[Recipient] = []
        for parcel, roll in self._queue:
            if len(people) >= most:
                break
            people += roll[:1] if parcel.shared else roll[: most - len(people)]
        return people

    def pop(self, most: int) -> Errand:
        """Take out the first `most` recipients of the first parcel."""
        parcel, roll = self._queue[0]
        self._drop(most)
        return Errand(parcel, roll[:most])

    def cut(
        self, letters: Sequence[Letter | str], count: int, most: int, room: int, at_least: int = 1
    ) -> list[Part]:
        """Take out at most `count` transactions, `letters` being the first of those that were `wanted`.

        `room`: octets of content for all of them together, but for the first `at_least` of them.
        """
        parts: list[Part] = []
        given = iter(letters)
        going_on = True
        while going_on and len(parts) < count and self._queue:
            parcel, roll = self._queue[0]
            done, size = 0, 1
            letter: Letter | str | None = None
            while done < len(roll) and len(parts) < count:
                if size == 1 and (letter := next(given, None)) is None:
                    break
                assert letter is not None
                if isinstance(letter, Letter):
                    room -= letter.size
                    if len(parts) >= at_least and room < 0:
                        break
                    if parcel.shared and not letter.alone:
                        size = most
                parts.append(Part(parcel, roll[done : done + size], letter))
                done += size
                if parcel.shared and size == 1:
                    break  # the next of them has a letter of his own, which is not among these
            going_on = done >= len(roll)
            self._drop(done)
        return parts

    def _drop(self, count: int) -> None:
        """The first `count` of the first parcel."""
        parcel, roll = self._queue[0]
        self._queue[:1] = [Errand(parcel, roll[count:])] if count < len(roll) else []
