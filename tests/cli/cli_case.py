"""What tests of verbs have in common: a campaign's file, and what a command line says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkmail import cli

CAMPAIGN = """\
campaign: hello
from: "Acme News <news@acme.example>"
subject: Hello
recipients: people.csv
content: hello.txt
delivery: { via: mx }
"""


def told(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    code = cli.exit_code([str(arg) for arg in args])
    return code, *capfd.readouterr()
