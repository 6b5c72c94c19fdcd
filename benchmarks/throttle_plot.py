"""What throttle.py saw, as a picture of text (SVG): the rate that was let in beside the one allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from throttle import Seen

WIDTH, PANEL, TOP, LEFT, RIGHT = 760, 150, 78, 54, 16
INK, FAINT, OURS, LIMIT, REFUSED = "#23302a", "#d5dbd7", "#1f6b3f", "#8a958f", "#c03a2b"
STEP_S = 2  # seconds that are one point


def svg(seen: Sequence[Seen], machine: Mapping[str, str]) -> str:
    height = TOP + len(seen) * PANEL + 24
    parts: list[str] = []
    for number, one in enumerate(seen):
        parts += panel(one, TOP + number * PANEL)
    text = f'font-family="Arial, Helvetica, sans-serif" fill="{INK}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" {text}><rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        f'<text x="16" y="26" font-size="17" font-weight="bold">What a provider allows, found and followed'
        "</text>"
        f'<text x="16" y="44" font-size="11" fill="#5c6a62">{escape(machine.get("cpu", ""))} · '
        f"{escape(machine.get('date', ''))} · benchmarks/throttle.py</text>"
        f'<line x1="16" x2="40" y1="58" y2="58" stroke="{LIMIT}" stroke-width="2" stroke-dasharray="5 3"/>'
        '<text x="46" y="62" font-size="11">allowed, a second, and told to nobody</text>'
        f'<line x1="260" x2="284" y1="58" y2="58" stroke="{OURS}" stroke-width="2"/>'
        '<text x="290" y="62" font-size="11">let in</text>'
        f'<line x1="350" x2="350" y1="52" y2="64" stroke="{REFUSED}" stroke-width="2"/>'
        '<text x="358" y="62" font-size="11">throttled (as high as there were messages)</text>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def panel(one: Seen, y: float) -> Iterator[str]:
    seconds = len(one.accepted)
    most = 1.5 * one.rate
    bottom, top = y + PANEL - 28, y + 18

    def at(second: float) -> float:
        return LEFT + second / seconds * (WIDTH - LEFT - RIGHT)

    def high(rate: float) -> float:
        return bottom - min(rate, most) / most * (bottom - top)

    yield f'<text x="{LEFT}" y="{y + 10}" font-size="12" font-weight="bold">{escape(one.name)}</text>'
    for share in (0.0, 0.5, 1.0):
        line = high(share * one.rate)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{line:.1f}" y2="{line:.1f}" stroke="{FAINT}"/>'
        yield (
            f'<text x="{LEFT - 6}" y="{line + 4:.1f}" font-size="11" text-anchor="end">'
            f"{share * one.rate:g}</text>"
        )
    for second in range(0, seconds + 1, 60):
        yield (
            f'<text x="{at(second):.1f}" y="{bottom + 15}" font-size="11" text-anchor="middle">'
            f"{second} s</text>"
        )
    steps = [(0, one.rate), (one.stretch_s, one.rate / 2), (2 * one.stretch_s, one.rate)]
    path = " ".join(
        f"{'M' if not second else 'L'}{at(second):.1f} {high(rate):.1f} L{at(second + one.stretch_s):.1f} "
        f"{high(rate):.1f}"
        for second, rate in steps
    )
    yield f'<path d="{path}" fill="none" stroke="{LIMIT}" stroke-width="2" stroke-dasharray="5 3"/>'
    for second in range(0, seconds, STEP_S):
        refused = sum(one.throttled[second : second + STEP_S]) / STEP_S
        if refused:
            x = at(second + STEP_S / 2)
            yield (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" stroke="{REFUSED}" stroke-width="2" '
                f'y2="{min(bottom - 3, high(refused)):.1f}"/>'
            )
    points = " ".join(
        f"{at(second + STEP_S / 2):.1f},{high(sum(one.accepted[second : second + STEP_S]) / STEP_S):.1f}"
        for second in range(0, seconds - STEP_S + 1, STEP_S)
    )
    yield f'<polyline points="{points}" fill="none" stroke="{OURS}" stroke-width="1.6"/>'
