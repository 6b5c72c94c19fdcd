"""What `status` and `explain` say of what replies meant: by class, and in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_case import CAMPAIGN, told

from bulkmail.journal import Planned, Record, Store, Suppressions

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


def shown(capfd: pytest.CaptureFixture[str], *args: str | Path) -> str:
    code, out, _ = told(capfd, *args)
    assert code == 0
    return out


def test_status_counts_recipients_by_class(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capfd, "status", file, "--json"))["classes"] == {
        "deferred": {"greylisted": 1, "network": 1},
        "bounced": {"unknown user": 1},
        "expired": {"mailbox full": 1},
    }
    assert "bounced            1  unknown user\n" in shown(capfd, "status", file)


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
    assert f"    {words}" in shown(capfd, "explain", file, who)


def test_explain_says_that_a_dead_address_is_left_out_from_now_on(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Suppressions.open(file.parent / ".bulkmail" / "project.db") as store:
        store.add(["bob@a.test"], "unknown user in hello: 550 5.1.1 No such user")
    out = shown(capfd, "explain", file, "bob@a.test")
    assert "not tried again, and left out by the campaigns that follow\n" in out
    assert ": unknown user in hello: 550 5.1.1 No such user\n" in out


def test_explain_has_the_class_for_programs(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(shown(capfd, "explain", file, "ann@a.test", "--json"))["found"]
    assert [attempt["class"] for attempt in found["attempts"]] == ["greylisted"]


def test_who_bounced_is_exported_with_the_class_or_only_those_of_some(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    deferred = "email,class,reply\nann@a.test,greylisted,451 4.7.1 Greylisted for 00:05:00\n"
    assert shown(capfd, "export", file, "--state", "bounced") == (
        "email,class,reply\nbob@a.test,unknown user,550 5.1.1 No such user\n"
    )
    assert shown(capfd, "export", file, "--state", "expired", "--class", "mailbox-full").count("\n") == 2
    assert shown(capfd, "export", file, "--state", "deferred", "--class", "greylisted,blocked") == deferred
    assert shown(capfd, "export", file, "--state", "bounced", "--class", "blocked,policy") == ""


@pytest.mark.parametrize(
    ("state", "wanted", "words"),
    [
        ("bounced", "blokced", "'blokced' is none of greylisted, throttled"),
        ("bounced", "mailbox", "'mailbox' is none of"),
        ("delivered", "blocked", "--class goes with --state deferred, bounced, expired"),
    ],
)
def test_a_class_that_nobody_can_be_of_is_refused(
    file: Path, capfd: pytest.CaptureFixture[str], state: str, wanted: str, words: str
) -> None:
    code, _, err = told(capfd, "export", file, "--state", state, "--class", wanted)
    assert (code, words in " ".join(err.split())) == (2, True)


def test_a_column_of_the_list_is_not_taken_for_the_class(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(CAMPAIGN)
    journal = Store.create(tmp_path / ".bulkmail" / "hello.journal", {"campaign": "hello"})
    with journal:
        with journal.write_plan() as writer:
            writer.interval("a.test", False, False, [Planned("ann@a.test", '{"class": "first"}')])
        journal.commit([Record(1, 1, "bounced", 1.0, 550, "5.1.1", "550 5.1.1 No", **PLACE)], [], [])
    assert shown(capfd, "export", file, "--state", "bounced") == (
        "email,class,reply_class,reply\nann@a.test,first,unknown user,550 5.1.1 No\n"
    )


@pytest.fixture
def own(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same campaign, with a row of its own by which Bob's reply is a block."""
    monkeypatch.chdir(file.parent)
    file.write_text(f"{CAMPAIGN}shaping: {{ replies: own.toml }}\n")
    (file.parent / "own.toml").write_text('# ours\n[[reply]]\nsays = "no such user"\nclass = "blocked"\n')
    return file


def test_rows_of_ones_own_are_heeded_where_old_replies_are_told(
    own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert json.loads(shown(capfd, "status", own, "--json"))["classes"]["bounced"] == {"blocked": 1}
    out = shown(capfd, "explain", own, "bob@a.test")
    assert "    blocked: the host takes nothing from this source or sender; not tried again\n" in out
    assert "    read so by the row at own.toml:2\n" in out
    (bob,) = json.loads(shown(capfd, "explain", own, "bob@a.test", "--json"))["found"]
    assert [(one["class"], one["read_by"]) for one in bob["attempts"]] == [("blocked", "own.toml:2")]
    (ann,) = json.loads(shown(capfd, "explain", own, "ann@a.test", "--json"))["found"]
    assert [(one["class"], one["read_by"]) for one in ann["attempts"]] == [("greylisted", None)]
    assert "bob@a.test" in shown(capfd, "export", own, "--state", "bounced", "--class", "blocked")


def test_plan_shows_the_rows_that_are_read_before_the_table(
    own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (own.parent / "people.csv").write_text("email\nann@a.test\n")
    (own.parent / "hello.txt").write_text("Hello\n")
    out = shown(capfd, "plan", own, "--offline")
    assert "replies of your own, read before the built-in table:\n" in out
    assert "  own.toml:2  says: no such user; class: blocked\n" in out
    told_as_json = json.loads(shown(capfd, "plan", own, "--offline", "--json"))["replies"]
    assert told_as_json["rows"] == [{"at": "own.toml:2", "says": "no such user", "class": "blocked"}]
