"""`bulkmail status`: where a campaign stands, read from its journal beside a run or after it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

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

FAILURES = 10


@click.command("status")
@campaign_file
@via_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(file: Path, via: str | None, as_json: bool) -> None:
    """Show how many recipients of FILE are in which state, and why the others were not delivered to."""
    from bulkmail.campaign import standing
    from bulkmail.campaign.classes import classes
    from bulkmail.campaign.own_replies import table_of
    from bulkmail.campaign.paces import paces
    from bulkmail.cli.screen import counted
    from bulkmail.journal import CampaignLock

    campaign = load(file, via)
    with look_into_journal(campaign) as store:
        totals = store.totals()
        failures = store.failures(FAILURES)
        by_class = classes(store, table_of(campaign))
        holder = CampaignLock.holder(store.path)
        due = store.next_due(0.0)
        paused, cancelled = standing.paused(store), standing.cancelled(store)
        planned = store.planned
    known = paces(campaign)
    next_due = datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds") if due is not None else None
    if as_json:
        print_json(
            {
                "campaign": campaign.campaign,
                "via": str(campaign.delivery.via),
                "running": holder,
                "paused": None if paused is None else paused._asdict(),
                "cancelled": cancelled,
                "next_due": next_due,
                "totals": totals,
                "classes": by_class,
                "failures": [failure._asdict() for failure in failures],
                "paces": [pace._asdict() for pace in known],
            }
        )
        return
    rows = counted(totals["source"], "row") if planned else "its list was not read to the end"
    click.echo(f"{campaign.campaign} via {campaign.delivery.via}: {rows}")
    click.echo(f"running: {holder}" if holder else "not running")
    if cancelled is not None:
        click.echo(f"cancelled since {cancelled}")
    elif paused is not None and standing.left(totals):
        click.echo(printable(f"{paused.told()}; bulkmail resume {file} goes on"))
        for line in paused.evidence:
            click.echo(printable(f"  {line}"))
    print_table([(f"  {name}", count) for name, count in states(totals)], right=(1,))
    if next_due is not None:
        click.echo(f"next attempt due {next_due}")
    if by_state := [
        (state, f"{count:,}", meaning)
        for state, found in by_class.items()
        for meaning, count in found.items()
    ]:
        click.echo()
        print_table(by_state, header=("state", "recipients", "class"), right=(1,))
    if known:
        click.echo()
        for pace in known:
            click.echo(printable(f"{pace.provider} {pace.told()}"))
    if failures:
        click.echo()
        print_table(
            [
                (failure.state.replace("_", " "), f"{failure.recipients:,}", printable(failure.reply)[:100])
                for failure in failures
            ],
            header=("state", "recipients", "reason"),
            right=(1,),
        )
