"""What `status` and `explain` say of what replies meant: by class, and in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bulkmail import cli
from bulkmail.journal import Planned, Record, Store, Suppressions

CAMPAIGN = """\
campaign: hello
from: "Acme News <news@acme.example>"
subject: Hello
recipients: people.csv
content: hello.txt
delivery: { via: mx }
"""
PLACE = {"stage": "rcpt", "host": "mx.a.test", "address": "192.0.2.1", "source": "192.0.2.9", "tls": ""}
DUE = 1_800_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ann is greylisted, Bob unknown, Cat expired with a full mailbox; nobody could be spoken to for Dan."""
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN)
    with Store.create(tmp_path / ".bulkmail" / "hello.journal", {"campaign": "hello"}) as journal:
        with journal.write_plan() as writer:
            names = ("ann", "bob", "cat", "dan")
            writer.interval("a.test", False, False, [Planned(f"{name}@a.test", "{}") for name in names])
        greylisted = "451 4.7.1 Greylisted for 00:05:00"
        records = [
            Record(1, 1, "deferred", 1.0, 451, "4.7.1", greylisted, due=DUE, **PLACE),
            Record(2, 2, "bounced", 1.0, 550, "5.1.1", "550 5.1.1 No such user", **PLACE),
            Record(3, 3, "expired", 1.0, 452, "4.2.2", "452 4.2.2 Mailbox full", **PLACE),
            Record(4, 4, "deferred", 1.0, None, "4.4.1", "refused", "connect", "mx.a.test", due=DUE),
        ]
        journal.commit(records, [], [])
    return path


def told(capfd: pytest.CaptureFixture[str], *args: str | Path) -> str:
    assert cli.exit_code([str(arg) for arg in args]) == 0
    return capfd.readouterr().out


def test_status_counts_recipients_by_class(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert json.loads(told(capfd, "status", file, "--json"))["classes"] == {
        "deferred": {"greylisted": 1, "network": 1},
        "bounced": {"unknown user": 1},
        "expired": {"mailbox full": 1},
    }
    assert "bounced            1  unknown user\n" in told(capfd, "status", file)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (
            "ann@a.test",
            "greylisted: the host wants to see us come back; tried again from the same address at "
            "2027-01-15T08:00:00+00:00\n",
        ),
        ("bob@a.test", "unknown user: there is no such mailbox; not tried again\n"),
        (
            "cat@a.test",
            "mailbox full: there is no room in the mailbox; tried for as long as delivery.retry.give_up says",
        ),
        ("dan@a.test", "network: nobody could be spoken to, or the conversation broke off; tried again at"),
    ],
)
def test_explain_says_what_a_reply_means_and_what_is_done(
    file: Path, capfd: pytest.CaptureFixture[str], who: str, words: str
) -> None:
    assert f"    {words}" in told(capfd, "explain", file, who)


def test_explain_says_that_a_dead_address_is_left_out_from_now_on(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Suppressions.open(file.parent / ".bulkmail" / "project.db") as store:
        store.add(["bob@a.test"], "unknown user in hello: 550 5.1.1 No such user")
    out = told(capfd, "explain", file, "bob@a.test")
    assert "not tried again, and left out by the campaigns that follow\n" in out
    assert ": unknown user in hello: 550 5.1.1 No such user\n" in out


def test_explain_has_the_class_for_programs(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(told(capfd, "explain", file, "ann@a.test", "--json"))["found"]
    assert [attempt["class"] for attempt in found["attempts"]] == ["greylisted"]
