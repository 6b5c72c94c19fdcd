"""`bulkmail resolve`: the operator's word on those of whom nobody can know whether the message arrived."""

from __future__ import annotations

import time
from pathlib import Path

import click

from bulkmail.cli.common import campaign_file, load, open_journal, via_option


@click.command("resolve")
@campaign_file
@click.option(
    "--in-doubt",
    "word",
    type=click.Choice(["delivered", "resend"]),
    required=True,
    help="What becomes of them: taken as delivered, or sent again by the next run.",
)
@via_option
def command(file: Path, word: str, via: str | None) -> None:
    """Settle everybody of FILE who is in doubt.

    The end of their message was sent and no answer came. `bulkmail export --state in_doubt` lists them, and
    the log of their exchanger can tell. After `resend` some may get a second copy; nobody else ever does.
    """
    from bulkmail.campaign.place import journal_path
    from bulkmail.journal import CampaignLock

    campaign = load(file, via)
    with CampaignLock(journal_path(campaign)), open_journal(campaign, read_only=False) as store:
        # The lock is ours, so nobody is sending: what a killed run left open is in doubt as of now.
        store.recover("hold", time.time())
        count = store.resolve_doubt(word, time.time())
    told = "taken as delivered" if word == "delivered" else "to be sent again: run the campaign"
    click.echo(f"{count:,} in doubt, {told}" if count else "nobody is in doubt")
