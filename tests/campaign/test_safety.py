"""When a campaign pauses itself: a table of counts."""

from __future__ import annotations

import pytest

from bulkmail.campaign.safety import Fired, Rules, fired

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
        ({"delivered": 400, "deferred": 100, "blocked": 25}, NOTHING, None),
        ({"delivered": 400, "deferred": 100, "blocked": 26}, NOTHING, "blocked"),
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


def test_the_reason_tells_the_counts_and_the_limit() -> None:
    assert Fired("bounced", 45, 1204, 0.03).reason == (
        "45 of 1,204 recipients bounced (3.74%), more than safety.pause_if allows (bounced: 3%)"
    )
