"""What destinations share: the sessions and rates of a provider, of a site, or of one domain in a site.

Levels stand inside each other: a domain in its site, a site in its provider. A session has a seat in each of
those that its destination belongs to, and a connection only with a seat, so the connections of all of them
are never more than the narrowest allows; whoever finds no seat is in a queue, and is called when one is free.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

import trio

from bulkmail.delivery.pace import Pace, Paces
from bulkmail.delivery.shaping import Bounds

AHEAD_S = 1.0  # by which rates are booked ahead when more sessions would only wait for them
TAKES_S = 10.0  # that a message may take for a rate to be used up; more sessions than that needs only wait


class Waiting(Protocol):
    """For a seat."""

    def called(self) -> None:
        """It is in the queue no more: there may be one."""


class Level:
    """`bounds` hold for all who are on it together. `outer`: the next wider one, if there is one.

    `paces` and `calling`: the rates to keep to, of messages and of connections, narrowest first; None where
    there is only the site's own. `seating`: the levels on which seats are counted, narrowest first.
    """

    __slots__ = (
        "_queue",
        "bounds",
        "calling",
        "dialling",
        "name",
        "outer",
        "paces",
        "seating",
        "sending",
        "sessions",
    )

    def __init__(self, name: str, bounds: Bounds, now: float, outer: Level | None = None) -> None:
        self.name = name
        self.bounds = bounds
        self.outer = outer
        self.sending = Pace(bounds.message_rate, bounds.recipient_rate, now)
        self.dialling = Pace(bounds.connection_rate, None, now)
        self.sessions = 0
        self._queue: OrderedDict[Waiting, None] | None = None
        self.paces: Paces | None = None
        self.calling: Paces | None = None
        self.seating: tuple[Level, ...] = ()
        self.link()

    def limit_to(self, bounds: Bounds) -> None:
        """Keep to these from now on."""
        self.bounds = bounds
        self.sending.limit(bounds.message_rate, bounds.recipient_rate)
        self.dialling.limit(bounds.connection_rate, None)
        self.link()
        self.admit()

    def stand_in(self, outer: Level | None) -> None:
        """In this one from now on."""
        self.outer = outer
        self.link()

    def link(self) -> None:
        """To those around it, as they are now."""
        around: list[Level] = [self]
        while (outer := around[-1].outer) is not None:
            around.append(outer)
        self.seating = tuple(around)
        self.paces = tuple([level.sending for level in around])
        self.calling = tuple([level.dialling for level in around])

    @property
    def many_sites(self) -> bool:
        """It is a provider."""
        return self.outer is None

    @property
    def counts_connections(self) -> bool:
        """There may be only so many: an idle one takes the place of another."""
        return self.bounds.connections is not None

    # --- seats -----------------------------------------------------------------------------------------

    def most(self, now: float) -> int | None:
        """Sessions that there may be."""
        return self.bounds.connections

    def has_room(self, now: float) -> bool:
        """Also: another session would not only wait for the rate."""
        most = self.most(now)
        if most is not None and self.sessions >= most:
            return False
        if not self.sessions:
            return True
        interval_s = self.sending.each.interval_s
        return self.sessions * interval_s < TAKES_S and self.sending.ahead(now) <= AHEAD_S

    @property
    def is_waited_for(self) -> bool:
        return bool(self._queue)

    def queue(self, one: Waiting) -> None:
        """It is called when there may be room, last of all who are here."""
        if self._queue is None:
            self._queue = OrderedDict()
        self._queue[one] = None

    def dequeue(self, one: Waiting) -> None:
        if self._queue is not None:
            self._queue.pop(one, None)

    def admit(self) -> None:
        """Call those who wait, as long as there is room for them."""
        while self._queue and self.has_room(trio.current_time()):
            one, _ = self._queue.popitem(last=False)
            one.called()
