"""Who of a domain is sent to first: those with the most in a column of the list (`shaping.warmup.first`).

A column has numbers, or dates; whoever has neither there comes last. Of a list that fits into memory each
domain is sorted. People of domains that do not are first divided at the values that a sample of them has, the
best to the first part, until a part fits and is sorted as a whole.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from bulkmail.campaign.candidates import Candidates
from bulkmail.campaign.partition import Hot, Share, Split
from bulkmail.journal.roll import SEPARATOR, Shapes

SAMPLE = 4_000  # people whose values say where to divide
LEAST = -math.inf  # what is neither a number nor a date


def worth(cell: str) -> float:
    """More is better: a number as it is, a date or time as seconds."""
    try:
        found = float(cell)
    except ValueError:
        try:
            found = datetime.fromisoformat(cell.strip()).replace(tzinfo=UTC).timestamp()
        except (ValueError, OverflowError):
            return LEAST
    return LEAST if math.isnan(found) else found


class Ranking:
    """By one of our fields. `shapes` are those of the plan, as far as it has been read."""

    def __init__(self, field: str, shapes: Shapes) -> None:
        self.field = field
        self._shapes = shapes

    def of(self, row: str) -> float:
        """That of a row as it is stored."""
        if row.startswith("{"):
            return worth(str(json.loads(row).get(self.field, "")))
        shape, *cells = row.split(SEPARATOR)
        names = self._shapes[shape]
        return worth(cells[names.index(self.field)]) if cells and self.field in names else LEAST

    def order(self, places: Sequence[int], rows: Sequence[str]) -> list[int]:
        """The places, the best first; equals stay in the order of the list."""
        return sorted(places, key=lambda place: -self.of(rows[place]))

    def divided(self, bounds: Sequence[float] = ()) -> Split:
        """Into parts by what they are worth. `bounds`: values of a sample, sorted; else the first to come."""
        found = list(bounds)

        def split(held: Candidates, hot: Hot, shift: int, parts: list[Share]) -> None:
            values = self._values(held, len(held))
            if not found:
                found.extend(sorted(values[:: -(-len(values) // SAMPLE)]))
            at = [found[number * len(found) // len(parts)] for number in range(1, len(parts))]
            for place, value in enumerate(values):
                parts[bisect_left(at, value)].rest.append(place)

        return split

    def among(self, blocks: Iterable[Candidates], count: int) -> Split | None:
        """To divide those of a part further, which has so many blocks; None where all are worth the same."""
        few = -(-SAMPLE // count)
        bounds = sorted(value for block in blocks for value in self._values(block, few))
        return None if bounds[0] == bounds[-1] else self.divided(bounds)

    def _values(self, held: Candidates, most: int) -> list[float]:
        """Of about so many of them; the best are the least."""
        return [-self.of(row) for row in held.texts[:: max(1, len(held) // most)]]
