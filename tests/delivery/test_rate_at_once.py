"""The rate when several messages go at once: never more than it allows, in any stretch of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.shaping import BURST_S, Bucket

rates = st.sampled_from((0.5, 1.0, 3.0, 10.0, 100.0, 1000.0))
# How long until the next turn begins, how long it then waits for a connection, and how many it could send.
turns = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.0, 0.001, 0.01, 0.3, 20.0)),
        st.sampled_from((0.0, 0.0, 0.01, 5.0, 60.0)),
        st.integers(0, 31),
    ),
    max_size=30,
)


def most_within(times: list[float], rate: float) -> bool:
    """In no stretch from one message to another go more than it gives and a tenth of a second more."""
    times = sorted(times)
    return all(
        end - start + 1 <= rate * (times[end] - times[start] + BURST_S) + 1 + 1e-6
        for start in range(len(times))
        for end in range(start, len(times))
    )


@given(rates, turns)
def test_whatever_a_session_asks_for_it_stays_within_the_rate(
    rate: float, asked: list[tuple[float, float, int]]
) -> None:
    """As a session does: book one, sleep until its time, see how many more may go with it now."""
    bucket, now = Bucket(rate, 0.0), 0.0
    gone: list[float] = []
    for pause, dial, most in asked:
        booked = bucket.book(now + pause)
        turn = max(now + pause, booked)
        gone.append(turn)  # a connection that takes its time makes the turns no faster
        now = turn + dial
        more = bucket.more(now, most)
        assert 0 <= more <= most
        gone += [now] * more
    assert most_within(gone, rate)


@given(rates, st.integers(2, 5), turns)
def test_the_same_of_several_sessions_of_one_site(
    rate: float, sessions: int, asked: list[tuple[float, float, int]]
) -> None:
    bucket = Bucket(rate, 0.0)
    gone: list[float] = []
    now = 0.0
    for pause, _, most in asked:
        now += pause
        turns = [max(now, bucket.book(now)) for _ in range(sessions)]
        gone += turns
        for turn in turns:  # in the order of their turns, as they wake up
            gone += [turn] * bucket.more(turn, most)
        now = max(turns)
    assert most_within(gone, rate)


def test_a_connection_that_was_long_in_coming_saves_nothing_up() -> None:
    in_time, late = Bucket(100.0, 0.0), Bucket(100.0, 0.0)
    in_time.book(60.0)
    late.book(0.0)
    assert in_time.more(60.0, 31) == late.more(60.0, 31) == 10


@pytest.mark.parametrize(("rate", "expected"), [(None, 31), (1000.0, 31), (100.0, 10), (1.0, 0)])
def test_as_many_go_at_once_as_a_tenth_of_a_second_allows(rate: float | None, expected: int) -> None:
    bucket = Bucket(rate, -10.0)
    bucket.book(0.0)
    assert bucket.more(0.0, 31) == expected


def test_what_went_at_once_is_waited_for_afterwards() -> None:
    bucket = Bucket(10.0, 0.0)
    bucket.book(0.5)
    more = bucket.more(0.5, 8)
    booked = [bucket.book(0.5) for _ in range(3)]
    assert (more, booked) == (1, pytest.approx([0.6, 0.7, 0.8]))


def test_turns_that_are_booked_are_not_given_back() -> None:
    bucket = Bucket(10.0, 0.0)
    bucket.book(0.0)
    with pytest.raises(AssertionError):
        bucket.more(10.0, -35)
    assert bucket.book(10.0) == pytest.approx(10.0 - BURST_S)


def test_nothing_more_goes_before_the_next_turn() -> None:
    bucket = Bucket(10.0, 0.0)
    booked = [bucket.book(0.0) for _ in range(5)]
    assert (bucket.more(booked[-1], 8), bucket.more(0.0, 8)) == (0, 0)
