"""`bulkmail resolve`: the operator's word, also straight after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_case import CAMPAIGN

from bulkmail import cli
from bulkmail.journal import Intent, Planned, Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "people.csv").write_text("email\nann@a.test\nbob@a.test\n")
    (tmp_path / "hello.txt").write_text("Hello\n")
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN)
    return path


def journal(file: Path) -> Path:
    return file.parent / ".bulkmail" / "hello.journal"


@pytest.mark.parametrize(("word", "state"), [("delivered", "delivered"), ("resend", "deferred")])
def test_what_a_killed_run_left_open_is_in_doubt_and_can_be_resolved_at_once(
    file: Path, word: str, state: str
) -> None:
    with Store.create(journal(file), {"campaign": "hello"}) as store:
        with store.write_plan() as writer:
            writer.interval("a.test", True, False, [Planned("ann@a.test", "{}"), Planned("bob@a.test", "{}")])
        store.commit([], [Intent(1, ((2, 2),), "mx.a.test", "192.0.2.1", 1.0)], [])
    code = cli.exit_code(["resolve", str(file), "--in-doubt", word])
    with Store.open(journal(file)) as store:
        [bob] = store.history("bob@a.test")
        totals = {name: count for name, count in store.totals().items() if count}
    assert (code, bob.attempts[0].state) == (0, "in_doubt")
    assert totals == {"source": 2, "pending": 1, state: 1}


def test_killed_while_planning_nobody_is_in_doubt(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Store.create(journal(file), {"campaign": "hello"}).close()
    code = cli.exit_code(["resolve", str(file), "--in-doubt", "resend"])
    assert (code, capfd.readouterr().out) == (0, "nobody is in doubt\n")
