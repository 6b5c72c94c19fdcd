"""Limits of a site, what it taught us of them, and the token bucket that enforces a rate.

Plain values and plain functions of a given `now`; whoever waits does so in the session.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one site is asked to take. Rates are per second; None is no limit."""

    connections: int = 10
    message_rate: float | None = None
    connection_rate: float | None = None
    recipients_per_transaction: int = 100
    messages_per_connection: int = 100


@dataclass(frozen=True, slots=True)
class Learned:
    """What a site taught us by refusing: limits narrower than shaping's, and until when they are believed.

    None is nothing learned. `until` is on the monotonic clock. A limit that is met once may have been a bad
    moment of theirs, so it is forgotten after a while and met again if it was none.
    """

    until: float = 0.0
    recipients: int | None = None  # in a transaction (X5)
    messages: int | None = None  # on a connection (X10)
    connections: int | None = None  # at once
    lockstep: bool = False  # PIPELINING is announced and does not work (X9)


BELIEVED_S = 900.0
SITES = 10_000  # of which something is remembered


class Lessons:
    """What was learned of sites in this run; bounded, the oldest is forgotten first."""

    def __init__(self) -> None:
        self._sites: OrderedDict[str, Learned] = OrderedDict()

    def of(self, site: str, now: float) -> Learned:
        """What is believed of `site`; to be asked anew, as it changes."""
        learned = self._sites.get(site)
        return learned if learned is not None and now < learned.until else NOTHING

    def learn(
        self,
        site: str,
        now: float,
        *,
        recipients: int | None = None,
        messages: int | None = None,
        connections: int | None = None,
        lockstep: bool = False,
    ) -> None:
        """Believe these limits, at least 1 each, from now on; what is not named stays as it was."""
        known = self.of(site, now)
        self._sites[site] = Learned(
            now + BELIEVED_S,
            max(1, recipients) if recipients is not None else known.recipients,
            max(1, messages) if messages is not None else known.messages,
            max(1, connections) if connections is not None else known.connections,
            lockstep or known.lockstep,
        )
        self._sites.move_to_end(site)
        if len(self._sites) > SITES:
            self._sites.popitem(last=False)


def least(*limits: int | None) -> int:
    """The smallest of the limits that there are; one of them is."""
    return min(limit for limit in limits if limit is not None)


NOTHING = Learned()

BURST_S = 0.1  # what may be caught up with after an idle moment


class Bucket:
    """A token bucket a tenth of a second deep: `book` returns the time at which the caller may go on.

    Booking is in order and never refused, so callers that sleep until their time keep the rate exactly,
    whatever order they wake up in.
    """

    def __init__(self, rate: float | None, now: float) -> None:
        self._interval_s = 0.0 if rate is None else 1.0 / rate
        self._next = now

    def book(self, now: float) -> float:
        """The monotonic time from which one message (or connection) may go; `now` or earlier: at once."""
        self._next = max(self._next, now - BURST_S)
        booked = self._next
        self._next += self._interval_s
        return booked


@dataclass(frozen=True, slots=True)
class Pace:
    """The buckets of one site: they outlive its destination, which ends whenever nothing waits."""

    messages: Bucket
    connections: Bucket


class Paces:
    """The pace of every site of this run; bounded, who was asked for longest ago is forgotten first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sites: OrderedDict[str, Pace] = OrderedDict()

    def of(self, site: str, now: float) -> Pace:
        pace = self._sites.get(site)
        if pace is None:
            pace = Pace(Bucket(self._limits.message_rate, now), Bucket(self._limits.connection_rate, now))
            self._sites[site] = pace
            if len(self._sites) > SITES:
                self._sites.popitem(last=False)
        self._sites.move_to_end(site)
        return pace
