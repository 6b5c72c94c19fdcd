"""The turns of one session: how many messages may go, by the rates of all who have a say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple

import trio

from bulkmail.delivery import pace
from bulkmail.delivery.consignment import Consignment
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.feedback import slows
from bulkmail.delivery.supply import Supply
from bulkmail.transport.connection import Connection

LONG_S = 5.0  # for a turn at a site's own pace: then there is a session too many


class Booked(NamedTuple):
    ahead: float  # seconds, at least
    wait: Callable[[], Awaitable[None]]


class Turns:
    """Whoever had his turn is counted, and what did not go after all is given back."""

    __slots__ = ("_destination", "_people", "_supply", "_throttlings", "began")

    def __init__(self, destination: Destination, supply: Supply) -> None:
        self._destination = destination
        self._supply = supply
        self._people = 0  # who are counted in the rates and have not gone
        self._throttlings = 0  # of the site, when a turn was booked
        self.began = False  # there was a turn

    @property
    def crowded(self) -> bool:
        """There are more sessions than a site that has complained takes now, or has turns for."""
        destination = self._destination
        site, finder, room = destination.site, destination.site.finder, destination.site.room
        if finder is None and room is None:
            return False
        now, others = trio.current_time(), destination.seats.taken - 1
        if room is not None and others >= site.connections_limit(now):
            return True
        return others > 0 and finder is not None and (finder.backing_off or destination.ahead(now) > LONG_S)

    def book(self) -> Booked | None:
        """The turn of the next message; None: it is now."""
        site, paces, now = self._destination.site, self._destination.level.paces, trio.current_time()
        if paces is not None:
            return Booked(pace.ahead(paces, now), partial(self._wait, paces))
        self._throttlings = site.pacing.throttlings
        at = site.messages.book(now)
        return Booked(at - now, partial(trio.sleep_until, at)) if at > now else None

    @property
    def hold(self) -> bool:
        """What was booked: all of it is void where the site has complained since."""
        return self._throttlings == self._destination.site.pacing.throttlings or bool(self._people)

    def slowed(self, why: Disposition, number: int) -> bool:
        """Whether this, instead of a connection for message `number`, only means to wait for another turn.

        It does at a site that knows us, and wants less.
        """
        destination, plant = self._destination, self._destination.plant
        if not destination.is_proven or not slows(why):
            return False
        following, longest_s = next(plant.intent_keys), (destination.retry or plant.retry).rest()
        return destination.site.pacing.slow(why, number, following, trio.current_time(), longest_s)

    async def _wait(self, paces: pace.Paces) -> None:
        """Until the next message may go."""
        people = sum(self._supply.sizes(1))
        await pace.turn(paces, people)
        self._people += people

    def more(self, most: int, *, behind: int = 0) -> int:
        """How many more messages may go now, behind so many that had their turn and have not gone."""
        now, paces = trio.current_time(), self._destination.level.paces
        if paces is None:
            return self._destination.site.messages.more(now, most)
        sizes = self._supply.sizes(behind + most)[behind:]
        count = pace.more(paces, now, sizes)
        self._people += sum(sizes[:count])
        return count

    async def consignments(
        self, connection: Connection, count: int, flying: Iterable[Consignment] = ()
    ) -> list[Consignment]:
        """The next transactions, at most `count`, all of which had their turn; see Supply."""
        found = await self._supply.consignments(connection, count, flying)
        if (paces := self._destination.level.paces) is not None:
            # a host takes fewer at once, a letter is for one alone, somebody was suppressed
            pace.adjust(paces, self._people - sum([len(one.roll) for one in found]))
            self._people = 0
        return found
