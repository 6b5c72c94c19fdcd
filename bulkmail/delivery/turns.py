"""The turns of one session: how many messages may go, by the rates of all who have a say."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from bulkmail.delivery import pace
from bulkmail.delivery.consignment import Consignment
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.supply import Supply
from bulkmail.transport.connection import Connection


class Turns:
    """Whoever had his turn is counted, and what did not go after all is given back."""

    __slots__ = ("_destination", "_people", "_supply", "began")

    def __init__(self, destination: Destination, supply: Supply) -> None:
        self._destination = destination
        self._supply = supply
        self._people = 0  # who are counted in the rates and have not gone
        self.began = False  # there was a turn

    async def wait(self, paces: pace.Paces) -> None:
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
