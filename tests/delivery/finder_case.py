"""A site and what it allows, and sessions that send to it at a pace: in virtual time, without a network.

What a provider counts with is a policy, a tiny function of the time: whether this message is let in. The
sessions do as real ones do: each books its turn, takes as many more as may go with it, and hears what became
of them a round trip later.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bulkmail.delivery.feedback import Finder
from bulkmail.delivery.shaping import Bucket

PATIENCE_S = 5.0  # a session that has to wait longer is one too many
Policy = Callable[[float], bool]


class Tokens:
    """A bucket of tokens, `rate` a second, `burst` deep."""

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self.rate = rate
        self.burst = max(1.0, rate if burst is None else burst)
        self._has, self._at = self.burst, 0.0

    def __call__(self, now: float) -> bool:
        self._has = min(self.burst, self._has + (now - self._at) * self.rate)
        self._at = now
        if self._has < 1.0:
            return False
        self._has -= 1.0
        return True


class Quota:
    """So many in each period of the clock, as "300 a minute"."""

    def __init__(self, count: int, period_s: float) -> None:
        self.count, self.period_s = count, period_s
        self._used, self._period = 0, -1

    def __call__(self, now: float) -> bool:
        if (period := int(now // self.period_s)) != self._period:
            self._period, self._used = period, 0
        if self._used >= self.count:
            return False
        self._used += 1
        return True


@dataclass
class Seen:
    """When the site let one in, when it refused one, and the rate that was kept to."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)

    def rate(self, since: float, until: float) -> float:
        return sum(since <= at < until for at in self.accepted) / (until - since)

    def share_refused(self, since: float, until: float) -> float:
        refused = sum(since <= at < until for at in self.refused)
        return refused / max(1, refused + sum(since <= at < until for at in self.accepted))


class _Worker:
    """What the sessions of one process share: a bucket and, once it is needed, a finder."""

    def __init__(self, limit: float | None, seen: Seen) -> None:
        self._limit, self._seen = limit, seen
        self.bucket = Bucket(limit, 0.0)
        self.finder: Finder | None = None
        self.epoch = 1  # what was booked in an earlier one is void
        self._answered = 0
        self._numbers = itertools.count(1)

    @property
    def backing_off(self) -> bool:
        return self.finder is not None and self.finder.backing_off

    def crowded(self, now: float) -> bool:
        late = self.finder is not None and self.bucket.ahead(now) > PATIENCE_S
        return self.backing_off or late

    def number(self) -> int:
        return next(self._numbers)

    def hear(self, answers: list[tuple[int, bool]], now: float) -> None:
        went = sum(taken for _, taken in answers)
        self._answered += went
        if self.finder is not None and went and self.finder.accepted(went, now):
            self._follow(now)
        for number, taken in answers:
            if taken:
                continue
            if self.finder is None:
                self.finder = Finder(self._answered / max(1.0, now), now, self.number())
            elif not self.finder.throttled(number, self.number(), now):
                continue
            self._follow(now)
            self.epoch += 1
            self.bucket.void(self.finder.resumes)

    def _follow(self, now: float) -> None:
        assert self.finder is not None
        rate = self.finder.rate
        self.bucket.limit(rate if self._limit is None else min(self._limit, rate))
        self._seen.rates.append((now, rate))


def simulate(
    policy: Policy,
    seconds: float,
    *,
    sessions: int = 10,
    workers: int = 1,
    at_once: int = 8,
    round_trip_s: float = 0.02,
    limit: float | None = None,
    demand: Callable[[float], bool] = lambda now: True,
    changes: Iterable[tuple[float, Callable[[], None]]] = (),
) -> Seen:
    """Send for so long. `sessions` of each worker; `demand`: whether anybody waits then; `limit`: our own."""
    seen, order = Seen(), itertools.count()
    processes = [_Worker(limit, seen) for _ in range(workers)]
    changing = iter(changes)
    coming = next(changing, None)
    # who is next: at a time, a session, the epoch in which it booked its turn, the answers that it waits for
    queue: list[tuple[float, int, int, int, list[tuple[int, bool]]]] = []

    def then(at: float, booked: int = 0, answers: list[tuple[int, bool]] | None = None) -> None:
        heapq.heappush(queue, (at, next(order), session, booked, answers or []))

    queue += [(0.0, next(order), session, 0, []) for session in range(sessions * workers)]
    while queue:
        now, _, session, booked, answers = heapq.heappop(queue)
        worker = processes[session % workers]
        if now >= seconds:
            break
        while coming is not None and coming[0] <= now:
            coming[1]()
            coming = next(changing, None)
        if answers:
            worker.hear(answers, now)
            then(now)
        elif booked == worker.epoch:
            count = 1 + worker.bucket.more(now, (1 if worker.backing_off else at_once) - 1)
            told = []
            for _ in range(count):
                taken = policy(now + round_trip_s / 2)
                (seen.accepted if taken else seen.refused).append(now)
                told.append((worker.number(), taken))
            then(now + round_trip_s, answers=told)
        elif not demand(now):
            then(now + 0.1)
        elif session >= workers and worker.crowded(now):
            then(now + 1.0)  # one of each is enough
        else:
            then(max(now, worker.bucket.book(now)), worker.epoch)
    return seen
