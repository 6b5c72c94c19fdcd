"""What `run` shows: JSON lines, a live line on a terminal, or plain lines where there is none.

A terminal that has gone answers every write with an error. That is no reason to break a run off: nothing is
shown any more, and whether the run goes on is not decided here (see `reloading`).
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, cast

import click

from bulkmail.cli.common import print_table, printable, states

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from bulkmail.campaign.runner import Outcome

PLAIN_EVERY_S = 10.0  # a log file wants to know that it goes on, not every second of it
PLAIN_WAITING_S = 600.0  # the same where nothing has changed
LONG_WAIT_S = 30.0  # from here on it is said what the waiting is for
DONE = ("delivered", "bounced", "expired", "cancelled", "in_doubt")
HELD_TOLD = 3  # sites left alone that are told of: a list of a million has thousands of dead ones
TOLD = ("delivered", "bounced", "deferred", "expired", "in_doubt")

Event = Mapping[str, object]


class Screen:
    """Takes the events of a run (`tell`) and shows them, progress on stderr, data on stdout.

    `file`: the campaign as it is named on the command line, for telling what to type next.
    """

    def __init__(self, *, as_json: bool, file: str) -> None:
        self._as_json = as_json
        self._file = file
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._last_plain = time.monotonic()
        self._held = 0  # sites that were left alone
        self._last_note = ""
        self._explained = False
        self._terminal = [number for number in (1, 2) if os.isatty(number)]

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            with self._outliving():
                self._live.stop()
            self._live = self._task = None

    def _bar(self, title: str, total: float | None) -> Progress | None:
        """The live line, begun on the first use; None where it would only fill a log."""
        if self._live is None and not self._as_json and sys.stderr.isatty():
            self._live = live_line()
            self._task = self._live.add_task(title, total=total, note="")
            self._live.start()
        return self._live

    def tell(self, event: Event) -> None:
        """Show one event."""
        with self._outliving():
            self._show(event)

    @contextmanager
    def _outliving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO or not self._terminal:
                raise
            from bulkmail.campaign.reloading import let_go

            let_go(self._terminal)

    def _show(self, event: Event) -> None:
        name = event["event"]
        if self._as_json:
            if name != "planning":
                click.echo(json.dumps(event, ensure_ascii=False))
        elif name == "planning":
            if (live := self._bar("reading the list", None)) is not None and self._task is not None:
                live.update(self._task, note=f"{event['rows']:,} rows {event['step']}")
        elif name == "planned":
            self._stop()
        elif name in ("started", "progress"):
            self._progress(cast("Mapping[str, int]", event["totals"]), event)
        elif name == "stopping":
            why, again = event["signal"], "; again stops at once" if event["signal"] else ""
            self.say(f"{why or 'The time is over'}: no new message begins, open ones are finished{again}")
        elif name == "paused":
            for line in _paused(event, self._file):
                self.say(printable(line))
        elif name == "resumed":
            self.say("The run goes on.")
        elif name == "cancelled":
            self.say("Cancelled by the operator: no new message begins, open ones are finished")
        elif name == "reloaded":
            for line in _reloaded(event):
                self.say(printable(line))
        elif name == "warning":
            self.say(printable(f"warning: {event['text']}"))
        elif name == "site":
            self._held += 1
            if self._held <= HELD_TOLD:
                more = ", and so may others: see `bulkmail status`" if self._held == HELD_TOLD else ""
                left = span(cast("float", event["held_s"]))
                self.say(printable(f"{event['site']} is left alone for {left}: {event['reason']}{more}"))
        elif name == "reported" and event["disposition"] != "delivered":
            self.say(printable(f"The report to {event['to']} is {event['disposition']}: {event['reply']}"))

    def say(self, text: str) -> None:
        """A line for people, above the live one."""
        with self._outliving():
            if self._live is not None:
                self._live.console.print(text, markup=False, highlight=False)
            else:
                click.echo(text, err=True)

    def _progress(self, totals: Mapping[str, int], event: Event) -> None:
        done = sum(totals[state] for state in DONE)
        whole = done + totals["pending"] + totals["deferred"]
        note = f"{done:,}/{whole:,}"
        note += "".join(f", {totals[state]:,} {state.replace('_', ' ')}" for state in TOLD if totals[state])
        due = event.get("next_due")
        wait_s = due - time.time() if not totals["pending"] and isinstance(due, float) else 0.0
        waiting = f", next attempt in {span(wait_s)}" if wait_s > 1 else ""
        if (live := self._bar(str(event["campaign"]), whole)) is not None and self._task is not None:
            live.update(self._task, completed=done, total=whole, note=note + waiting)
        else:
            self._plain(f"{event['campaign']}: {note}", waiting)
        if wait_s > LONG_WAIT_S and not self._explained:
            self._explained = True
            self.say(
                f"Waiting for the next attempt: `bulkmail status {self._file}` shows why. "
                "Ctrl-C stops, and the same command goes on."
            )

    def _plain(self, note: str, waiting: str) -> None:
        pause_s = PLAIN_WAITING_S if note == self._last_note else PLAIN_EVERY_S
        if time.monotonic() - self._last_plain >= pause_s:
            self._last_plain = time.monotonic()
            self._last_note = note
            click.echo(note + waiting, err=True)

    def finish(self, campaign: str, outcome: Outcome) -> None:
        """The final table, on standard output; under `--json` the event `finished` has said it all.

        What should be looked at is said on standard error, always.
        """
        with self._outliving():
            if not self._as_json:
                self._finish(campaign, outcome)
            for text in outcome.passed:
                click.echo(f"bulkmail: {text}", err=True)
            if outcome.warning:
                click.echo(f"bulkmail: warning: {outcome.warning}", err=True)

    def _finish(self, campaign: str, outcome: Outcome) -> None:
        totals = outcome.totals
        click.echo(f"{campaign}: {counted(totals['source'], 'row')} in the list")
        print_table([(f"  {name}", count) for name, count in states(totals)], right=(1,))
        rate = outcome.delivered / outcome.seconds if outcome.seconds else 0.0
        click.echo(
            f"{counted(outcome.transactions, 'transaction')} over "
            f"{counted(outcome.connections, 'connection')} "
            f"in {outcome.seconds:.1f} s ({rate:,.0f} delivered a second)"
        )
        if why := [
            (one.meaning, f"{one.recipients:,}", printable(one.reply)[:100]) for one in outcome.failed.why
        ]:
            print_table(why, header=("not delivered", "recipients", "most often"), right=(1,))
        for line in self._next_steps(totals, outcome):
            click.echo(line, err=True)

    def _next_steps(self, totals: Mapping[str, int], outcome: Outcome) -> Iterator[str]:
        if not totals["source"]:
            yield "The list is empty."
        if outcome.exit == 7:
            yield f"The campaign is paused. To go on: bulkmail resume {self._file}, then run it again."
        elif totals["pending"] or totals["deferred"]:
            yield "Some are still to be delivered: run the same command again to go on."
        if totals["in_doubt"]:
            yield "In doubt: their message was sent, and the connection ended before it was answered."
            yield f"  who    bulkmail export {self._file} --state in_doubt"
            yield f"  then   bulkmail resolve {self._file} --in-doubt delivered (or resend)"
        if totals["invalid"]:
            yield f"Rows that nobody could be sent to: bulkmail export {self._file} --state invalid"
        if totals["bounced"] or totals["expired"]:
            yield f"Why some bounced or expired: bulkmail status {self._file}"


def _paused(event: Event, file: str) -> Iterator[str]:
    if event["by"] == "operator":
        yield "Paused by the operator: no new message begins, open ones are finished, and the run waits."
        yield f"  go on      bulkmail resume {file}"
        yield "  leave      Ctrl-C; it stays paused"
        return
    yield f"Paused: {event['reason']}. No new message begins, open ones are finished."
    for line in cast("Sequence[str]", event["evidence"]):
        yield f"  {line}"


def _reloaded(event: Event) -> Iterator[str]:
    taken, waiting = cast("Sequence[str]", event["taken"]), cast("Sequence[str]", event["next_run"])
    if not taken and not waiting:
        yield "The campaign file was read again: nothing has changed in it."
    if taken:
        yield f"Taken up from the campaign file: {', '.join(taken)}"
    if waiting:
        yield f"Changed in the campaign file, and left to another run: {', '.join(waiting)}"


def live_line() -> Progress:
    """A line on standard error that shows how far something is; its tasks have a `note`. For a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def span(seconds: float) -> str:
    """A time to wait, for people: 45 s, 4 min 55 s, 3 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def octets(number: int) -> str:
    """A size, for people: 812 octets, 11.9 kB, 3.4 GB."""
    if number < 1000:
        return counted(number, "octet")
    unit, size = ("kB", 10**3) if number < 10**6 else ("MB", 10**6) if number < 10**9 else ("GB", 10**9)
    return f"{number / size:,.1f} {unit}"
