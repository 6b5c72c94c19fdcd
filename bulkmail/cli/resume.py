"""`bulkmail resume`: the operator's word that a paused campaign may go on."""

from __future__ import annotations

from pathlib import Path

import click

from bulkmail.cli.common import campaign_file, load, via_option
from bulkmail.cli.ordering import carry_out, json_option, named


@click.command("resume")
@campaign_file
@via_option
@json_option
def command(file: Path, via: str | None, as_json: bool) -> None:
    """Let the campaign in FILE go on after a pause.

    A run that waits goes on by itself; where none does, `bulkmail run` may be called again. After a pause by
    a safety rule this says that you have looked at it: only what happens from now on is judged.
    """
    carry_out(load(file, via), "resume", named(file, via), as_json=as_json)
