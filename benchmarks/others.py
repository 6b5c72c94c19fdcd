"""Benchmarks that speak JSON of their own: how all.py starts them, and what was promised of what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contest import Promise
from rig import Spread

START_MS, FIRST_RCPT_MS = 60.0, 500.0
PEAK_TIMES, PEAK_MB, OF_CSV = 1.2, 250.0, 0.15
OVER_SMTPLIB, OF_SESSIONS = 3.0, 0.6
LONGTAIL = {"smtplib": "smtplib in 100 threads with dnspython", "tls": "bare TLS sessions of the same core"}

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Other:
    full: Sequence[str]  # options
    quick: Sequence[str]
    rows: Callable[[Json], list[dict[str, object]]]
    promises: Callable[[Json], list[Promise]]
    rounds: str = "--repeats"


def given_rows(said: Json) -> list[dict[str, object]]:
    return list(said["results"])


def start_rows(said: Json) -> list[dict[str, object]]:
    return [
        {
            "what": what,
            "ms": {"median": one["median_ms"], "low": one["spread_ms"][0], "high": one["spread_ms"][1]},
        }
        for what, one in said["results"].items()
    ]


def start(said: Json) -> list[Promise]:
    over = said["version_over_click_ms"]
    listed = [
        Promise(
            "start: --version, over a bare import of click",
            Spread(over, over, over),
            at_most=START_MS,
            unit="ms",
        )
    ]
    for what, one in said["results"].items():
        if what.startswith("first RCPT"):
            reached = Spread(one["median_ms"], *one["spread_ms"])
            listed.append(Promise(f"start: {what}", reached, at_most=FIRST_RCPT_MS, unit="ms"))
    return listed


def planned(said: Json) -> list[Promise]:
    few, many = said["results"][0], said["results"][-1]
    times, rows = many["peak_mb"] / few["peak_mb"], f"{many['rows']:,} rows"
    listed = [
        Promise(
            f"list: peak memory at {rows} ({many['domains']:,} domains), over {few['rows']:,} rows",
            Spread(times, times, times),
            at_most=PEAK_TIMES,
        ),
        Promise(
            f"list: peak memory at {rows}",
            Spread(many["peak_mb"], many["peak_mb"], many["peak_mb"]),
            at_most=PEAK_MB,
            unit="MB",
        ),
    ]
    for one in (few, many):
        reached = Spread(one["of_csv"], *one["of_csv_spread"])
        what = f"list: {one['rows']:,} rows, rows/s of a bare csv.reader"
        listed.append(Promise(what, reached, at_least=OF_CSV))
    return listed


def longtail(said: Json) -> list[Promise]:
    """Whole rounds are not told one by one, so the ends of a ratio are the worst and best that could be."""
    rows = {row["who"]: row for row in said["results"]}
    listed = []
    for who, least in (("smtplib", OVER_SMTPLIB), ("tls", OF_SESSIONS)):
        reached = None
        if who in rows and "bulkmail" in rows:
            ours, theirs = rows["bulkmail"]["domains/s"], rows[who]["domains/s"]
            low, high = ours["low"] / theirs["high"], ours["high"] / theirs["low"]
            reached = Spread(ours["median"] / theirs["median"], low, high)
        over = "smtplib" if who == "smtplib" else ""
        listed.append(
            Promise(f"longtail, DNS and TLS included: {LONGTAIL[who]}", reached, at_least=least, over=over)
        )
    return listed


OTHERS = {
    "longtail": Other(("--domains", "20000"), ("--domains", "100"), given_rows, longtail),
    "list": Other(
        ("--rows", "1000000", "10000000", "--domains", "1000000"),
        ("--rows", "300", "3000"),
        given_rows,
        planned,
    ),
    "start": Other((), (), start_rows, start),
}
