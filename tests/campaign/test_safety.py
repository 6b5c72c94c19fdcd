"""When a campaign pauses itself: a table of counts."""

from __future__ import annotations

import pytest

from bulkmail.campaign.config_fields import share
from bulkmail.campaign.safety import Fired, Rules, fired, unwelcome
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.plant import Tally
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

BOTH = Rules(bounced=0.03, blocked=0.05, after=500)
NOTHING: dict[str, int] = {}


@pytest.mark.parametrize(
    ("counts", "before", "rule"),
    [
        ({"delivered": 484, "bounced": 15}, NOTHING, None),  # one fewer than are judged
        ({"delivered": 485, "bounced": 15}, NOTHING, None),  # 3% is not more than 3%
        ({"delivered": 484, "bounced": 16}, NOTHING, "bounced"),
        ({"delivered": 400, "bounced": 16, "expired": 40, "in_doubt": 44}, NOTHING, "bounced"),
        ({"delivered": 400, "bounced": 16, "deferred": 9_000}, NOTHING, None),  # these have no verdict
        ({"delivered": 400, "deferred": 900, "asked": 500, "blocked": 25}, NOTHING, None),
        ({"delivered": 400, "deferred": 900, "asked": 500, "blocked": 26}, NOTHING, "blocked"),
        ({"delivered": 484, "bounced": 16}, {"delivered": 400, "bounced": 10}, None),
        ({"delivered": 884, "bounced": 32}, {"delivered": 400, "bounced": 10}, "bounced"),
        ({"delivered": 9_000, "bounced": 300}, {"delivered": 400, "bounced": 290}, None),
        ({"delivered": 5}, {"delivered": 2, "deferred": 9}, None),  # who was deferred then is delivered to
    ],
)
def test_a_rule_fires_over_its_limit_and_not_before_there_are_enough(counts, before, rule) -> None:
    found = fired(BOTH, counts, before)
    assert (found and found.rule) == rule


def test_without_rules_nothing_fires() -> None:
    assert fired(Rules(), {"bounced": 9_000, "blocked": 9_000}, {}) is None


TAKEN = Disposition(Fate.DELIVERED, Scope.RECIPIENT, Stage.END_OF_DATA)
SPAM = [
    Disposition(Fate.BOUNCED, Scope.RECIPIENT, Stage.END_OF_DATA, consequence=Consequence.PAUSE, note=f"{n}")
    for n in range(3)
]


@pytest.mark.parametrize(
    ("refused", "taken", "after", "fires"),
    [
        ([1], 0, 500, False),  # one reply is no evidence
        ([100], 0, 500, False),  # … to however many
        ([17, 17, 15], 0, 500, False),  # one fewer than are judged
        ([17, 17, 16], 0, 500, True),  # fewer than for the others
        ([7, 7, 6], 0, 20, True),
        ([20, 20, 20], 60, 500, False),  # half is not more than half
        ([20, 20, 21], 60, 500, True),
    ],
)
def test_a_campaign_that_is_refused_for_its_own_sake_stops_for_some_replies(
    refused, taken, after, fires
) -> None:
    tally = Tally()
    tally.first_answer(TAKEN, taken)
    for reply, people in zip(SPAM, refused, strict=False):
        for _ in range(people):
            tally.first_answer(reply, 1)
    assert bool(unwelcome(Rules(refused=0.5, after=after), tally, 1_000)) is fires
    assert not unwelcome(Rules(refused=share("never"), after=after), tally, 1_000)


def test_who_was_not_asked_does_not_count() -> None:
    tally = Tally()
    for reply in SPAM:
        tally.first_answer(reply, 100, attempted=False)
        tally.first_answer(reply._replace(meaning=Meaning.BLOCKED), 100, attempted=False)
    assert (tally.asked, tally.refused.total(), tally.blocked.total()) == (0, 0, 0)


def test_where_nobody_is_left_to_be_asked_a_few_refusals_are_all_the_evidence() -> None:
    tally = Tally()
    for reply in SPAM:
        tally.first_answer(reply, 1)
    rules = Rules(refused=0.5, blocked=0.05)
    counts = {"deferred": 1_997, "bounced": 3, "blocked": 3, "asked": 3}
    assert unwelcome(rules, tally, 0)
    assert not unwelcome(rules, tally, 1)
    assert fired(rules, counts, {}) == Fired("blocked", 3, 3, 0.05)
    assert fired(rules, counts | {"pending": 1}, {}) is None
    assert fired(rules, counts | {"deferred": 400}, {}) is None


@pytest.mark.parametrize(
    ("sites", "people", "taken", "blocked", "fires"),
    [
        (10, 6, 1_000, None, True),
        (9, 100, 0, None, False),  # a few sites are their own affair: they are left alone
        (10, 5, 1_000, None, False),  # one in twenty is not more
        (10, 6, 1_000, share("never"), False),
    ],
)
def test_who_is_blocked_by_many_sites_for_good_stops_unasked(sites, people, taken, blocked, fires) -> None:
    listed = Disposition(
        Fate.DEFERRED,
        Scope.SOURCE,
        Stage.RCPT,
        Reply.of(554, "blocked using zen.spamhaus.org"),
        meaning=Meaning.BLOCKED,
        consequence=Consequence.SUSPEND,
    )
    tally = Tally()
    tally.first_answer(TAKEN, taken)
    for site in range(sites):
        tally.first_answer(listed, people)
        tally.barred_at(f"mx.{site}.test")
    assert bool(unwelcome(Rules(blocked=blocked), tally, 9)) is fires


def test_a_share_of_all_is_never() -> None:
    with pytest.raises(ValueError, match="100%, or never"):
        share("100%")


def test_the_reason_tells_the_counts_and_the_limit() -> None:
    assert Fired("bounced", 45, 1204, 0.03).reason == (
        "45 of 1,204 recipients bounced (3.74%), more than safety.pause_if allows (bounced: 3%)"
    )
