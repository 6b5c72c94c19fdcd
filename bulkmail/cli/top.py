"""`bulkmail top`: how a run does now, provider by provider, and what holds each of them back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bulkmail.cli.common import (
    campaign_file,
    load,
    look_into_journal,
    print_json,
    print_table,
    printable,
    states,
    via_option,
)
from bulkmail.cli.ordering import named

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.control import Answer

HEADER = ("provider", "conn", "rate/s", "waiting", "deferred", "last refusal", "held back by")
RIGHT = (1, 2, 3, 4)
HEAD_LINES = 4  # above the rows, with the header of the table
PLAIN_ROWS = 50


@click.command("top")
@campaign_file
@via_option
@click.option("--once", is_flag=True, help="What is to be seen now, and no more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a second on standard output.")
def command(file: Path, via: str | None, once: bool, as_json: bool) -> None:
    """Show how the run of FILE does, a row for each provider, until it ends. Ctrl-C leaves it alone.

    The columns: connections that stand; recipients a second; who waits here; who was told to come later in
    this run; the latest refusal and how long ago; what holds it back. Nothing there: its own pace does.
    """
    from bulkmail.campaign.control import NobodyListens, ask, socket_path
    from bulkmail.campaign.prepare import journal_path

    campaign = load(file, via)
    try:
        seen = _rated(ask(socket_path(journal_path(campaign)), {"do": "top"}))
        if as_json:
            for one in seen:
                print_json(one)
                if once and one.get("rated"):
                    return
        elif once or not sys.stdout.isatty():
            _print(next(one for one in seen if one.get("rated") or one["done"]))
        else:
            _live(seen, named(file, via))
    except NobodyListens:
        _nobody(campaign, as_json=as_json)
    except KeyboardInterrupt:  # the run is none of its business
        if as_json:
            raise


def _rated(answers: Iterable[Answer]) -> Iterator[dict[str, Any]]:
    """Each with the rates since the one before; `rated` says that there was one."""
    before: dict[str, int] = {}
    then: float | None = None
    for answer in answers:
        one: dict[str, Any] = dict(answer)
        rows = one.get("rows")
        if rows is not None:
            passed = one["seconds"] - then if then is not None else 0.0
            one["rows"] = [
                {**row, "rate": _rate(row["answered"] - before.get(row["provider"], 0), passed)}
                for row in rows
            ]
            one["rated"] = then is not None
            then = one["seconds"]
            before = {row["provider"]: row["answered"] for row in rows}
        yield one


def _rate(count: int, seconds: float) -> float:
    return round(max(0, count) / seconds, 1) if seconds > 0 else 0.0


def _nobody(campaign: Campaign, *, as_json: bool) -> None:
    from bulkmail.journal import CampaignLock

    with look_into_journal(campaign) as store:
        totals = store.totals()
        holder = CampaignLock.holder(store.path)
    if as_json:
        print_json({"done": True, "did": "top", "running": False, "totals": totals})
        return
    click.echo(
        f"{campaign.campaign} is held by {holder}, which does not send yet"
        if holder
        else f"{campaign.campaign} does not run now"
    )
    print_table([(f"  {name}", count) for name, count in states(totals)], right=(1,))


def _print(one: Mapping[str, Any]) -> None:
    for line in _head(one):
        click.echo(line)
    if one["done"]:
        return
    rows = one["rows"]
    print_table([_cells(row) for row in rows[:PLAIN_ROWS]], header=HEADER, right=RIGHT)
    if len(rows) > PLAIN_ROWS:
        click.echo(f"and {len(rows) - PLAIN_ROWS:,} more")


def _head(one: Mapping[str, Any]) -> list[str]:
    totals = cast("Mapping[str, int]", one["totals"])
    counts = ", ".join(f"{count} {name}" for name, count in states(totals))
    if one["done"]:
        return ["The run has ended.", counts]
    rate = sum(row.get("rate", 0.0) for row in one["rows"])
    how = "paused" if one["paused"] else "stopping" if one["stopping"] else f"{rate:,.1f}/s"
    return [printable(f"{one['campaign']} via {one['via']}, {one['seconds']:,.0f} s: {how}"), counts]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    from bulkmail.cli.screen import span

    sites = f" ({row['sites']:,})" if row["sites"] > 1 else ""
    ago = f", {span(row['last_s'])}" if row["last_s"] is not None else ""
    return (
        printable(row["provider"]) + sites,
        f"{row['connections']:,}",
        f"{row['rate']:,.1f}" if row["rate"] else "-",
        f"{row['waiting']:,}",
        f"{row['deferred']:,}",
        printable(row["last"]) + ago,
        printable(row["held"]),
    )


def _live(seen: Iterator[Mapping[str, Any]], file: str) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    last = next(seen)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not last["done"]:
            live.update(_screen(last, console.height), refresh=True)
            last = next(seen, {"done": True})
    for line in _head(last) if "totals" in last else ["The run has gone: bulkmail status " + file]:
        click.echo(line)


def _screen(one: Mapping[str, Any], height: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, expand=True, header_style="bold")
    widest = (18, 5, 8, 9, 9, 22, None)
    for index, (title, most) in enumerate(zip(HEADER, widest, strict=True)):
        table.add_column(
            title,
            justify="right" if index in RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=most,
            ratio=1 if most is None else None,
        )
    rows: Sequence[Mapping[str, Any]] = one["rows"]
    room = max(1, height - HEAD_LINES - 1)
    for row in rows[:room]:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    head = [Text(line, no_wrap=True, overflow="ellipsis") for line in _head(one)]
    more = [Text(f"and {len(rows) - room:,} more")] if len(rows) > room else []
    return Group(*head, Text(""), table, *more)
