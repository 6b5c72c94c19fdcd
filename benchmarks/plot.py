"""Ratios to the peers as a picture: `python benchmarks/plot.py results.json ratios.svg`.

Of each scenario a panel with a dot for each peer, how many times as fast we are, on a logarithmic scale, with
a line from the lowest to the highest round and a stroke where the promise is. all.py draws it, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bulkmail.bench.plot import COLOURS, Row, picture

LABELS = 400  # of 760 across: what was compared is told in words
HELD, MISSED, OPEN = COLOURS[0], COLOURS[1], COLOURS[2]


def svg(results: Mapping[str, Any]) -> str:
    """From what all.py writes; panels without a ratio to a peer are left out."""
    panels = []
    for name, one in results["scenarios"].items():
        rows = list(_rows(one.get("promises", ())))
        if rows:
            panels.append((name, rows))
    about = results["machine"]
    told = [about["cpu"], f"{about['cores'].partition(' ')[0]} cores", about["date"]]
    if any(one.get("quick") for one in results["scenarios"].values()):
        told.append("tiny runs, which say nothing")
    subtitle = " · ".join(told)
    return picture(panels, "bulkmail ÷ peers, times as fast", subtitle, left=LABELS)


def _rows(promises: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for one in promises:
        reached = one.get("reached")
        if "over" not in one or not reached or reached["low"] <= 0:
            continue
        label = one["what"].partition(", ")[2] or one["what"]
        colour = {True: HELD, False: MISSED, None: OPEN}[one["holds"]]
        low, at, high = reached["low"], reached["median"], reached["high"]
        yield Row(label, low, at, high, f"{at:.3g}×", colour, one.get("at_least"))


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(svg(json.loads(source.read_text("utf-8"))), "utf-8")
