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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, repeat
from typing import NamedTuple, TypeVar, overload

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal.files import rows

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


class Recipient(NamedTuple):
    """One recipient, loaded for delivery. `since` is the time of the first attempt, None before it."""

    id: int
    address: str
    row: str  # as it is stored
    shapes: Shapes
    attempts: int = 0
    since: float | None = None

    @property
    def fields(self) -> dict[str, str]:
        """Read each time that it is asked for. Raises StoreError."""
        return parse_row(self.row, self.address, self.shapes)


def by_column(people: Sequence[object]) -> dict[str, list[str]] | None:
    """The fields of `people` by their names; None unless all are a `Recipient` and have the same shape."""
    rows = [one.row for one in people if type(one) is Recipient]
    if len(rows) < len(people) or not rows:
        return None
    first = people[0]
    assert isinstance(first, Recipient)
    shape = rows[0].partition(SEPARATOR)[0]
    names = first.shapes.get(shape)
    if names is None or {*map(str.count, rows, repeat(SEPARATOR))} != {len(names)}:
        return None
    cells = SEPARATOR.join(rows).split(SEPARATOR)
    step = len(names) + 1
    if {*cells[::step]} != {shape}:
        return None
    return {name: cells[at::step] for at, name in enumerate(names, 1) if name}


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

    def several(self, at: Sequence[int]) -> Iterator[Recipient]:
        ids = _picked(self.ids, at)
        attempts: Iterable[int] = repeat(0)
        since: Iterable[float | None] = repeat(None)
        if self.tried:
            before = [self.tried.get(number, (0, None)) for number in ids]
            attempts, since = [one[0] for one in before], [one[1] for one in before]
        addresses, rows = _picked(self.addresses, at), self._rows_of(at)
        cells = zip(ids, addresses, rows, repeat(self.shapes), attempts, since, strict=False)
        return map(Recipient._make, cells)

    def _rows_of(self, at: Sequence[int]) -> Sequence[str]:
        """Of who shares a letter only one is looked at: the rows of the other blocks stay as they are."""
        if self._rows is not None:
            return _picked(self._rows, at)
        if not isinstance(at, range) or at.step != 1:
            return [row for one in at for row in self._rows_of(range(one, one + 1))]
        rows: list[str] = []
        part = bisect_right(self._begins, at.start) - 1
        while len(rows) < len(at):
            block, begin, end = self._parts[part]
            start = begin + at.start + len(rows) - self._begins[part]
            rows += block.rows[start : min(end, start + len(at) - len(rows))]
            part += 1
        return rows


def _cut(parts: Sequence[tuple[list[str], int, int]]) -> list[str]:
    if len(parts) == 1:
        [(texts, begin, end)] = parts
        return texts[begin:end]
    return [text for texts, begin, end in parts for text in texts[begin:end]]


class Roll(Sequence[Recipient]):
    """Recipients in the order of their ids, which ascend. A slice of it is a view and costs nothing.

    A row is read where the fields of a Recipient are asked for.
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
        at = self._at[index]
        return next(self._people.several(range(at, at + 1)))

    def __iter__(self) -> Iterator[Recipient]:
        return self._people.several(self._at)

    def __repr__(self) -> str:
        return f"<Roll of {len(self)}: {list(self.addresses[:3])}>"


def _picked(values: Sequence[T], at: Sequence[int]) -> Sequence[T]:
    if isinstance(at, range):
        return values[at.start : at.stop : at.step] if at else values[:0]
    return [values[i] for i in at]
