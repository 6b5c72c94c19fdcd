"""`bulkmail export`: the recipients in a state as CSV, ready to be a list again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from bulkmail.cli.common import campaign_file, load, look_into_journal, via_option

if TYPE_CHECKING:
    from bulkmail.journal import Exported, LeftOut, Store

STATES = (
    *("delivered", "bounced", "expired", "cancelled", "pending", "deferred", "in_doubt"),
    *("invalid", "duplicate", "filtered", "excluded", "suppressed", "skipped"),
)
REFUSED = ("deferred", "bounced", "expired")  # these have a class
TO_SEND = ("pending", "deferred", "in_doubt")  # who is in these is sent to again


@click.command("export")
@campaign_file
@click.option(
    "--state",
    type=click.Choice(STATES),
    required=True,
    metavar="STATE",
    help=f"Whose rows: {', '.join(STATES)}.",
)
@click.option(
    "--class",
    "wanted",
    metavar="CLASS",
    help="Only who was refused so, a comma between: blocked,policy (of deferred, bounced, expired).",
)
@via_option
def command(file: Path, state: str, wanted: str | None, via: str | None) -> None:
    """Print the recipients of FILE that are in a state, with all their columns and the last reply.

    Of who is deferred, bounced or expired a column says what class that reply is of, as in status: class, or
    reply_class where the list has a class of its own. To send once more to who bounced for a fault of yours,
    that is mended: export --state bounced --class blocked,policy, and a new campaign name.

    Rows that were left out are printed with their file, row and reason instead. While a run goes on, who
    changes state meanwhile may be missing.
    """
    from bulkmail.campaign.classes import class_of, named
    from bulkmail.campaign.own_replies import table_of

    if wanted is not None and state not in REFUSED:
        raise click.UsageError(f"--class goes with --state {', '.join(REFUSED)}: nobody else was refused")
    try:
        only = named(wanted) if wanted is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--class") from None

    def rows(store: Store) -> Iterator[tuple[Exported | LeftOut, str]]:
        for row in store.export(state):
            meaning = class_of(cast("Exported", row), table) if state in REFUSED else ""
            if only is None or meaning in only:
                yield row, meaning

    campaign = load(file, via)
    table = table_of(campaign)
    with look_into_journal(campaign, to_send=state in TO_SEND) as store:
        columns, name = _columns(rows(store))
        if columns:
            click.echo(_line(columns), nl=False)
        for row, meaning in rows(store):
            cells = _cells(row) | {name: meaning}
            click.echo(_line([cells.get(column, "") for column in columns]), nl=False)


def _columns(rows: Iterator[tuple[Exported | LeftOut, str]]) -> tuple[list[str], str]:
    """All columns of `rows`, read in a pass of its own: a seed has none, files may differ.

    And the name of the one that has the class.
    """
    found: dict[str, None] = {}
    classed = False
    for row, meaning in rows:
        found.update(dict.fromkeys(_cells(row)))
        classed = classed or meaning != ""
    name = "reply_class" if "class" in found else "class"
    last = [name] if classed else []
    if "reply" in found:
        last.append("reply")
    return [column for column in found if column not in last] + last, name


def _cells(row: object) -> dict[str, str]:
    from bulkmail.journal import Exported, LeftOut

    if isinstance(row, LeftOut):
        return {
            "email": row.address,
            "state": row.state,
            "file": row.file,
            "row": str(row.row),
            "reason": row.reason,
        }
    assert isinstance(row, Exported)
    return {"email": row.address, **{k: v for k, v in row.fields.items() if k != "email"}, "reply": row.reply}


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
