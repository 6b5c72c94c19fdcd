"""The token bucket, driven by given times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.shaping import BURST_S, Bucket


@given(st.floats(0.5, 1000), st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_no_window_holds_more_than_the_rate_and_the_burst(rate, pauses):
    bucket = Bucket(rate, 0.0)
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        times.append(max(now, bucket.book(now)))
    for first in range(len(times)):
        for last in range(first, len(times)):
            window_s = times[last] - times[first]
            assert last - first + 1 <= rate * (window_s + BURST_S) + 1 + 1e-6


def test_without_a_rate_nobody_waits():
    bucket = Bucket(None, 0.0)
    assert [bucket.book(5.0) <= 5.0 for _ in range(100)] == [True] * 100
