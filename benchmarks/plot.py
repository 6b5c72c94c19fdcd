"""Ratios to the peers as a picture: `python benchmarks/plot.py results.json ratios.svg`.

For each thing that was measured a group of bars, one for each peer: how many times as fast we are, on one
logarithmic scale for all. A thin line goes from the lowest to the highest round, a stroke stands where the
promise is. The card has a background of its own, so that it can be read on a light page and on a dark one.
all.py draws it, too.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

COLUMN, COLUMNS, MARGIN = 460, 2, 20  # across
LABELS, VALUES = 128, 58  # of a column: what stands before its bars, and behind them
HEAD, TITLE, ROW, GAP = 84, 24, 18, 12  # down
CARD, INK, FAINT, GRID = "#fbfcfa", "#1d2923", "#5c6a62", "#dbe1dc"
HELD, MISSED, OPEN = "#2c7a4b", "#c8622a", "#8b9a92"
LEGEND = ((HELD, "promised and held"), (MISSED, "promised and missed"), (OPEN, "nothing was promised"))
FIRST = ("shared", "personal", "signed", "latency", "longtail", "list", "resume", "foreign")
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Bar(NamedTuple):
    label: str
    low: float
    at: float
    high: float
    colour: str
    promised: float | None


def svg(results: Mapping[str, Any]) -> str:
    """From what all.py writes. What has no ratio to a peer is left out."""
    scenarios = results["scenarios"]
    groups: dict[str, list[Bar]] = {}
    for name in sorted(scenarios, key=place):
        for title, bar in bars(scenarios[name].get("promises", ())):
            groups.setdefault(title, []).append(bar)
    columns = packed(groups)
    height = HEAD + max((down(column) for column in columns), default=0) + 28
    width = 2 * MARGIN + COLUMNS * COLUMN
    every = [bar for listed in groups.values() for bar in listed]
    scale = Scale(every)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="{CARD}"/>',
        f'<text x="{MARGIN}" y="30" font-size="17" font-weight="bold">'
        "bulkmail ÷ peer: how many times as fast</text>",
        f'<text x="{MARGIN}" y="48" font-size="11" fill="{FAINT}">{escape(subtitle(results))}</text>',
        *legend(),
    ]
    for number, column in enumerate(columns):
        parts += drawn(column, MARGIN + number * COLUMN, height - 28, scale)
    return "\n".join([*parts, "</svg>\n"])


def place(scenario: str) -> int:
    """What people ask for first stands first, whatever was measured first."""
    return FIRST.index(scenario) if scenario in FIRST else len(FIRST)


def bars(promises: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Bar]]:
    """Each with the title of its group; the label is the peer where that is what differs in it."""
    for one in promises:
        reached = one.get("reached")
        if "over" not in one or not reached or reached["low"] <= 0:
            continue
        title, _, label = one["what"].rpartition(": ")
        label = one["over"] if label.startswith(one["over"]) else label
        colour = {True: HELD, False: MISSED, None: OPEN}[one["holds"]]
        spread = (reached["low"], reached["median"], reached["high"])
        yield title, Bar(label, *spread, colour, one.get("at_least"))


def packed(groups: Mapping[str, list[Bar]]) -> list[list[tuple[str, list[Bar]]]]:
    """In columns of about the same length, in their order."""
    columns: list[list[tuple[str, list[Bar]]]] = [[]]
    rest = down(list(groups.items()))
    for group in groups.items():
        here = down([group])
        goal = (rest + down(columns[-1])) / (COLUMNS - len(columns) + 1)
        if columns[-1] and len(columns) < COLUMNS and down(columns[-1]) + here / 2 > goal:
            columns.append([])
        columns[-1].append(group)
        rest -= here
    return columns


def down(column: Sequence[tuple[str, list[Bar]]]) -> int:
    return sum(TITLE + len(listed) * ROW + GAP for _, listed in column)


class Scale:
    """From a ratio to where it is, in pixels from the beginning of the bars."""

    def __init__(self, every: Sequence[Bar]) -> None:
        values = [value for bar in every for value in (bar.low, bar.high, bar.promised or 1)] or [1]
        self.first = max((tick for tick in TICKS if tick <= min(values)), default=TICKS[0])
        self.last = min((tick for tick in TICKS if tick > max(values)), default=TICKS[-1])
        self.across = COLUMN - LABELS - VALUES

    def __call__(self, value: float) -> float:
        value = min(max(value, self.first), self.last)
        return self.across * math.log(value / self.first) / math.log(self.last / self.first)

    def ticks(self) -> Iterator[float]:
        return (tick for tick in TICKS if self.first <= tick <= self.last)


def drawn(column: Sequence[tuple[str, list[Bar]]], left: float, bottom: float, scale: Scale) -> Iterator[str]:
    start, y = left + LABELS, float(HEAD)
    for tick in scale.ticks():
        x = f"{start + scale(tick):.1f}"
        colour = FAINT if tick == 1 else GRID
        yield f'<line x1="{x}" x2="{x}" y1="{y}" y2="{bottom}" stroke="{colour}"/>'
        yield (
            f'<text x="{x}" y="{bottom + 14}" font-size="10" text-anchor="middle" '
            f'fill="{FAINT}">{tick:g}×</text>'
        )
    for title, listed in column:
        yield (
            f'<text x="{left}" y="{y + 15}" font-weight="bold" paint-order="stroke" stroke="{CARD}" '
            f'stroke-width="4">{escape(title)}</text>'
        )
        y += TITLE
        for bar in listed:
            yield from one_bar(bar, left, start, y, scale)
            y += ROW
        y += GAP


def one_bar(bar: Bar, left: float, start: float, y: float, scale: Scale) -> Iterator[str]:
    middle, even, at = y + ROW / 2, start + scale(1), start + scale(bar.at)
    yield f'<text x="{left}" y="{middle + 4:.1f}">{escape(bar.label)}</text>'
    yield (
        f'<rect x="{min(even, at):.1f}" y="{y + 3:.1f}" width="{abs(at - even):.1f}" '
        f'height="{ROW - 6}" fill="{bar.colour}"/>'
    )
    low, high = start + scale(bar.low), start + scale(bar.high)
    if bar.low < bar.high:
        yield (f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="{INK}"/>')
    behind = max(even, high)
    if bar.promised is not None:
        x = start + scale(bar.promised)
        behind = max(behind, x)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y + ROW:.1f}" '
            f'stroke="{INK}" stroke-width="2.5"/>'
        )
    yield (
        f'<text x="{behind + 6:.1f}" y="{middle + 4:.1f}" paint-order="stroke" stroke="{CARD}" '
        f'stroke-width="3">{bar.at:.3g}×</text>'
    )


def legend() -> Iterator[str]:
    x, y = MARGIN, 58
    for colour, text in LEGEND:
        yield f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="{y + 10}" font-size="11">{text}</text>'
        x += 30 + 6 * len(text)
    yield f'<line x1="{x}" x2="{x}" y1="{y - 2}" y2="{y + 14}" stroke="{INK}" stroke-width="2.5"/>'
    yield f'<text x="{x + 8}" y="{y + 10}" font-size="11">the promise; thin lines: all rounds</text>'


def subtitle(results: Mapping[str, Any]) -> str:
    about = results["machine"]
    told = [about["cpu"], f"{about['cores'].partition(' ')[0]} cores", about["date"]]
    if any(one.get("quick") for one in results["scenarios"].values()):
        told.append("tiny runs, which say nothing")
    return " · ".join(told)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(svg(json.loads(source.read_text("utf-8"))), "utf-8")
