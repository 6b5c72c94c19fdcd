"""What a site's answers say of how many connections it takes, and how its pace and our limits go together."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.feedback import LONGEST_PAUSE_S, PAUSE_S
from bulkmail.delivery.paced import BELIEVED_S
from bulkmail.delivery.room import LATE_S, LONGEST_WAIT_S, RISEN, WAIT_S, Room
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.site import Site
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

FULL = Disposition(Fate.DEFERRED, Scope.SITE, Stage.GREETING, Reply.of(421, "Too many connections"))
SLOWER = Disposition(Fate.DEFERRED, Scope.SITE, Stage.MAIL, Reply.of(451, "Too many messages"))


def a_site(**limits: float) -> Site:
    return Site("mx.a.test", Limits(**limits), 0.0)


def standing(site: Site, count: int) -> None:
    for _ in range(count):
        site.stands()


def test_no_more_connections_than_stood_when_another_was_refused():
    site = a_site(connections=10)
    standing(site, 3)
    assert (site.is_full(FULL, 0.0), site.connections_limit(1.0)) == (True, 3)


def test_a_refusal_where_none_stands_is_no_matter_of_room():
    site = a_site(connections=10)
    assert (site.is_full(FULL, 0.0), site.connections_limit(1.0)) == (False, 10)


def test_one_more_is_tried_after_a_while_and_later_each_time_that_it_is_refused():
    room, tried = Room(3, 0.0, "full"), []
    for second in range(4_000):
        if room.limit(3, second) > 3:
            tried.append(second)
            room.refused(3, second, "full")
    gaps = [tried[0], *(after - before for before, after in pairwise(tried))]
    assert gaps == [WAIT_S, 2 * WAIT_S, 4 * WAIT_S, 8 * WAIT_S, 16 * WAIT_S, LONGEST_WAIT_S][: len(gaps)]


def test_where_the_one_more_stands_the_next_is_tried_as_soon_as_the_first():
    room = Room(1, 0.0, "full")
    size = 1
    for second in range(int(5 * WAIT_S) + 5):
        size = room.limit(size, second)
        room.stands(size)
    assert room.size == 6


def test_what_nobody_uses_does_not_grow():
    room = Room(3, 0.0, "full")
    assert [room.limit(1, second * WAIT_S) for second in range(10)] == [3] * 10


def test_connections_that_were_dialled_together_and_stand_later_count():
    """The first refusal may come before the others that were allowed have greeted."""
    site = a_site(connections=10)
    standing(site, 1)
    site.is_full(FULL, 0.0)
    standing(site, 2)
    assert site.connections_limit(0.0) == 3


def test_answers_that_take_ever_longer_make_it_one_connection_less_for_as_many_as_there_are():
    site = a_site(connections=10)
    standing(site, 4)
    site.took(1.0, 0.0)  # the first says what is usual
    late = RISEN * LATE_S
    seen = []
    for n in range(40):
        now = 100.0 + n
        if late > site.late_s:
            site.took(late, now)
        seen.append(site.connections_limit(now))
    assert seen[:4] == [4, 4, 4, 4]
    assert min(seen) == 3, "one that was asked for before there was one less is no evidence against that"


def test_a_site_that_was_slow_from_the_beginning_is_not_late():
    site = a_site(connections=10)
    site.took(30.0, 0.0)
    assert site.late_s == RISEN * 30.0


def test_the_smaller_of_shapings_rate_and_the_one_that_was_found_holds():
    site = a_site(message_rate=100.0)
    site.pacing.answered = 5_000
    assert site.pacing.slow(SLOWER, 1, 2, 100.0, 270.0)
    slowed = site.messages.interval_s
    site.limit(Limits(message_rate=10.0))
    narrower = site.messages.interval_s
    site.limit(Limits())
    assert (slowed, narrower, site.messages.interval_s) == pytest.approx((1 / 25, 1 / 10, 1 / 25))


@pytest.mark.parametrize(
    ("wait_s", "longest_s", "waits"),
    [
        (None, 270.0, True),
        (30.0, 270.0, True),
        (LONGEST_PAUSE_S + 1, 270.0, False),  # "again in five minutes": in the store, as X14 has it
        (None, PAUSE_S / 2, False),  # a deferral is sooner over
    ],
)
def test_who_is_to_wait_long_waits_in_the_store(wait_s, longest_s, waits):
    """X14."""
    site = a_site()
    site.pacing.answered = 100
    assert site.pacing.slow(SLOWER._replace(wait_s=wait_s), 1, 2, 10.0, longest_s) is waits


def test_a_stated_wait_is_kept_by_all():
    """X14."""
    site = a_site()
    site.pacing.answered = 100
    site.pacing.slow(SLOWER._replace(wait_s=30.0), 1, 2, 10.0, 270.0)
    assert site.messages.book(10.0) == 40.0


def test_a_pace_that_holds_nothing_back_any_more_is_forgotten():
    site = a_site()
    site.pacing.answered = 10
    site.pacing.slow(SLOWER, 1, 2, 10.0, 270.0)
    before = site.finder
    site.pacing.went(1, 11.0 + BELIEVED_S)
    assert (before is not None, site.finder, site.messages.interval_s) == (True, None, 0.0)
