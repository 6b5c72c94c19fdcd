"""The law by which the pace of a site is found, against sites that count in every way that is known."""

from __future__ import annotations

from itertools import pairwise

import pytest
from finder_case import Quota, Seen, Tokens, simulate

from bulkmail.delivery.classify import classify
from bulkmail.delivery.feedback import EXCUSED, PAUSE_S, REMEMBERED, Finder, slows
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.smtp.reply import Reply, ReplyReader
from bulkmail.transport.stage import Stage

HALVED, DOUBLED, END = 120.0, 240.0, 360.0


def reply(said: bytes) -> Reply:
    (found,) = ReplyReader().feed(said + b"\r\n")
    return found


def changing(rate: float, sessions: int, **how: float) -> Seen:
    """Two minutes of a rate, two of half of it, and two of it again."""
    site = Tokens(rate, how.pop("burst", None))
    steps = [
        (HALVED, lambda: setattr(site, "rate", rate / 2)),
        (DOUBLED, lambda: setattr(site, "rate", rate)),
    ]
    return simulate(site, END, sessions=sessions, changes=steps, **how)


@pytest.mark.parametrize("sessions", [1, 3, 20])
@pytest.mark.parametrize("rate", [5.0, 50.0, 300.0])
def test_a_rate_is_found_and_held_and_followed_when_it_halves_and_when_it_doubles(rate, sessions):
    seen = changing(rate, sessions)
    found = [
        seen.rate(30.0, HALVED) / rate,
        seen.rate(HALVED + 20.0, DOUBLED) / (rate / 2),
        seen.rate(DOUBLED + 70.0, END) / rate,
    ]
    refused = [
        seen.share_refused(30.0, HALVED),
        seen.share_refused(HALVED + 20.0, DOUBLED),
        seen.share_refused(DOUBLED, END),
    ]
    assert ([share >= 0.9 for share in found], [share < 0.02 for share in refused]) == (
        [True] * 3,
        [True] * 3,
    ), f"{found} {refused}"


@pytest.mark.parametrize(
    ("site", "share"),
    [
        (Quota(300, 60.0), 0.6),
        (Quota(50, 1.0), 0.75),
        (Tokens(50.0, burst=500.0), 0.9),
        (Tokens(50.0, burst=1.0), 0.6),  # who saves nothing up for us wants each message in its time
    ],
)
def test_whatever_a_site_counts_with_it_refuses_little_once_its_limit_is_known(site, share):
    seen = simulate(site, 900.0, sessions=5)
    allowed = site.rate if isinstance(site, Tokens) else site.count / site.period_s
    told = seen.rate(300.0, 900.0) / allowed, seen.share_refused(300.0, 900.0)
    assert told[0] > share, told
    assert told[1] < 0.02, told


def test_workers_that_each_find_their_own_part_keep_to_the_whole_together():
    seen = simulate(Tokens(50.0), 400.0, sessions=5, workers=3)
    told = seen.rate(60.0, 400.0) / 50.0, seen.share_refused(60.0, 400.0)
    assert told[0] > 0.9, told
    assert told[1] < 0.02, told


def test_a_quota_of_an_hour_is_not_run_against_for_an_hour():
    seen = simulate(Quota(1000, 3600.0), 4 * 3600.0, sessions=5)
    assert seen.rate(7200.0, 14400.0) > 0.6 * 1000 / 3600
    assert seen.share_refused(3600.0, 14400.0) < 0.03


def test_what_is_sent_slower_than_the_site_allows_is_not_sent_faster_for_that():
    """A rate that is not used proves nothing: it does not grow by being kept to from far below."""
    seen = simulate(Tokens(5.0), 400.0, demand=lambda now: now < 60.0 or now % 10.0 < 1.0)
    assert max(rate for at, rate in seen.rates if at > 100.0) < 20.0


def test_our_own_limit_is_kept_whatever_a_site_allows():
    seen = simulate(Tokens(50.0), 120.0, limit=20.0)
    assert (len(seen.refused), round(seen.rate(10.0, 120.0))) == (0, 20)


def test_a_site_that_lets_nothing_in_is_asked_ever_less_often():
    seen = simulate(lambda now: now < 1.0, 300.0, sessions=10)
    late = [at for at in seen.refused if at > 10.0]
    assert len(late) <= 10, late
    gaps = [later - sooner for sooner, later in pairwise(late)]
    assert gaps == sorted(gaps)


def test_what_was_on_its_way_when_the_rate_was_cut_does_not_cut_it_again():
    finder = Finder(100.0, 0.0, 10)
    before = finder.rate
    assert [finder.throttled(number, 20, 0.1) for number in range(1, 10)] == [False] * 9
    assert (finder.rate, finder.throttlings) == (before, 1)


def test_who_goes_in_the_pause_had_his_turn_before_and_says_nothing_new():
    finder = Finder(100.0, 0.0, 10)
    told = [finder.throttled(12, 20, PAUSE_S / 2), finder.throttled(15, 21, 2 * PAUSE_S)]
    told.append(finder.throttled(21, 22, 2 * PAUSE_S))
    assert (told, finder.throttlings) == ([False, False, True], 2)


def test_a_message_that_is_throttled_again_and_again_while_others_are_not_is_excused_a_few_times_only():
    finder = Finder(100.0, 0.0, 1)
    excused = []
    for at in range(EXCUSED + 2):
        excused.append(finder.excuses(7))
        finder.accepted(1, at + 1.0)
    assert (excused, finder.knows(7), finder.knows(8)) == ([True] * EXCUSED + [False] * 2, True, False)


def test_while_nobody_is_let_in_it_is_nobodys_own_trouble():
    finder = Finder(100.0, 0.0, 1)
    assert all(finder.excuses(7) for _ in range(10 * EXCUSED))


def test_who_was_excused_is_remembered_within_bounds():
    finder = Finder(100.0, 0.0, 1)
    for number in range(2 * REMEMBERED):
        finder.excuses(number)
        finder.accepted(1, 1.0)
    assert (finder.knows(0), finder.knows(2 * REMEMBERED - 1)) == (False, True)


def test_each_refusal_of_all_doubles_the_pause():
    finder = Finder(100.0, 0.0, 1)
    pauses = []
    for number in range(1, 6):
        assert finder.throttled(number, number + 1, finder.resumes)
        pauses.append(finder.pause_s)
    assert pauses == [PAUSE_S * 2**n for n in range(1, 6)]


@pytest.mark.parametrize(
    ("stage", "said", "expected"),
    [
        (Stage.MAIL, b"451 4.7.1 Too many messages from 192.0.2.1, try again later", True),
        (Stage.RCPT, b"451 4.7.1 Too many messages, slow down", True),
        (Stage.END_OF_DATA, b"452 4.7.1 Rate limit exceeded", True),
        (Stage.MAIL, b"421 4.7.0 Try again later", True),
        (Stage.MAIL, b"450 4.7.1 Not now", False),  # that may be our standing, too
        (Stage.GREETING, b"421 4.7.0 Too many connections from your address", True),
        (Stage.MAIL, b"421 4.7.0 Too many messages on this connection", False),
        (Stage.MAIL, b"421 4.3.2 Going down", False),
        (Stage.MAIL, b"451 4.3.0 Try again later", False),
        (Stage.RCPT, b"450 4.2.1 The user is receiving mail too fast: rate limit", False),
        (Stage.RCPT, b"451 4.7.1 Greylisted, try again in 300 seconds", False),
        (Stage.MAIL, b"451 4.7.1 Greylisted, try again in 300 seconds", False),
        (Stage.RCPT, b"450 4.7.1 Try again later", False),  # as greylists say it, and of one recipient
        (Stage.RCPT, b"452 4.2.2 Mailbox full", False),
        (Stage.RCPT, b"550 5.1.1 No such user", False),
        (Stage.RCPT, b"452 4.5.3 Too many recipients", False),
        (Stage.END_OF_DATA, b"451 4.7.0 Message looks like spam, rate limited", True),
        (Stage.MAIL, b"550 5.7.1 Too many messages", False),  # for good: that is a verdict
        (Stage.MAIL, b"250 2.1.0 Ok", False),
    ],
)
def test_only_what_concerns_the_site_slows_it(stage, said, expected):
    assert slows(classify(stage, reply(said))) is expected


@pytest.mark.parametrize("consequence", list(Consequence))
def test_what_is_known_to_mean_something_does_what_follows_from_that_and_no_more(consequence):
    """X13."""
    said = classify(Stage.MAIL, reply(b"451 4.7.1 not now"))._replace(consequence=consequence)
    assert slows(said._replace(meaning=Meaning.BLOCKED)) is (consequence is Consequence.SLOW)
