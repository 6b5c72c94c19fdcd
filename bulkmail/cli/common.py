"""What several verbs need: the campaign argument, the journal of a campaign, tables."""

from __future__ import annotations

import gc
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from bulkmail.campaign.config import Campaign
    from bulkmail.journal import Store

F = TypeVar("F", bound=Callable[..., Any])


def campaign_file(function: F) -> F:
    """The FILE argument: a campaign file that exists."""
    return click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))(function)


def via_option(function: F) -> F:
    """`--via`: whose journal is meant, of the rehearsal or of the real send."""
    return click.option(
        "--via",
        metavar="WAY",
        help="Instead of delivery.via; sandbox rehearses, with a journal of its own.",
    )(function)


@contextmanager
def importing() -> Iterator[None]:
    """For the imports of a verb that people wait for: what modules make stays, the collector need not look.

    Not now, nor ever again: that is a tenth of the time they take, and most of a later `gc.collect()`.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: what was put aside is removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def load(file: Path, via: str | None, *, secrets: bool = False) -> Campaign:
    """The campaign, with its warnings told. Raises ConfigError."""
    from bulkmail.campaign import config
    from bulkmail.cli import say

    campaign = config.load(file, environ=os.environ, via=via, secrets=secrets)
    for problem in campaign.warnings:
        say(f"warning: {problem}")
    return campaign


def open_journal(campaign: Campaign, *, read_only: bool = True) -> Store:
    """The journal of a campaign that was run before. ConfigError says so where it was not."""
    from bulkmail.campaign.place import journal_path, never_run
    from bulkmail.journal import Store

    path = journal_path(campaign)
    if not path.exists():
        raise never_run(campaign)
    return Store.open(path, read_only=read_only)


def look_into_journal(campaign: Campaign, *, to_send: bool = False) -> Store:
    """The journal for reading. Where a run was killed, who was on the wire then is in doubt from here on.

    What happened last stands in its logs. Where these cannot be taken in, who was delivered to may still be
    listed as open: that is a warning, and for what somebody may send to (`to_send`) a StoreError.
    """
    import time

    from bulkmail.cli import say
    from bulkmail.errors import CampaignLocked, StoreError
    from bulkmail.journal import CampaignLock, Store

    store = open_journal(campaign)
    if store.in_flight:
        try:
            with CampaignLock(store.path), Store.open(store.path) as writable:
                writable.recover(campaign.delivery.on_doubt, time.time())
        except CampaignLocked:
            pass  # it is a living run whose messages are on their way
        except StoreError as error:
            if to_send:
                store.close()
                raise type(error)(
                    "what happened last cannot be taken in, and some of those who would be listed may have "
                    f"been delivered to: {error}"
                ) from error.__cause__
            say(
                "warning: what happened last, deliveries included, is missing here, so do not send to "
                f"anybody by what this says: {error}"
            )
    return store


def print_json(value: object) -> None:
    """One JSON document, a line, on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Sequence[int] = ()
) -> None:
    """A plain table on standard output; the columns in `right` are aligned to the right."""
    for line in table_lines(rows, header=header, right=right):
        click.echo(line)


def table_lines(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Sequence[int] = ()
) -> Iterator[str]:
    """The same, to be shown elsewhere."""
    everything = [header, *rows] if header else list(rows)
    widths = [max(len(row[i]) for row in everything) for i in range(len(everything[0]))] if everything else []
    for row in everything:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def printable(text: str) -> str:
    """Text from files and servers, safe to show on a terminal (FAULTS.md G6)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def states(totals: Mapping[str, int], *, empty: bool = False) -> list[tuple[str, str]]:
    """The states as rows (name, count), those without anybody left out unless `empty`."""
    return [
        (name.replace("_", " "), f"{count:,}")
        for name, count in totals.items()
        if name != "source" and (count or empty)
    ]
