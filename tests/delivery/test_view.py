"""What is told of a provider: the sum of its sites, and what holds back whoever has most to do."""

from __future__ import annotations

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.feedback import PAUSE_S, Finder
from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.paced import REMEMBERING
from bulkmail.delivery.room import Room
from bulkmail.delivery.view import Pace, Row, Seen, merged, pace_of, paced
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


def test_a_found_pace_is_told_with_its_time_and_with_what_the_host_said() -> None:
    finder = Finder(24.8, 1_000.0, 1, "it said 451 4.7.1 Too many messages")
    told = [paced(finder, now, 50_580.0 + now - 1_000.0) for now in (1_000.0, 1_000.0 + PAUSE_S, 4_600.0)]
    assert told == [
        "asked again in 0 s: it said 451 4.7.1 Too many messages",
        "paced to 12.4/s since 14:03 UTC: it said 451 4.7.1 Too many messages",
        "paced to 12.4/s since 14:03 UTC: it said 451 4.7.1 Too many messages",
    ]


NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z, at 1,000 of the monotonic clock


def test_what_was_found_of_a_pace_is_told_apart_from_what_is_sought_and_what_was_remembered() -> None:
    sought = Finder(24.8, 1_000.0, 1, "it said slow down")
    remembered = Finder.remembered(13.0, 1_000.0, REMEMBERING)
    found = Finder.remembered(20.0, 1_000.0, REMEMBERING)
    found.throttled(1, 2, 1_060.0, "it said slow down")
    room = Room(3, 1_000.0, REMEMBERING)
    at = "2027-01-15T12:00:00+00:00"
    assert [
        pace_of(finder, size, 1_100.0, NOON + 100)
        for finder, size in ((None, None), (sought, None), (remembered, room), (found, None), (None, room))
    ] == [
        None,
        Pace(12.4, None, None, "being looked for", at, "it said slow down"),
        Pace(12.3, 13.0, 3, "remembered", at, REMEMBERING),
        Pace(found.rate, found.found, None, "found", at, "it said slow down"),
        Pace(None, None, 3, "remembered", at, REMEMBERING),
    ]


def test_a_pace_is_that_of_all_sites_in_a_process_and_the_sum_of_several_processes() -> None:
    one = Row("a.test", 1, 2, 10, 5, 1, "", None, "", Pace(5.0, 6.0, 2, "found", "b", "it said so"))
    other = one._replace(pace=Pace(4.0, None, 3, "being looked for", "a", "it said no"))
    silent = one._replace(pace=None)
    (site,) = merged([one, one, silent])
    (both,) = merged([one, other, silent], processes=True)
    assert site.pace == one.pace
    assert both.pace == Pace(9.0, 6.0, 5, "being looked for", "a", "it said so")
