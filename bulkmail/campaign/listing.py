"""What a list is: where its rows come from, what we call its columns, and what a read row looks like.

Plain values, so that the readers (`csv_source`, `json_source`, `duckdb_source`) and the plan depend on
nothing else. Cells are text and stay the text they were (`9.90`, `007`, `1e5`). Every row keeps the number
of the physical line on which it starts, because that is what an editor shows to whoever has to repair it.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bulkmail.errors import ConfigError, Problem

EMAIL = "email"  # our field that holds the address
_FEW = 50  # of so many items, one is moved to its new place many at a time
T = TypeVar("T")
BATCH = 1000  # rows handed on together: enough to hide the cost of a call, too few to be felt in memory


@dataclass(frozen=True, slots=True)
class SqlSource:
    """Rows from a database. `dsn` is a secret: it is never shown."""

    sql: str
    dsn: str = field(repr=False)


Shape = Callable[[Sequence[str]], str]  # the number of the shape with these columns

Source = str | Path | SqlSource  # a path, a glob, "-" for standard input, or a query


def _in_the_campaign(key: str, text: str) -> Problem:
    return Problem("campaign.yaml", 0, 0, key, text)


@dataclass(frozen=True, slots=True)
class ListSpec:
    """Everything the campaign file says about its recipients (INTERFACE.md, `recipients`).

    Relative paths are relative to `base`. `locate(key, text)` makes a complaint about a setting.
    `limit`: reading stops once so many rows have a valid address and pass `where`; what stands behind them
    is not read and not counted.
    """

    source: Sequence[Source]
    base: Path = Path()
    columns: Mapping[str, str] = field(default_factory=dict)  # our field -> the list's column
    where: str | None = None
    dedupe: str = "address"  # address | none
    exclude: Sequence[Source] = ()
    seeds: Sequence[str] = ()
    limit: int | None = None
    first: str | None = None  # our field: who has the most in it comes first in his domain
    locate: Callable[[str, str], Problem] = _in_the_campaign
    address_only: bool = False  # only addresses are wanted (exclusions): other ways of naming them will do

    def problem(self, key: str, text: str) -> ConfigError:
        """The error to raise about the setting `recipients.<key>`."""
        return ConfigError(self.locate(f"recipients.{key}", text))

    def shown(self, path: Path) -> str:
        """A path as people are shown it: short where it lies beside the campaign."""
        try:
            return str(path.relative_to(self.base))
        except ValueError:
            return str(path)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read. `address` is what stands in its address cell, as far as that is known."""

    line: int
    address: str
    reason: str


Row = tuple[int, dict[str, str]]  # line, our field -> cell; a field that the row lacks is absent


@dataclass(slots=True)
class Plain:
    """Rows without anything unusual in their text, by column: as many cells as the header and no quotes.

    `texts` are the rows as they are stored, cells behind the number of their shape (`journal.roll`).
    """

    lines: list[int]
    texts: list[str]
    columns: dict[str, list[str]]  # our field -> cells
    characters: int  # in the texts together, by estimate

    def row(self, place: int) -> dict[str, str]:
        return {name: cells[place] for name, cells in self.columns.items()}

    def drop(self, places: Sequence[int], more: list[str] | None = None) -> None:
        """Forget the rows at `places`, which ascend; and the items of one more column there."""
        columns: list[list[str]] = [self.texts, *self.columns.values(), *([] if more is None else [more])]
        self.characters -= self.characters * len(places) // len(self.lines)
        drop_places(self.lines, places)
        for column in columns:
            drop_places(column, places)


def drop_places(column: list[T], places: Sequence[int]) -> None:
    """Delete what is at `places`, which ascend."""
    if len(places) * _FEW < len(column):
        for place in reversed(places):
            del column[place]
    else:
        gone = set(places)
        column[:] = [item for place, item in enumerate(column) if place not in gone]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one file, in its order. `names`: other names of our fields, the list's own.

    `plain` are more rows, which stand among the others, for readers that were asked for them by column.
    """

    file: str
    rows: list[Row]
    bad: list[BadRow]
    fields: tuple[str, ...]
    names: Mapping[str, str]  # the column's own name -> our field, where they differ
    plain: Plain | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What each cell of a row is called by us; "" for a cell that is not kept."""

    fields: tuple[str, ...]
    names: Mapping[str, str]


def resolve_header(spec: ListSpec, file: str, line: int, header: Sequence[str]) -> Header:
    """Our field names for a list's columns; ConfigError, naming the columns there are, if one is missing.

    A column is found by its exact name, else regardless of case and outer white space. Where a mapped field
    and an unmapped column have the same name, the mapping wins and that column is not kept.
    """
    own = [cell.strip("\ufeff").strip() for cell in header]
    wanted = {EMAIL: EMAIL, **spec.columns}
    problems: list[Problem] = []
    at: dict[int, str] = {}
    for name, column in wanted.items():
        found = _find(own, column) or (_only_addresses(own) if spec.address_only else [])
        if len(found) == 1:
            at[found[0]] = name
        elif found:
            problems.append(Problem(file, line, 0, "", f"the column {column!r} is there {len(found)} times"))
        else:
            problems.append(Problem(file, line, 0, "", _missing(name, column, own)))
    times = Counter(own)
    twice = sorted({name for i, name in enumerate(own) if name and i not in at and times[name] > 1})
    problems += [Problem(file, line, 0, "", f"the column {name!r} is there more than once") for name in twice]
    if problems:
        raise ConfigError(problems)
    taken = set(at.values())
    fields = tuple(at.get(i, "" if name in taken else name) for i, name in enumerate(own))
    names = {name: kept for name, kept in zip(own, fields, strict=True) if kept and kept != name}
    return Header(fields, names)


def _find(own: Sequence[str], column: str) -> list[int]:
    exact = [i for i, name in enumerate(own) if name == column]
    return exact or [i for i, name in enumerate(own) if name.casefold() == column.strip().casefold()]


def _only_addresses(own: Sequence[str]) -> list[int]:
    named = [i for i, name in enumerate(own) if name]
    # a first line with an address is somebody to be excluded, and not the name of a column
    return _find(own, EMAIL) or (named if len(named) == 1 and "@" not in own[named[0]] else [])


def _missing(name: str, column: str, own: Sequence[str]) -> str:
    there = ", ".join(repr(name) for name in own[:30] if name) or "none"
    text = f"no column {column!r}"
    near = difflib.get_close_matches(column, own, n=1)
    if near:
        text += f", did you mean {near[0]!r}?"
    text += f" The columns there are: {there}" if near else f"; the columns there are: {there}"
    if name == EMAIL and column == EMAIL:
        text += ". Name the one with the addresses: columns: { email: … }"
    if any("@" in one for one in own):
        text += ". If that is somebody already, the first line is missing: it has the names of the columns"
    return text


def text_problem(cells: Iterable[str]) -> str | None:
    """Why these cells are not text: octets that are not UTF-8, which the readers keep as lone surrogates."""
    joined = "".join(cells)
    if joined.isascii():
        return None
    try:
        joined.encode()
    except UnicodeEncodeError as error:
        code = ord(joined[error.start])
        octet = f" (octet 0x{code - 0xDC00:02X})" if 0xDC80 <= code <= 0xDCFF else ""
        return f"not UTF-8 text{octet}: save the list as UTF-8"
    return None
