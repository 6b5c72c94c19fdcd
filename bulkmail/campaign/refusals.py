"""Rows that nothing can be sent by: whose message cannot be written, or who is excluded by a row that cannot
be read. They are gathered for one clear error.

A typing mistake in a template concerns every row, so equal complaints are told a few times and then counted,
and a field that is no column of the list is met with the columns there are.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from bulkmail.errors import ConfigError, Problem

TOLD = 50  # rows named in all: enough to see the pattern
ALIKE = 3  # rows named for one and the same complaint
KINDS = 200  # different complaints that are counted apart
Order = tuple[int, int]  # file, line
_FIELD = re.compile(r"'(\w+)' is missing")


class Refusals:
    """`add` them in any order, `finish` when the list is read. `what`: what all of them have in common."""

    def __init__(self, what: str = "rows that cannot be rendered") -> None:
        self._what = what
        self.count = 0
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[tuple[Order, Problem]]] = {}

    def add(self, order: Order, file: str, line: int, reason: str, columns: Sequence[str] = ()) -> None:
        """The row at `order` of the source, which has these columns, is one of them."""
        self.count += 1
        kind = reason if reason in self._first or len(self._first) < KINDS else ""
        self._counts[kind] += 1
        rows = self._first.setdefault(kind, [])
        if len(rows) < ALIKE or order < rows[-1][0]:
            rows.append((order, Problem(file, line, 0, "", reason + _hint(reason, columns))))
            rows.sort(key=itemgetter(0))
            del rows[ALIKE:]

    def finish(self) -> None:
        """Raise ConfigError with what is in the way of the message, in source order, if anything is."""
        if not self.count:
            return
        told = sorted((row for rows in self._first.values() for row in rows), key=itemgetter(0))[:TOLD]
        problems = [problem for _, problem in told]
        if more := self.count - len(problems):
            problems.append(Problem(problems[-1].file, 0, 0, "", f"and {more:,} more {self._what}"))
        raise ConfigError(problems)


def _hint(reason: str, columns: Sequence[str]) -> str:
    """What the row does have, where the template asks for what is no column of it."""
    match = _FIELD.search(reason)
    if match is None or match[1] in columns:
        return ""
    near = difflib.get_close_matches(match[1], columns, n=1)
    told = f", did you mean '{near[0]}'?" if near else ";"
    return f"{told} the columns are {', '.join(columns[:20])}"
