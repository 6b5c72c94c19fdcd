"""What `run --dry-run` shows: progress while it works, then what a run would send, or why it would not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from bulkmail.cli.common import print_table, printable, states, terminating
from bulkmail.cli.screen import counted, live_line, octets

if TYPE_CHECKING:
    from rich.progress import Progress

    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.rehearsal import Rehearsed

PROBLEMS = 2  # exit code: a run would be refused


def dry_run(campaign: Campaign, *, as_json: bool) -> int:
    """Rehearse everything but the connections and tell; the exit code."""
    from bulkmail.campaign.compose import compose
    from bulkmail.campaign.rehearsal import rehearse

    date = datetime.now(UTC).replace(microsecond=0)
    with terminating(), _Bar(hidden=as_json) as bar:
        found = rehearse(campaign, partial(compose, campaign, date=date), progress=bar.tell)
    code = PROBLEMS if found.problem_count else 0
    if as_json:
        click.echo(json.dumps(_event(campaign, found, code), ensure_ascii=False))
    else:
        _show(campaign, found)
    return code


class _Bar:
    """The live line on a terminal; nothing where there is none."""

    def __init__(self, *, hidden: bool) -> None:
        self._live: Progress | None = None
        if not hidden and sys.stderr.isatty():
            self._live = live_line()
            self._task = self._live.add_task("reading the list", total=None, note="")

    def __enter__(self) -> _Bar:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, step: str, done: int, whole: int) -> None:
        if self._live is None:
            return
        if step == "rendered":
            self._live.update(
                self._task,
                description="rendering",
                completed=done,
                total=whole,
                note=f"{done:,}/{whole:,}",
            )
        else:
            self._live.update(self._task, note=f"{done:,} rows {step}")


def _event(campaign: Campaign, found: Rehearsed, code: int) -> dict[str, object]:
    from bulkmail.campaign.events import event

    sizes = found.sizes
    return event(
        "dry_run",
        campaign,
        totals=found.totals,
        recipients=found.recipients,
        transactions=found.transactions,
        messages=found.messages,
        signed=found.signed,
        octets={"total": found.octets, "median": sizes.median, "largest": sizes.largest},
        largest_for=sizes.largest_for,
        seconds=round(found.seconds, 3),
        rate=round(found.rate, 1),
        problems=[str(problem) for problem in found.problems],
        problem_count=found.problem_count,
        exit=code,
    )


def _show(campaign: Campaign, found: Rehearsed) -> None:
    """The numbers on standard output, problems on standard error."""
    click.echo(f"{campaign.campaign}: a dry run, no connection was opened and nothing is kept")
    if found.totals["source"]:
        click.echo(f"{counted(found.totals['source'], 'row')} in the list")
        print_table([(f"  {name}", count) for name, count in states(found.totals)], right=(1,))
    if found.messages:
        for line in _measures(found):
            click.echo(line)
    for problem in found.problems:
        click.echo(printable(str(problem)), err=True)
    if more := found.problem_count - len(found.problems):
        click.echo(f"and {counted(more, 'more problem')}", err=True)
    if not found.problem_count and not found.recipients:
        click.echo("Nobody would be sent to.")
    elif not found.problem_count:
        click.echo("No problems were found. What DNS and the servers say, only a run can tell.")


def _measures(found: Rehearsed) -> Iterator[str]:
    sizes = found.sizes
    seal = "signed" if found.signed else "not signed: there is no delivery.dkim"
    yield f"{counted(found.messages, 'different message')}, {seal}"
    yield f"{counted(found.transactions, 'transaction')}, {octets(found.octets)} in all (`plan` says why)"
    largest = f", the largest {octets(sizes.largest)} for {printable(sizes.largest_for)}"
    yield f"a message has {octets(sizes.median)}" + (largest if len(sizes.counts) > 1 else "")
    if found.messages > 1:
        what = "rendered and signed" if found.signed else "rendered"
        cores = f" by {counted(found.workers, 'core')}" if found.workers > 1 else ""
        yield f"{what} in {found.seconds:.2f} s, {found.rate:,.0f} a second{cores}"
