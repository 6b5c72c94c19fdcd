"""What one session has at hand: whom it has taken of the destination's queue, and their letters.

Asked by a turn for as much as may be in flight on its connection, it takes and writes what is missing; and
beforehand, where the turn has time for that because it waits for answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import trio

from bulkmail.delivery import consigning
from bulkmail.delivery.ahead import Ahead
from bulkmail.delivery.consignment import Consignment
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.errands import Errand, Errands, Part
from bulkmail.delivery.shaping import least
from bulkmail.delivery.sources import Warmth
from bulkmail.delivery.unreached import NOWHERE
from bulkmail.delivery.work import Letter, Taken, Work
from bulkmail.errors import ConfigError
from bulkmail.transport.approach import Source
from bulkmail.transport.connection import Connection

IN_FLIGHT = 1024 * 1024  # octets of content in flight on a connection, unless a single message has more
ALL = 24 * 1024 * 1024  # on all of them: where they are many, each has less


class Supply:
    """False where nothing is at hand. May raise StoreError."""

    def __init__(self, destination: Destination, source: Source | None = None) -> None:
        self._destination = destination
        self._plant = destination.plant
        self._errands = Errands()
        self._source = source
        self._taken = False
        sources = destination.plant.sources
        self._warmth = None if sources is None or source is None else sources.warmth
        self._ahead = Ahead(destination.plant.work, lambda: destination.plant.slots.talking)

    def __bool__(self) -> bool:
        return bool(self._errands)

    @property
    def domain(self) -> str:
        """Of whoever is next."""
        return self._errands.first.parcel.domain

    async def take(self) -> bool:
        """The next of the destination's queue; False if there is nobody, or nobody is to be taken."""
        taken = self._destination.take(self._source, again=self._taken)
        self._taken = True
        if taken:
            self._errands.add(await _errands(self._plant.work, taken))
        return bool(taken)

    def short_of(self, connection: Connection, count: int) -> bool:
        """Fewer than `count` transactions are at hand."""
        return self._errands.short_of(count, self._most(connection))

    def sizes(self, count: int) -> list[int]:
        """Recipients of each of the next `count` transactions, at most."""
        most = self._destination.recipients_limit(trio.current_time())
        return self._errands.sizes(count, most)

    def pop(self) -> Errand:
        """Take out the recipients of the next transaction."""
        parcel = self._errands.first.parcel
        most = self._destination.recipients_limit(trio.current_time())
        return self._errands.pop(most if parcel.shared else 1)

    def put_back(self, errands: Sequence[Errand], connection: Connection) -> None:
        """They were about to go on this connection, and are the next."""
        self._errands.put_back(errands)
        if self._warmth is not None:
            self._unclaim(connection, sum(len(errand.roll) for errand in errands))

    def rest(self) -> list[Errand]:
        """Take out all that is left."""
        self.forget()
        return self._errands.rest()

    def forget(self) -> None:
        """The letters that were written: it may be long until they are needed."""
        self._ahead.forget()

    async def prepare(self, connection: Connection, count: int) -> None:
        """So that the next `count` transactions are at hand, as far as there is room for their letters."""
        if self.short_of(connection, count):
            await self.take()
        if self._ahead.several:
            await self._letters(count, self._most(connection))

    async def consignments(
        self, connection: Connection, count: int, flying: Iterable[Consignment] = ()
    ) -> list[Consignment]:
        """The next transactions, at most `count`; none where nobody of them is to be sent to, or may be.

        `flying` are in flight on the connection, and the room for content is theirs, too.
        """
        # only now is it known how many the exchanger takes at once
        most = self._most(connection)
        if self._warmth is not None and self._source is not None:
            await self._warmth.provide(self._source, connection.host, sum(self._errands.sizes(count, most)))
        letters = await self._letters(count, most)
        if self._destination.stopping:
            return []
        room = min(IN_FLIGHT, ALL // max(1, self._plant.slots.talking))
        octets = [one.letter.size for one in flying]
        parts = self._errands.cut(letters, count, most, room - sum(octets), at_least=0 if octets else 1)
        if self._warmth is None:
            return consigning.consignments(parts, self._destination, connection)
        parts = self._within_quota(parts, self._warmth, connection.host)
        found = consigning.consignments(parts, self._destination, connection)
        sent = sum(len(one.roll) for one in found)
        self._unclaim(connection, sum(len(part.roll) for part in parts) - sent)
        return found

    def _within_quota(self, parts: Sequence[Part], warmth: Warmth, host: str) -> list[Part]:
        """Those of them who may be sent to today; the others are the next again."""
        assert self._source is not None
        wanted = sum(len(part.roll) for part in parts)
        left = warmth.claim(self._source, host, wanted)
        if left == wanted:
            return list(parts)
        kept, rest = [], []
        for part in parts:
            count = min(left, len(part.roll))
            left -= count
            if count:
                kept.append(part._replace(roll=part.roll[:count]))
            if count < len(part.roll):
                rest.append(Errand(part.parcel, part.roll[count:]))
        why = warmth.spent(self._source, host)
        if why is None or warmth.spent(self._source, self._destination.site.name) is not None:
            self._errands.put_back(rest)
            return kept
        # A host of another provider, which the site has for bad times: from this source it takes no more
        # today, and nobody else sees that. Whoever comes next may find one of the others.
        for errand in rest:
            settled = [(one, why) for one in errand.roll]
            self._destination.settle(errand.parcel, settled, NOWHERE, attempted=False)
        return kept

    def _unclaim(self, connection: Connection, count: int) -> None:
        if self._warmth is not None and self._source is not None and count:
            self._warmth.unclaim(self._source, connection.host, count)

    def _most(self, connection: Connection) -> int:
        limit = self._destination.recipients_limit(trio.current_time())
        return max(1, least(limit, connection.extensions.limits.rcptmax))

    async def _letters(self, count: int, most: int) -> list[Letter | str]:
        """Those of the next transactions, as far as there is room for them."""
        try:
            return await self._ahead.letters(self._errands.wanted(count, most), self._errands.upcoming)
        except ConfigError as error:
            self._plant.unwritable(error)
            return []


async def _errands(work: Work, taken: Sequence[Taken]) -> list[Errand]:
    """With everybody in them, as far as they were not read before."""
    if len(taken) == 1 and (known := taken[0].roll) is not None:
        return [Errand(taken[0].parcel, known)]
    rolls = iter(await work.fetch([one.spans for one in taken if one.roll is None]))
    return [Errand(one.parcel, one.roll if one.roll is not None else next(rolls)) for one in taken]
