"""How a run is judged at its end: its exit code, and what is said to whoever has to look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bulkmail.campaign.classes import Failed, Why, ended
from bulkmail.campaign.outcome import NOTHING_FAILED, Outcome, Threshold
from bulkmail.cli.screen import Screen
from bulkmail.journal import STATES, Planned, Record, Store

NOBODY = dict.fromkeys(("source", *STATES), 0)


def outcome(totals: Mapping[str, int], *fail_on: str, failed: Failed = NOTHING_FAILED) -> Outcome:
    return Outcome(
        {**NOBODY, **totals},
        *(totals.get("delivered", 0), 1, 1, 1.0, False),
        failed=failed,
        fail_on=tuple(Threshold.parse(text) for text in fail_on),
    )


@pytest.mark.parametrize(
    ("totals", "fail_on", "exit_code"),
    [
        ({"delivered": 95, "bounced": 5}, ["bounced=5%"], 0),  # no more than that
        ({"delivered": 94, "bounced": 6}, ["bounced=5%"], 4),
        ({"delivered": 94, "bounced": 6}, [], 0),
        ({"delivered": 990, "bounced": 10}, ["bounced=10"], 0),
        ({"delivered": 989, "bounced": 11}, ["bounced=10"], 4),
        ({"source": 1000, "delivered": 10, "invalid": 20}, ["bounced=1%", "invalid=1%"], 4),
        ({"source": 2000, "delivered": 10, "invalid": 20}, ["bounced=1%", "invalid=1%"], 0),
        ({"source": 10, "delivered": 9, "suppressed": 1}, ["suppressed=0"], 4),
        ({"bounced": 9, "pending": 1}, ["bounced=5%"], 5),  # it is not over yet
        ({}, ["bounced=5%", "invalid=0"], 0),
    ],
)
def test_a_threshold_that_is_passed_is_exit_code_4(
    totals: Mapping[str, int], fail_on: list[str], exit_code: int
) -> None:
    assert outcome(totals, *fail_on).exit == exit_code


@pytest.mark.parametrize(
    "text", ["bounced", "bounced=", "bounced=5 people", "bouncd=5%", "delivered=5%", "=5%"]
)
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|percentage"):
        Threshold.parse(text)


def test_classes_are_told_with_a_reply_and_only_our_own_faults_are_warned_of(tmp_path: Path) -> None:
    def refused(first: int, last: int, code: int, enhanced: str, text: str) -> Record:
        return Record(
            first, last, "bounced", 1.0, code, enhanced, f"{code} {enhanced} {text}", "rcpt", "mx.a.test"
        )

    with Store.create(tmp_path / "c.journal", {"campaign": "c"}) as store:
        with store.write_plan() as writer:
            people = [Planned(f"p{number}@a.test", "{}") for number in range(100)]
            writer.interval("a.test", False, False, people)
        store.commit(
            [
                refused(1, 6, 554, "5.7.1", "Client host [192.0.2.1] blocked using zen.spamhaus.org"),
                refused(7, 11, 554, "5.7.1", "Client host [192.0.2.2] blocked using zen.spamhaus.org"),
                refused(12, 31, 550, "5.1.1", "No such user"),
                Record(32, 32, "deferred", 1.0, 452, "4.2.2", "452 4.2.2 Mailbox full", "rcpt", due=9.0),
                Record(33, 100, "delivered", 1.0, 250, None, "250 ok"),
            ],
            [],
            [],
        )
        totals, failed = ended(store, None, at_once=False)
        assert ended(store, None, at_once=True) == (totals, Failed())
    assert failed.why == (
        Why("unknown user", 20, "550 5.1.1 No such user"),
        Why("blocked", 11, "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org"),
        Why("mailbox full", 1, "452 4.2.2 Mailbox full"),
    )
    assert failed.ours == 11
    assert "11 of 100 recipients bounced as blocked" in outcome(totals, failed=failed).warning
    assert outcome(totals, failed=failed._replace(ours=10)).warning == ""
    assert outcome({}).warning == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_at_the_end_it_is_said_why_and_what_to_look_at(
    capfd: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    failed = Failed((Why("blocked", 30, "554 5.7.1 blocked\x1b[31m"),), 30)
    screen = Screen(as_json=as_json, file="campaign.yaml")
    screen.finish("hello", outcome({"delivered": 70, "bounced": 30}, "bounced=20%", failed=failed))
    out, err = capfd.readouterr()
    assert ("blocked                30  554 5.7.1 blocked\\x1b[31m\n" in out) is not as_json
    assert "bulkmail: 30 of 100 are bounced, more than --fail-on bounced=20%\n" in err
    assert "warning: 30 of 100 recipients bounced as blocked" in err
