"""`bulkmail export`: the recipients in a state as CSV, ready to be a list again."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkmail.cli.common import campaign_file, load, look_into_journal, via_option

if TYPE_CHECKING:
    from bulkmail.journal import Store

STATES = (
    *("delivered", "bounced", "expired", "cancelled", "pending", "deferred", "in_doubt"),
    *("invalid", "duplicate", "filtered", "excluded", "suppressed", "skipped"),
)
TO_SEND = ("pending", "deferred", "in_doubt")  # who is in these is sent to again


@click.command("export")
@campaign_file
@click.option("--state", type=click.Choice(STATES), required=True, help="Whose rows.")
@via_option
def command(file: Path, state: str, via: str | None) -> None:
    """Print the recipients of FILE that are in a state, with all their columns and the last reply.

    Rows that were left out are printed with their file, row and reason instead. While a run goes on, who
    changes state meanwhile may be missing.
    """
    campaign = load(file, via)
    with look_into_journal(campaign, to_send=state in TO_SEND) as store:
        columns = _columns(store, state)
        if columns:
            click.echo(_line(columns), nl=False)
        for row in store.export(state):
            cells = _cells(row)
            click.echo(_line([cells.get(column, "") for column in columns]), nl=False)


def _columns(store: Store, state: str) -> list[str]:
    """All columns of the rows in `state`, read in a pass of its own: a seed has none, files may differ."""
    found = {column: None for row in store.export(state) for column in _cells(row)}
    return [column for column in found if column != "reply"] + (["reply"] if "reply" in found else [])


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
