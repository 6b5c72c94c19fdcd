"""`bulkmail init [FOLDER]`: a project to start from. Its first campaign runs as it is, in the sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import click

DEFAULTS = """\
# yaml-language-server: $schema=campaign.schema.json
# What all campaigns in this folder and below share; a campaign's own keys win.
from: "Acme News <news@acme.example>"
delivery:
  via: sandbox          # a rehearsal: nothing leaves this machine. For real: mx, or smtp://USER@RELAY:587
  # What large providers want of a real send; bulkmail says which record to publish for the key.
  # openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out s1.pem
  # dkim: [{ domain: acme.example, selector: s1, key: { file: s1.pem } }]
"""
CAMPAIGN = """\
# yaml-language-server: $schema=campaign.schema.json
campaign: hello         # its identity: running it again resumes it; a new send needs a new name
to: "{{ first_name }} <{{ email }}>"
subject: "Hello {{ first_name }}"
recipients: people.csv
content: hello.md
"""
PEOPLE = """\
email,first_name
ann@example.com,Ann
bob@example.net,Bob
cleo@example.org,Cleo
"""
CONTENT = """\
# Hello {{ first_name }}

This is a first message, written in Markdown. It is sent as HTML and as plain text.
"""
IGNORED = ".bulkmail/\n*.pem\n"  # addresses and keys belong into no repository


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def command(folder: Path) -> None:
    """Make FOLDER (here, if it is not given) a project: defaults, a first campaign, its list, the state.

    Nothing that exists is overwritten.
    """
    from bulkmail.campaign.schema import campaign_schema
    from bulkmail.cli import say

    files = {
        "bulkmail.yaml": DEFAULTS,
        "hello.yaml": CAMPAIGN,
        "people.csv": PEOPLE,
        "hello.md": CONTENT,
        "campaign.schema.json": json.dumps(campaign_schema(), indent=2, ensure_ascii=False) + "\n",
    }
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise click.UsageError(f"{folder} has {', '.join(there)} already; nothing was changed")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        if not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text(IGNORED, "utf-8")
        (folder / ".bulkmail").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    for name in files:
        click.echo(str(folder / name))
    say(f"Next: bulkmail preview {folder / 'hello.yaml'}")
    say(f"Then: bulkmail run {folder / 'hello.yaml'}")
