"""What `run` refuses before anything is sent is a mistake in the file: exit code 2, not "run again"."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkmail.cli import exit_code

CAMPAIGN = """\
campaign: private
from: news@acme.example
subject: Hello
recipients: people.csv
content: hello.txt
delivery: { via: "smtp://127.0.0.1:2525" }
"""


def test_a_relay_on_loopback_that_is_not_meant_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    (tmp_path / "people.csv").write_text("email\nann@a.example\n")
    (tmp_path / "hello.txt").write_text("Hello\n")
    code = exit_code(["run", str(tmp_path / "campaign.yaml"), "--yes", "--new"])
    assert (code, "campaign.yaml:6:" in (told := capsys.readouterr().err), "allow_private" in told) == (
        2,
        True,
        True,
    )
