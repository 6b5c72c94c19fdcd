"""Words for a run that does not listen yet: none is lost, whatever comes behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkmail.campaign import config, control, operator
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.control import Answer
from bulkmail.campaign.operator import Word
from bulkmail.campaign.place import journal_path
from bulkmail.cli.ordering import told
from bulkmail.journal import CampaignLock, Planned, Store

FILE = """\
campaign: hello
from: "Acme News <news@acme.example>"
subject: Hello
recipients: people.csv
content: hello.txt
delivery: { via: mx }
"""


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """Planned, with Ann; nobody waits for whoever plans to listen."""
    monkeypatch.setattr(operator, "MOMENT_S", 0.0)
    (tmp_path / "campaign.yaml").write_text(FILE)
    campaign = config.load(tmp_path / "campaign.yaml", environ={})
    journal = Store.create(journal_path(campaign), {"campaign": "hello"})
    with journal, journal.write_plan() as writer:
        writer.interval("a.test", False, False, [Planned("ann@a.test", "{}")])
    return campaign


def say(campaign: Campaign, word: Word) -> Answer:
    (answer,) = operator.order(campaign, word)
    return answer


def test_a_cancellation_that_waits_is_neither_replaced_by_a_pause_nor_taken_back(campaign: Campaign) -> None:
    with CampaignLock(journal_path(campaign)):
        answers = [say(campaign, "cancel"), say(campaign, "pause"), say(campaign, "resume")]
    assert [answer["cancelled"] for answer in answers] == [True] * 3
    assert "It is cancelled before its first message." in told(answers[1], "f")
    assert told(answers[2], "f") == ["The campaign is cancelled: nobody is sent to any more."]
    assert control.wanted(journal_path(campaign)) == "cancel"


def test_a_pause_that_waits_is_taken_back_by_resume(campaign: Campaign) -> None:
    with CampaignLock(journal_path(campaign)):
        waits = say(campaign, "pause")
        wanted = control.wanted(journal_path(campaign))
        resumed = say(campaign, "resume")
    assert (wanted, control.wanted(journal_path(campaign))) == ("pause", "")
    assert "It is paused before its first message." in told(waits, "f")
    assert told(resumed, "f") == ["The run goes on."]


def test_a_cancellation_behind_a_pause_counts(campaign: Campaign) -> None:
    with CampaignLock(journal_path(campaign)):
        say(campaign, "pause")
        say(campaign, "cancel")
    assert control.wanted(journal_path(campaign)) == "cancel"


@pytest.mark.parametrize("word", ["pause", "resume", "cancel"])
def test_a_cancellation_whose_run_ended_before_it_looked_is_carried_out(
    campaign: Campaign, word: Word
) -> None:
    with CampaignLock(journal_path(campaign)):
        say(campaign, "cancel")
    answer = say(campaign, word)
    assert (answer["totals"]["cancelled"], answer["cancelled"] is not None) == (1, True)
    assert control.wanted(journal_path(campaign)) == ""
