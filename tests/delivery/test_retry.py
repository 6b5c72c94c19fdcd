"""The durable retry schedule: a table, and what must hold for any policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.retry import Retry, next_attempt

POLICY = Retry(first=300, factor=2, max=14_400, give_up=172_800)


@pytest.mark.parametrize(
    ("attempts", "age", "stated", "wait_s"),
    [
        (1, 0, None, 300),
        (2, 300, None, 600),
        (3, 900, None, 1200),
        (20, 100_000, None, 14_400),
        (1, 0, 900, 900),  # X14: what the peer asked for
        (1, 0, 10, 300),  # never sooner than the policy
        (1, 0, 10**6, 14_400),  # and within bounds
        (9, 172_000, None, 800),  # the last attempt falls on the expiry
        (9, 172_800, None, None),
    ],
)
def test_the_schedule(attempts, age, stated, wait_s):
    assert next_attempt(POLICY, attempts, age, stated) == wait_s


@given(st.integers(1, 500), st.floats(0, 200_000))
def test_every_wait_ends_before_the_expiry(attempts, age):
    wait_s = next_attempt(POLICY, attempts, age)
    assert (wait_s is None) == (age >= POLICY.give_up)
    assert wait_s is None or 0 < wait_s <= min(POLICY.max, POLICY.give_up - age)
