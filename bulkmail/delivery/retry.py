"""The durable retry schedule: when a deferred recipient is tried again, and when nobody tries any more.

The schedule is tenacity's exponential strategy asked for a number; nobody sleeps for a recipient. The due
time is stored, and the store hands the recipient out when it has come.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import tenacity

REST = 0.9  # of the first wait
JITTER = 0.1  # of the wait: what was deferred together does not come back together


@dataclass(frozen=True, slots=True)
class Retry:
    """`first`, `max` and `give_up` in seconds; each wait is `factor` times the one before."""

    first: float = 300.0
    factor: float = 2.0
    max: float = 14_400.0
    give_up: float = 172_800.0

    def rest(self, stated: float | None = None) -> float:
        """Seconds for which a site is left alone: so that those deferred with it find it probed when due.

        `stated` is the wait that it asked for, honoured up to `max`.
        """
        return max(REST * self.first, min(stated or 0.0, self.max))


def next_attempt(policy: Retry, attempts: int, age: float, stated: float | None = None) -> float | None:
    """Seconds until the next attempt, or None once the message has expired.

    `attempts` counts those made, from 1; `age` is seconds since the first; `stated` is the wait that the
    peer asked for, honoured up to `policy.max`. The last attempt falls on the expiry. Pure; the caller adds
    jitter. RFC 5321 section 4.5.4.1.
    """
    left = policy.give_up - age
    if left <= 0:
        return None
    state = tenacity.RetryCallState(retry_object=tenacity.Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = max(1, attempts)
    wait = tenacity.wait_exponential(multiplier=policy.first, exp_base=policy.factor, max=policy.max)(state)
    if stated is not None:
        wait = max(wait, min(stated, policy.max))
    return min(wait, left)


def jittered(wait_s: float, rng: random.Random) -> float:
    """`wait_s` and up to JITTER of it more; never less, for a peer may have asked for it.

    And the last attempt would become many, each a tenth of what was left closer to the expiry.
    """
    return wait_s * rng.uniform(1, 1 + JITTER)
