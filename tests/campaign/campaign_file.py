"""A small campaign file, and what loading it or any other gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bulkmail.campaign import config
from bulkmail.campaign.config import Campaign
from bulkmail.errors import ConfigError

SMALL = """\
campaign: hello
from: "Acme News <news@acme.example>"
to: "Readers <news@acme.example>"
subject: "Hello"
recipients: people.csv
content: hello.md
delivery: { via: sandbox }
"""


def load(
    folder: Path, text: str = SMALL, environ: Mapping[str, str] | None = None, *, via: str | None = None
) -> Campaign:
    file = folder / "campaign.yaml"
    file.write_text(text, "utf-8")
    return config.load(file, environ=environ or {}, via=via)


def problems(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """`line:column: key: text` of every complaint."""
    with pytest.raises(ConfigError) as refused:
        load(folder, text, environ)
    return [str(problem).removeprefix(f"{folder}/campaign.yaml:") for problem in refused.value.problems]
