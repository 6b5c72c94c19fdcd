"""What is told of a provider: the sum of its sites, and what holds back whoever has most to do."""

from __future__ import annotations

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.view import Row, Seen, merged
from bulkmail.transport.stage import Stage


def test_sites_of_a_provider_are_one_row_and_the_latest_refusal_counts() -> None:
    rows = merged(
        [
            Row("a.test", 1, 2, 10, 5, 1, "greylisted", 9.0, ""),
            Row("b.test", 1, 1, 1, 50, 0, "", None, "message_rate"),
            Row("a.test", 1, 3, 20, 7, 0, "throttled", 2.0, "connections"),
            Row("a.test", 1, 0, 0, 99, 0, "", None, ""),
        ]
    )
    assert rows == [
        Row("a.test", 3, 5, 30, 111, 1, "throttled", 2.0, "connections"),
        Row("b.test", 1, 1, 1, 50, 0, "", None, "message_rate"),
    ]


def test_who_is_put_off_is_counted_and_the_reason_kept() -> None:
    seen = Seen()
    for fate, meaning, count, now in (
        (Fate.DEFERRED, Meaning.THROTTLED, 3, 1.0),
        (Fate.BOUNCED, Meaning.UNKNOWN_USER, 1, 2.0),
        (Fate.DELIVERED, None, 9, 3.0),
    ):
        seen.refused(Disposition(fate, Scope.RECIPIENT, Stage.RCPT, meaning=meaning), count, now)
    assert (seen.deferred, seen.last, seen.last_at) == (3, "unknown user", 2.0)
