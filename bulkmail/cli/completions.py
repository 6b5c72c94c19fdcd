"""`bulkmail completions SHELL`: click's own completion, as a script to be sourced."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completions")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    For bash: bulkmail completions bash > ~/.local/share/bash-completion/completions/bulkmail
    """
    from bulkmail.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "bulkmail", "_BULKMAIL_COMPLETE").source())
