"""Limits of a site, and the token bucket that enforces a rate.

Plain values and plain functions of a given `now`; whoever waits does so in the session.
"""

from __future__ import annotations

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


def least(limit: int, other: int | None) -> int:
    """The smaller of a limit and another one, if there is one."""
    return limit if other is None else min(limit, other)


BURST_S = 0.1  # what may be caught up with after an idle moment


class Bucket:
    """A token bucket a tenth of a second deep: `book` returns the time at which the caller may go on.

    Booking is in order and never refused, so callers that sleep until their time keep the rate exactly,
    whatever order they wake up in.
    """

    def __init__(self, rate: float | None, now: float) -> None:
        self._interval_s = 0.0 if rate is None else 1.0 / rate
        self._next = now

    def limit(self, rate: float | None) -> None:
        """What is booked from now on keeps to this rate."""
        self._interval_s = 0.0 if rate is None else 1.0 / rate

    def book(self, now: float) -> float:
        """The monotonic time from which one message (or connection) may go; `now` or earlier: at once."""
        self._next = max(self._next, now - BURST_S)
        booked = self._next
        self._next += self._interval_s
        return booked

    def more(self, now: float, most: int) -> int:
        """How many more, at most `most`, may go at `now` with one that was booked; they are booked, too."""
        assert most >= 0, "what was booked is not given back"
        if not self._interval_s:
            return most
        # the one that was booked goes now, however long ago it might have: nothing was saved up by waiting
        self._next = max(self._next, now - BURST_S + self._interval_s)
        count = min(most, int((now - self._next) / self._interval_s) + 1) if self._next <= now else 0
        self._next += count * self._interval_s
        return count

    def ahead(self, now: float) -> float:
        """Seconds until the next one who books may go."""
        return max(0.0, self._next - now)
