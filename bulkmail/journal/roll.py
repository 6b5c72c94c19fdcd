"""Recipients as they are stored: blocks of neighbours, of which nothing is parsed until it is looked at.

A row of the table `roll` holds up to 256 recipients: their addresses as one text and their rows of the list
as another, a line each. To the store a block costs hardly more than one recipient would, and a transaction
that a hundred of them share needs their addresses and one of their rows. Which block somebody is in is said
by the id, so there is nothing to search.

The row of a list is kept in one of two ways, told apart by how it begins. Most are the cells of the file as
they were, behind the number of their *shape*, which is the names of their columns, with U+001F in between.
The number of a shape alone is a row that has but the address, which stands beside it. What would not survive
that (a newline or a U+001F in a cell, a row of its own shape) is a JSON object.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar, overload

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal.files import rows
from bulkmail.journal.records import Recipient

BITS = 8
PER_BLOCK = 1 << BITS
SEPARATOR = "\x1f"  # between the cells of a row
_KEPT = 16  # blocks of a store that stay split: parcels that are worked off together lie apart

ONE_BLOCK = "SELECT addresses, rows FROM roll WHERE number = ?"
T = TypeVar("T")
Shapes = Mapping[str, tuple[str, ...]]  # number -> names; "" for a cell that is not kept


def parse_row(row: str, address: str, shapes: Shapes) -> dict[str, str]:
    """The fields of a stored row, which is that of `address`. Raises StoreError for what no plan wrote."""
    try:
        if row.startswith("{"):
            found: dict[str, str] = json.loads(row)
            return found
        shape, *cells = row.split(SEPARATOR)
        names = shapes[shape]
        fields = dict(zip(names, cells or (address,), strict=True))
    except (ValueError, KeyError) as error:
        raise StoreError(f"a row of the plan cannot be read: {error!r}") from error
    if len(fields) < len(names) or "" in fields:
        fields.pop("", None)
    return fields


class Block:
    """Up to 256 recipients. `rows` are split when they are first asked for. Raises StoreError if damaged."""

    __slots__ = ("_rows", "_text", "addresses", "first")

    def __init__(self, number: int, addresses: str, text: str) -> None:
        self.first = max(1, number << BITS)
        self.addresses = addresses.split("\n")
        self._text = text
        self._rows: list[str] | None = None
        if text.count("\n") != len(self.addresses) - 1:  # nobody must get what is meant for a neighbour
            raise StoreError(
                f"block {number} of the plan is damaged: it has {len(self.addresses)} addresses and "
                f"{text.count(chr(10)) + 1} rows"
            )

    @property
    def rows(self) -> list[str]:
        if self._rows is None:
            self._rows, self._text = self._text.split("\n"), ""
        return self._rows


class Blocks:
    """The blocks of one connection, the last few of them at hand. Used under the lock of its store."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Block] = OrderedDict()
        self._shapes: Shapes | None = None

    def clear(self) -> None:
        """What is in the file will be another plan."""
        self._known.clear()
        self._shapes = None

    def shapes(self, db: apsw.Connection) -> Shapes:
        if self._shapes is None:
            found = rows(db, "SELECT id, columns FROM shape")
            self._shapes = {str(number): tuple(json.loads(columns)) for number, columns in found}
        return self._shapes

    def within(self, db: apsw.Connection, first: int, last: int) -> Iterator[tuple[Block, int, int]]:
        """The blocks that hold `first`..`last`, each with the slice of it that does."""
        for number in range(first >> BITS, (last >> BITS) + 1):
            block = self._block(db, number)
            if block is None:
                return
            begin, end = max(0, first - block.first), min(len(block.addresses), last + 1 - block.first)
            if begin < end:
                yield block, begin, end

    def _block(self, db: apsw.Connection, number: int) -> Block | None:
        known = self._known.get(number)
        if known is not None:
            self._known.move_to_end(number)
            return known
        for addresses, text in rows(db, ONE_BLOCK, (number,)):
            self._known[number] = known = Block(number, addresses, text)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known


class _People:
    """What one `fetch` found, under all of the rolls that are cut from it."""

    __slots__ = ("_begins", "_parts", "_rows", "addresses", "ids", "shapes", "tried")

    def __init__(
        self,
        ids: Sequence[int],
        parts: Sequence[tuple[Block, int, int]],
        tried: Mapping[int, tuple[int, float]],
        shapes: Shapes,
    ) -> None:
        self.ids = ids
        self.addresses = _cut([(block.addresses, i, j) for block, i, j in parts])
        self.tried = tried
        self.shapes = shapes
        self._parts = parts
        self._rows: list[str] | None = None
        self._begins = [0, *accumulate(j - i for _, i, j in parts)]  # where each of them does, in the whole

    def cut_out(self) -> list[str]:
        """The rows, from now on without the blocks that hold them."""
        if self._rows is None:
            self._rows = _cut([(block.rows, i, j) for block, i, j in self._parts])
            self._parts = ()
        return self._rows

    def one(self, at: int) -> Recipient:
        if self._rows is not None:
            row = self._rows[at]
        else:
            # of who shares a letter only one is looked at: the rows of the other blocks stay as they are
            part = bisect_right(self._begins, at) - 1
            block, begin, _ = self._parts[part]
            row = block.rows[begin + at - self._begins[part]]
        number = self.ids[at]
        address = self.addresses[at]
        fields = parse_row(row, address, self.shapes)
        attempts, since = self.tried.get(number, (0, None))
        return Recipient(number, address, fields, attempts, since)


def _cut(parts: Sequence[tuple[list[str], int, int]]) -> list[str]:
    if len(parts) == 1:
        [(texts, begin, end)] = parts
        return texts[begin:end]
    return [text for texts, begin, end in parts for text in texts[begin:end]]


class Roll(Sequence[Recipient]):
    """Recipients in the order of their ids, which ascend. A slice of it is a view and costs nothing.

    Looking at a Recipient may raise StoreError: its row is read only then.
    """

    __slots__ = ("_at", "_people")

    def __init__(self, people: _People, at: Sequence[int]) -> None:
        self._people = people
        self._at = at

    @classmethod
    def of(
        cls,
        ids: Sequence[int],
        parts: Sequence[tuple[Block, int, int]],
        tried: Mapping[int, tuple[int, float]],
        shapes: Shapes,
    ) -> Roll:
        """`ids` are those of `parts`; `tried`: id -> (attempts, time of the first)."""
        return cls(_People(ids, parts, tried, shapes), range(len(ids)))

    @property
    def ids(self) -> Sequence[int]:
        """A range where they are contiguous."""
        return _picked(self._people.ids, self._at)

    @property
    def addresses(self) -> Sequence[str]:
        """As the plan wrote them: canonical."""
        return _picked(self._people.addresses, self._at)

    @property
    def tried(self) -> bool:
        """Whether some of them were tried before: then Recipient.attempts and .since speak of it."""
        tried = self._people.tried
        return bool(tried) and not tried.keys().isdisjoint(self.ids)

    def alone(self) -> int:
        """Let go of the blocks it was cut from, most of which is others'; how many characters its rows have.

        For what `fetch` has just returned.
        """
        return sum(map(len, self._people.cut_out()))

    def pick(self, positions: Sequence[int]) -> Roll:
        """Those at `positions`, which ascend."""
        return Roll(self._people, [self._at[position] for position in positions])

    def __len__(self) -> int:
        return len(self._at)

    @overload
    def __getitem__(self, index: int, /) -> Recipient: ...
    @overload
    def __getitem__(self, index: slice, /) -> Roll: ...
    def __getitem__(self, index: int | slice, /) -> Recipient | Roll:
        if isinstance(index, slice):
            return Roll(self._people, self._at[index])
        return self._people.one(self._at[index])

    def __iter__(self) -> Iterator[Recipient]:
        return map(self._people.one, self._at)

    def __repr__(self) -> str:
        return f"<Roll of {len(self)}: {list(self.addresses[:3])}>"


def _picked(values: Sequence[T], at: Sequence[int]) -> Sequence[T]:
    if isinstance(at, range):
        return values[at.start : at.stop : at.step] if at else values[:0]
    return [values[i] for i in at]
