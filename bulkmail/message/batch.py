"""What templates may read, for some people at once: by column while everybody has a text, else row by row.

What is done to a column costs a step for all of them, and not one for each. So whatever is made of values is
made by a function of columns, which proves of all values together that none needs care. Where that fails, the
careful function decides about each of them, or about those that look odd; it alone says what is right, and a
property test holds that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

Row = Mapping[str, object]


class Batch:
    """`wires`: the recipients' addresses as they stand in a path. `tokens`: theirs, or empty texts."""

    __slots__ = ("_columns", "_made", "_rows", "_static", "tokens", "wires")

    def __init__(
        self,
        wires: Sequence[bytes],
        tokens: Sequence[str],
        columns: Mapping[str, Sequence[str]],
        static: Mapping[str, object],
        rows: Callable[[], Sequence[Row]],
    ) -> None:
        """`columns`: those in which nobody lacks a text. `rows`: makes everything for each, static or not."""
        self.wires, self.tokens = wires, tokens
        self._columns, self._static, self._rows = columns, static, rows
        self._made: Sequence[Row] | None = None

    @classmethod
    def of_one(cls, row: Row, wire: bytes) -> Batch:
        return cls([wire], [""], {}, {}, lambda: [row])

    def __len__(self) -> int:
        return len(self.wires)

    def column(self, name: str) -> Sequence[str] | None:
        """The texts of all under this name; None where they must be looked at row by row."""
        column = self._columns.get(name)
        if column is None and type(value := self._static.get(name)) is str:
            return [value] * len(self.wires)
        return column

    def cells(self, names: Sequence[str]) -> Iterable[list[object]]:
        """What each has under these names; None for what somebody lacks."""
        columns = [self.column(name) for name in names]
        found = [column for column in columns if column is not None]
        if len(found) < len(columns):
            return [[row.get(name) for name in names] for row in self.rows]
        return map(list, zip(*found, strict=True)) if found else [[] for _ in self.wires]

    @property
    def rows(self) -> Sequence[Row]:
        if self._made is None:
            self._made = self._rows()
        return self._made
