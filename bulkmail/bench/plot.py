"""Results as a picture: one SVG, made of text, that any browser shows.

Panels of dots on logarithmic scales, since what costs differently differs by tens. `bulkmail bench` has two:
messages and recipients a second, each with the line from the lowest to the highest run, and the latency of
replies from p50 to p99.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bulkmail.bench.result import Result

WIDTH, ROW, TOP, LEFT, RIGHT = 760, 26, 72, 190, 110
INK, FAINT = "#23302a", "#d5dbd7"
COLOURS = ("#1f6b3f", "#b3541e", "#2f5d8c")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a panel: a dot at `at`, a line from `low` to `high`, `text` behind."""

    label: str
    low: float
    at: float
    high: float
    text: str
    colour: str


def svg(results: Sequence[Result], title: str, subtitle: str) -> str:
    """The whole picture. `subtitle`: the machine, the sink and the day."""
    rates, latencies = list(_rates(results)), list(_latencies(results))
    panels = [("a second (median, with a line from the lowest to the highest)", rates)]
    if latencies:
        panels.append(("reply to the end of data, ms (p50, with a line to p99; p50 · p95 · p99)", latencies))
    parts: list[str] = []
    y = TOP
    for name, rows in panels:
        parts += _panel(name, rows, y)
        y += (len(rows) + 3) * ROW
    text = f'font-family="Arial, Helvetica, sans-serif" fill="{INK}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
        f'width="{WIDTH}" height="{y}" {text}>'
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
        f'<text x="16" y="26" font-size="17" font-weight="bold">{escape(title)}</text>'
        f'<text x="16" y="44" font-size="11" fill="#5c6a62">{escape(subtitle)}</text>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def _rates(results: Sequence[Result]) -> Iterator[Row]:
    for index, one in enumerate(results):
        colour = COLOURS[index % len(COLOURS)]
        units = [("recipients", one.recipients_per_s), ("messages", one.messages_per_s)]
        for unit, spread in units if one.recipients_per_message > 1 else units[1:]:
            yield Row(
                f"{one.scenario}, {unit}",
                spread.lowest,
                spread.median,
                spread.highest,
                f"{spread.median:,.0f}",
                colour,
            )


def _latencies(results: Sequence[Result]) -> Iterator[Row]:
    for index, one in enumerate(results):
        if one.latency_ms and all(value > 0 for value in one.latency_ms.values()):
            values = sorted(one.latency_ms.values())
            text = " · ".join(f"{value:g}" for value in values)
            yield Row(one.scenario, values[0], values[0], values[-1], text, COLOURS[index % len(COLOURS)])


def _panel(name: str, rows: Sequence[Row], y: float) -> Iterator[str]:
    lowest = math.floor(math.log10(max(1e-3, min(row.low for row in rows))))
    highest = math.ceil(math.log10(max(1e-3, max(row.high for row in rows))))
    highest = max(highest, lowest + 1)

    def x(value: float) -> float:
        share = (math.log10(max(value, 1e-3)) - lowest) / (highest - lowest)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    bottom = y + 10 + len(rows) * ROW
    yield f'<text x="16" y="{y}" font-size="13" font-weight="bold">{escape(name)}</text>'
    for power in range(lowest, highest + 1):
        at, mark = f"{x(10.0**power):.1f}", f"{10.0**power:,.{max(0, -power)}f}"
        yield f'<line x1="{at}" x2="{at}" y1="{y + 10}" y2="{bottom}" stroke="{FAINT}"/>'
        yield f'<text x="{at}" y="{bottom + 14}" font-size="11" text-anchor="middle">{mark}</text>'
    for index, row in enumerate(rows):
        middle = y + 10 + (index + 0.5) * ROW
        yield f'<text x="16" y="{middle + 4:.1f}" font-size="12">{escape(row.label)}</text>'
        yield (
            f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{middle:.1f}" y2="{middle:.1f}" '
            f'stroke="{row.colour}" stroke-width="3"/>'
            f'<circle cx="{x(row.at):.1f}" cy="{middle:.1f}" r="5" fill="{row.colour}"/>'
            f'<text x="{x(row.high) + 12:.1f}" y="{middle + 4:.1f}" font-size="12">{escape(row.text)}</text>'
        )
