"""`bulkmail top`: how a run does now, provider by provider, and what holds each of them back."""

from __future__ import annotations

import shutil
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
    table_lines,
    via_option,
)
from bulkmail.cli.ordering import named

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.control import Answer

HEADER = ("provider", "conn", "rate/s", "waiting", "deferred", "last refusal", "takes", "held back by")
TAKES = HEADER.index("takes")
RIGHT = (1, 2, 3, 4)
HEAD_LINES = 4  # above the table, and one below it
PLAIN_ROWS = 50


@click.command("top")
@campaign_file
@via_option
@click.option("--once", is_flag=True, help="What is to be seen now, and no more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a second on standard output.")
def command(file: Path, via: str | None, once: bool, as_json: bool) -> None:
    """Show how the run of FILE does, a row for each provider, until it ends. Ctrl-C leaves it alone.

    The columns: connections that stand; recipients a second; who waits here; who was told to come later in
    this run; the latest refusal and how long ago; of who has asked for less, how many messages a second it
    takes, as far as is known, and whence; what holds it back. Nothing there: its own pace does.
    """
    from bulkmail.campaign.control import NobodyListens, ask, socket_path
    from bulkmail.campaign.place import journal_path

    campaign = load(file, via)
    try:
        seen = _with_memory(campaign, _rated(ask(socket_path(journal_path(campaign)), {"do": "top"})))
        if as_json:
            for one in seen:
                if once and not (one.get("rated") or one["done"]):
                    continue
                print_json(one)
                if once:
                    return
        elif once or not sys.stdout.isatty():
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            _print(next(one for one in seen if one.get("rated") or one["done"]), width)
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


def _with_memory(campaign: Campaign, answers: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each with how long what was found of a pace is remembered, None where it is not."""
    from bulkmail.campaign.paces import kept_until

    for one in answers:
        found = {row["provider"]: row["pace"] for row in one.get("rows", ()) if row.get("pace")}
        kept = kept_until(campaign, found)
        for name, pace in found.items():
            pace["until"] = kept.get(name)
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


def _print(one: Mapping[str, Any], width: int | None = None) -> None:
    """Where lines are longer than `width`, as on the screen."""
    for line in _head(one):
        click.echo(line)
    if one["done"]:
        return
    rows = one["rows"]
    for line in _lines({**one, "rows": rows[:PLAIN_ROWS]}, width or sys.maxsize, sys.maxsize)[1]:
        click.echo(line)
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
        _takes(row.get("pace")),
        printable(row["held"]),
    )


def _takes(pace: Mapping[str, Any] | None) -> str:
    """`13/s, 4 conn: found, kept to 11-29`; nothing for who has never asked for less."""
    if not pace:
        return ""
    rate = pace["rate"] if pace["takes"] is None else pace["takes"]
    found = [f"{rate:.3g}/s"] if rate is not None else []
    found += [f"{pace['connections']:,} conn"] if pace["connections"] is not None else []
    kept = f", kept to {pace['until'][5:10]}" if pace.get("until") else ""
    return f"{', '.join(found)}: {printable(pace['how'])}{kept}"


def _columns(cells: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], Sequence[tuple[str, ...]]]:
    """Header and rows, without the column of who has asked for less where that is nobody."""
    if any(row[TAKES] for row in cells):
        return HEADER, cells
    return HEADER[:TAKES] + HEADER[TAKES + 1 :], [row[:TAKES] + row[TAKES + 1 :] for row in cells]


def _live(seen: Iterator[Mapping[str, Any]], file: str) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    last = next(seen)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not last["done"]:
            live.update(_screen(last, console.width, console.height), refresh=True)
            last = next(seen, {"done": True})
    for line in _head(last) if "totals" in last else ["The run has gone: bulkmail status " + file]:
        click.echo(line)


def _screen(one: Mapping[str, Any], width: int, height: int) -> RenderableType:
    """Who has most to do, as far as there is room."""
    from rich.console import Group
    from rich.text import Text

    head, table, more = _lines(one, width, height)
    styles = ["", "", "", "bold", *("" for _ in table[1:])]
    return Group(
        *(
            Text(line, style, no_wrap=True, overflow="ellipsis")
            for line, style in zip([*head, "", *table], styles, strict=True)
        ),
        *(Text(line) for line in more),
    )


def _lines(one: Mapping[str, Any], width: int, height: int) -> tuple[list[str], list[str], list[str]]:
    """Above the table, the table, and below it. Where lines are too short, what holds back has its own."""
    rows: Sequence[Mapping[str, Any]] = one["rows"]
    cells = [_cells(row) for row in rows]
    header, shown = _columns(cells)
    title, *lines = table_lines(shown, header=header, right=RIGHT)
    blocks = [[line] for line in lines]
    if any(len(line) > width for line in lines):
        title, *lines = table_lines([row[:TAKES] for row in cells], header=HEADER[:TAKES], right=RIGHT)
        blocks = [
            [line, *(f"  {below}" for below in (row[TAKES] and f"takes {row[TAKES]}", row[-1]) if below)]
            for line, row in zip(lines, cells, strict=True)
        ]
    table, left = [title], len(rows)
    for block in blocks:
        if len(table) + len(block) > max(2, height - HEAD_LINES):
            break
        table += block
        left -= 1
    return _head(one), table, [f"and {left:,} more"] if left else []
