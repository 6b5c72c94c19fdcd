"""`bulkmail schema`: the JSON Schema of the campaign file, or of the lines of `run --json`."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.option("--events", is_flag=True, help="The schema of one line of `run --json`.")
def command(events: bool) -> None:
    """Print the JSON Schema of the campaign file, for editors.

    Save it beside the campaign as campaign.schema.json and begin the campaign with
    "# yaml-language-server: $schema=campaign.schema.json".
    """
    from bulkmail.campaign.schema import campaign_schema, events_schema

    click.echo(json.dumps(events_schema() if events else campaign_schema(), indent=2, ensure_ascii=False))
