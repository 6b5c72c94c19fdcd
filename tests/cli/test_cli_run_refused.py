"""What `run` refuses is a mistake in a file: exit code 2, not "run again". Nobody is settled by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from newsletter_case import newsletter, plain

from bulkmail.campaign import compose
from bulkmail.cli import exit_code
from bulkmail.errors import ConfigError
from bulkmail.journal import Planned, Store
from bulkmail.message import Composer

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


@pytest.mark.parametrize("as_if", ["lost", "put back from before the send"])
def test_where_only_the_log_of_a_send_is_left_nobody_is_sent_to_again_by_accident(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_if: str
) -> None:
    """I13: the log is the last to know who was mailed."""
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    (tmp_path / "people.csv").write_text("email\nann@a.example\n")
    (tmp_path / "hello.txt").write_text("Hello\n")
    journal = tmp_path / ".bulkmail" / "private.journal"
    with Store.create(journal, {}) as store, store.write_plan() as writer:
        writer.interval("a.example", True, False, [Planned("ann@a.example", "{}")])
    log = journal.with_name("private.journal.0.1.log")
    log.write_text("bulkmail log 2 0123456789abcdef 0 1\n")
    if as_if == "lost":
        journal.unlink()
    command = ["run", str(tmp_path / "campaign.yaml"), "--yes"]
    refused = (
        exit_code(command),
        "private.journal.0.1.log: is the log of a journal" in capsys.readouterr().err,
    )
    kept = log.exists()
    anew = exit_code([*command, "--new"]), "allow_private" in capsys.readouterr().err
    assert (refused, kept, anew, log.exists()) == ((2, True), True, (2, True), False)


PEOPLE = 120


class Failing(Composer):
    """A composer whose file goes away behind the first 40 people."""

    def letters(self, people: Any, **options: Any) -> Any:
        if any(one.id > 40 for one in people):
            raise ConfigError("logo.png went away")
        return super().letters(people, **options)


def totals(folder: Path) -> dict[str, int]:
    (journal,) = (folder / ".bulkmail").glob("*.journal")
    with Store.open(journal, read_only=True) as store:
        return {state: number for state, number in store.totals().items() if number}


@pytest.mark.parametrize("signed", [True, False])
def test_a_letter_that_cannot_be_written_for_no_rows_fault_ends_the_run_and_settles_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    """What is open then comes to its verdict: nobody is in doubt for it. The next run goes on."""
    people = "email,first_name,city\n" + "".join(f"p{n}@a.test,P{n},Rome\n" for n in range(PEOPLE))
    text = "Dear {{ first_name }}, {{ email }}\n"
    file = newsletter(tmp_path, people=people) if signed else plain(tmp_path, text, people=people)
    with monkeypatch.context() as patched:
        patched.setattr(compose, "Composer", Failing)
        code = exit_code(["run", str(file), "--json"])
    captured = capsys.readouterr()
    last = json.loads(captured.out.splitlines()[-1])
    after = totals(tmp_path)
    delivered = after.get("delivered", 0)
    assert (code, captured.err.splitlines()[-1]) == (2, "bulkmail: logo.png went away")
    assert (last["event"], last["exit"], last["reason"]) == ("stopped", 2, "logo.png went away")
    assert (0 < delivered <= 40, after) == (
        True,
        {"source": PEOPLE, "delivered": delivered, "pending": PEOPLE - delivered},
    )
    assert (exit_code(["run", str(file), "--json"]), totals(tmp_path)) == (
        0,
        {"source": PEOPLE, "delivered": PEOPLE},
    )
    assert len(list(tmp_path.glob(".bulkmail/*.sandbox.mail/maildir/new/*"))) == PEOPLE
