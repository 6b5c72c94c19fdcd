"""Values that carry their unit: durations (`90m`), rates (`100/s`), percentages (`3%`).

A bare number is refused: `retry.first: 5` would be five seconds to one reader and five minutes to another.
Pure functions of text; every refusal is a ValueError whose text says what to write instead.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PERIODS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}

# The JSON Schema of an editor and this parser must agree, so the patterns are written once.
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
RATE_PATTERN = r"^[0-9]+(\.[0-9]+)?/(s|sec|second|m|min|minute|h|hour|d|day)$"

PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"

_DURATION = re.compile(DURATION_PATTERN, re.ASCII)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", re.ASCII)
_RATE = re.compile(RATE_PATTERN, re.ASCII)
_PERCENT = re.compile(PERCENT_PATTERN, re.ASCII)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` events in each `per_s` seconds: `2000/day` is Rate(2000.0, 86400.0)."""

    count: float
    per_s: float

    @property
    def per_second(self) -> float:
        return self.count / self.per_s

    def __str__(self) -> str:
        name = {1.0: "s", 60.0: "min", 3600.0: "hour", 86400.0: "day"}.get(self.per_s, f"{self.per_s:g}s")
        return f"{_decimal(self.count)}/{name}"


def parse_duration(text: str) -> float:
    """Seconds in `30s`, `5m`, `1h30m`, `2d`. Raises ValueError."""
    compact = _compact(text)
    if not _DURATION.fullmatch(compact):
        if _NUMBER.fullmatch(compact):
            raise ValueError(f"{compact} has no unit: write {compact}s, {compact}m, {compact}h or {compact}d")
        raise ValueError(f"{_shown(text)} is not a duration: write it as 30s, 5m, 4h or 2d")
    return _finite(sum(float(number) * SECONDS[unit] for number, unit in _PART.findall(compact)), text)


def duration(seconds: float) -> str:
    """As `parse_duration` reads it: `90s` is `90s`, 120 seconds are `2m`."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= SECONDS[unit] and seconds % SECONDS[unit] == 0:
            return f"{_decimal(seconds / SECONDS[unit])}{unit}"
    return f"{_decimal(round(seconds * 1000, 3))}ms"


def parse_rate(text: str) -> Rate:
    """`100/s`, `2000/day`. Raises ValueError, also for a rate of nothing."""
    compact = _compact(text)
    if not _RATE.fullmatch(compact):
        if _NUMBER.fullmatch(compact):
            raise ValueError(f"{compact} has no unit: write {compact}/s, {compact}/min or {compact}/day")
        raise ValueError(f"{_shown(text)} is not a rate: write it as 100/s, 600/min or 2000/day")
    number, _, period = compact.partition("/")
    count = _finite(float(number), text)
    if count <= 0:
        raise ValueError("a rate of nothing would never send: write more than 0")
    return Rate(count, PERIODS[period])


def parse_percent(text: str) -> float:
    """The part of 1 in `3%`, `0.1%`. Raises ValueError, also for nothing and for more than all."""
    compact = _compact(text)
    if not _PERCENT.fullmatch(compact):
        if _NUMBER.fullmatch(compact):
            raise ValueError(f"{compact} has no unit: write {compact}%")
        raise ValueError(f"{_shown(text)} is not a percentage: write it as 3% or 0.1%")
    part = float(compact[:-1]) / 100
    if not 0 < part < 1:
        raise ValueError(f"{compact} never happens, or always: write more than 0% and less than 100%")
    return part


def _compact(text: str) -> str:
    return re.sub(r"[ \t]+", "", text)


def _finite(number: float, text: str) -> float:
    if not math.isfinite(number) or number > 1e15:
        raise ValueError(f"{_shown(text)} is too much")
    return number


def _decimal(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
