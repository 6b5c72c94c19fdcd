"""`bulkmail pause`: no new message from now on, whether the campaign runs at this moment or not."""

from __future__ import annotations

from pathlib import Path

import click

from bulkmail.cli.common import campaign_file, load, via_option
from bulkmail.cli.ordering import carry_out, json_option, named


@click.command("pause")
@campaign_file
@via_option
@json_option
def command(file: Path, via: str | None, as_json: bool) -> None:
    """Let the campaign in FILE begin no new message, until `bulkmail resume`.

    Of a campaign that runs, open messages are finished and the run waits; Ctrl-C there ends it with exit
    code 7. One that does not run is not begun until then. Either survives a crash and a restart.
    """
    carry_out(load(file, via), "pause", named(file, via), as_json=as_json)
