"""Limits as sending needs them, plain numbers, and the token bucket that enforces a rate.

Plain values and plain functions of a given `now`; whoever waits does so in `pace` or in the session.
Whence a limit comes is told in `limits`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one site is asked to take. Rates are per second; None is no limit."""

    connections: int = 10
    message_rate: float | None = None
    connection_rate: float | None = None
    recipients_per_transaction: int = 100
    messages_per_connection: int = 100
    messages_in_flight: int = 8
    recipient_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What somebody else says who has a say beside the site: its provider, or one domain of it.

    The first four hold for all to whom it applies together. None is no limit.
    """

    connections: int | None = None
    message_rate: float | None = None
    connection_rate: float | None = None
    recipient_rate: float | None = None
    recipients_per_transaction: int | None = None
    messages_per_connection: int | None = None
    messages_in_flight: int | None = None

    @property
    def shared(self) -> bool:
        """There is something to be kept to together."""
        rates = (self.message_rate, self.connection_rate, self.recipient_rate)
        return self.connections is not None or any(rate is not None for rate in rates)


def least(limit: int, other: int | None) -> int:
    """The smaller of a limit and another one, if there is one."""
    return limit if other is None else min(limit, other)


BURST_S = 0.1  # what may be caught up with after an idle moment


class Bucket:
    """A token bucket, a tenth of a second deep unless `limit` says more.

    `book` returns the time at which the caller may go on.

    Booking is in order and never refused, so callers that sleep until their time keep the rate exactly,
    whatever order they wake up in. A unit is a message, a connection or a recipient.
    """

    __slots__ = ("_depth_s", "_interval_s", "_next", "voided")

    def __init__(self, rate: float | None, now: float) -> None:
        self._interval_s = 0.0 if rate is None else 1.0 / rate
        self._depth_s = BURST_S
        self._next = now
        self.voided = 0  # times that all turns were

    def limit(self, rate: float | None, depth_s: float = BURST_S) -> None:
        """What is booked from now on keeps to this rate, and may be caught up with for so long."""
        self._interval_s = 0.0 if rate is None else 1.0 / rate
        self._depth_s = max(BURST_S, depth_s)

    def restart(self, now: float) -> None:
        """Nobody keeps the turn that he had booked: the next one is a unit away at most."""
        self._next = min(self._next, now + self._interval_s)

    @property
    def interval_s(self) -> float:
        """Between two units; 0: there is no rate."""
        return self._interval_s

    def book(self, now: float) -> float:
        """The monotonic time from which one message (or connection) may go; `now` or earlier: at once."""
        self._next = max(self._next, now - self._depth_s)
        booked = self._next
        self._next += self._interval_s
        return booked

    def more(self, now: float, most: int) -> int:
        """How many more, at most `most`, may go at `now` with one that was booked; they are booked, too."""
        assert most >= 0, "what was booked is not given back"
        if not self._interval_s:
            return most
        # the one that was booked goes now, however long ago it might have: nothing was saved up by waiting
        self._next = max(self._next, now - self._depth_s + self._interval_s)
        count = min(most, int((now - self._next) / self._interval_s) + 1) if self._next <= now else 0
        self._next += count * self._interval_s
        return count

    def void(self, until: float) -> None:
        """Nobody keeps the turn that he had booked: the next one may go at that time."""
        self._next = until
        self.voided += 1

    def ahead(self, now: float) -> float:
        """Seconds until the next one who books may go."""
        return max(0.0, self._next - now)

    # --- where several buckets are to agree: looked at first, and taken of together --------------------

    def ready(self, now: float) -> float:
        """From when on the next one may go; nobody saves up more than the depth."""
        return max(self._next, now - self._depth_s)

    def start(self, at: float, units: int) -> None:
        """So many units begin at `at`, which is no earlier than `ready` said."""
        self._next = at + units * self._interval_s

    def fitting(self, now: float, sizes: Iterable[int]) -> int:
        """How many, behind each other, may go at `now` behind one that has just begun; none is taken."""
        free, count = max(self._next, now - self._depth_s + self._interval_s), 0
        for size in sizes:
            if free > now:
                break
            free += size * self._interval_s
            count += 1
        return count

    def take(self, now: float, units: int) -> None:
        """What was found fitting goes."""
        self._next = max(self._next, now - self._depth_s + self._interval_s) + units * self._interval_s

    def adjust(self, units: int) -> None:
        """More were booked than went, by so many, or less: whoever comes next waits as long as he must."""
        self._next -= units * self._interval_s
