"""`bulkmail cancel`: whoever is left is not sent to, for good."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bulkmail.cli.common import campaign_file, load, via_option
from bulkmail.cli.ordering import carry_out, json_option, named
from bulkmail.errors import ConfigError


@click.command("cancel")
@campaign_file
@via_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(file: Path, via: str | None, yes: bool, as_json: bool) -> None:
    """Give up the campaign in FILE: everybody who is pending or deferred is cancelled.

    Of a campaign that runs, open messages are finished first. Who is in doubt stays in doubt. It cannot be
    taken back: a new send needs a new campaign name.
    """
    from bulkmail.campaign.operator import remaining

    campaign = load(file, via)
    if not yes:
        totals = remaining(campaign)
        who = f"{totals['pending'] + totals['deferred']:,} who are left" if totals else "all who are left"
        question = f"Cancel {campaign.campaign} for {who}? It cannot be taken back."
        if not sys.stdin.isatty():
            raise ConfigError(f"{question} There is no terminal to ask at: it needs --yes.")
        click.confirm(question, abort=True, err=True)
    carry_out(campaign, "cancel", named(file, via), as_json=as_json)
