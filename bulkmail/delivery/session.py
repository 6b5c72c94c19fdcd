"""One session: a task with one connection at a time, and transactions on it, as many at once as it takes.

The road is the straight one: turn, connection, letters, intents on disk, everything on the wire in as few
round trips as the host allows (`convey`), replies, verdicts noted. What each answer means is decided in
`transaction` and `convey`, what it means for those behind it in `conclusion`; this file only carries it out.
A recipient who was taken leaves it with a verdict noted, or back in the queue of the destination; when the
task is cancelled in between, the intent on disk says all that is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from bulkmail.delivery import consigning, convey
from bulkmail.delivery.ahead import Ahead
from bulkmail.delivery.conclusion import Conclusion
from bulkmail.delivery.convey import Consignment
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Scope
from bulkmail.delivery.errands import Errand, Errands
from bulkmail.delivery.line import Line
from bulkmail.delivery.shaping import least
from bulkmail.delivery.slots import SHORTAGE_PAUSE_S
from bulkmail.delivery.transaction import Transacted
from bulkmail.delivery.unreached import NOWHERE, where_of
from bulkmail.delivery.work import Taken, Work
from bulkmail.errors import ConfigError, LocalResourceError
from bulkmail.transport.connection import Connection

PATIENCE_S = 5.0  # for which a connection may wait for the message rate; hosts close idle ones in minutes
IDLE_S = 2.0  # after which a connection may have been closed: what is sent then is not sent in one breath
IN_FLIGHT = 1024 * 1024  # octets of content in flight on a connection, unless a single message has more
ALL = 24 * 1024 * 1024  # on all of them: where they are many, each has less


async def session(destination: Destination) -> None:
    """Work for `destination` until it has nothing more to take. Raises StoreError, CredentialsRefused."""
    guest = _Session(destination)
    slots = destination.plant.slots
    try:
        entered = slots.enter_now(guest, probing=not destination.is_proven)
        if not entered:
            with destination.waiting() as wait:
                await slots.enter(guest, probing=not destination.is_proven)
            entered = not wait.cancelled_caught
        if entered:
            while not guest.surplus and (taken := destination.take()):
                await guest.work_off(Errands(await _errands(destination.plant.work, taken)))
            await destination.plant.work.synced()  # nobody may wait longer for the last verdicts
    except BaseException:
        destination.stopping = True  # the run is over: another session would only end in the same way
        raise
    finally:
        guest.site.unprobed(guest)
        slots.leave(guest)
        try:
            await guest.line.leave()
        finally:
            destination.session_ended()


async def _errands(work: Work, taken: Sequence[Taken]) -> list[Errand]:
    """With everybody in them, as far as they were not read before."""
    if len(taken) == 1 and (known := taken[0].roll) is not None:
        return [Errand(taken[0].parcel, known)]
    rolls = iter(await work.fetch([one.spans for one in taken if one.roll is None]))
    return [Errand(one.parcel, one.roll if one.roll is not None else next(rolls)) for one in taken]


class _Session:
    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.plant = destination.plant
        self.site = destination.site
        self.line = Line(destination)
        self.ahead = Ahead(destination.plant.work, lambda: destination.plant.slots.taken)
        self.surplus = False  # the site takes no more connections than the others have
        self._spoke: tuple[Connection, float] | None = None  # whom we heard last, and when

    async def work_off(self, errands: Errands) -> None:
        """Deliver to everybody in them, in as few transactions as their content allows."""
        while errands:
            if self._stopping() or self.destination.held_by is not None or self.surplus:
                break
            await self._next(errands)
        self.ahead.forget()
        held = self.destination.held_by
        for parcel, roll in reversed(errands.rest()):
            if held is not None and not self._stopping():
                # the site was given up while these were in our hands
                self.destination.settle(parcel, [(one, held) for one in roll], NOWHERE, attempted=False)
            else:
                self.destination.put_back(parcel, roll.ids)

    # --- before MAIL -------------------------------------------------------------------------------

    async def _next(self, errands: Errands) -> None:
        """Deliver to the first of them. All get a verdict but those who go again, who are the first again."""
        if not await self._wait_turn():
            return
        try:
            connection = await self.line.connected(errands.first.parcel.domain, self)
        except LocalResourceError:
            await self._pause()
            return
        if connection is None or self._stopping():
            return
        if isinstance(connection, Disposition):
            await self._no_connection(errands, connection)
            return
        carry, count = self._way(connection)
        count = 1 + self.site.messages.more(trio.current_time(), count - 1)
        consignments = await self._written(errands, connection, count)
        if consignments:
            await self._converse(connection, errands, carry, consignments)

    async def _written(self, errands: Errands, connection: Connection, count: int) -> list[Consignment]:
        """The next transactions, at most `count`; none where nobody of them is to be sent to, or may be."""
        # only now is it known how many the exchanger takes at once
        now, announced = trio.current_time(), connection.extensions.limits.rcptmax
        most = max(1, least(self.site.recipients_limit(now), announced))
        try:
            letters = await self.ahead.letters(errands.wanted(count, most), errands.upcoming)
        except ConfigError as error:
            self.plant.unwritable(error)
            return []
        if self._stopping():
            return []
        room = min(IN_FLIGHT, ALL // max(1, self.plant.slots.taken))
        return consigning.consignments(errands.cut(letters, count, most, room), self.destination, connection)

    def _stopping(self) -> bool:
        return self.destination.stopping

    def _way(self, connection: Connection) -> tuple[convey.Carry, int]:
        """How the next transactions go to this host, and how many together."""
        now, site = trio.current_time(), self.site
        learned, extensions = site.learned(now), connection.extensions
        window = site.window(now)
        # A host may close a connection after each message, or when it was idle; what was then sent in one
        # breath would be in doubt.
        fresh = not connection.reused and not connection.transactions
        spoke = self._spoke is not None and self._spoke[0] is connection and now - self._spoke[1] < IDLE_S
        safe = site.keeps_connections and (fresh or spoke)
        if window == 1 or not safe or not extensions.pipelining or connection.lockstep:
            return convey.plain, 1
        left = max(1, self.line.left(connection))
        if extensions.chunking and not learned.no_chunking and site.chunks is not False:
            if site.chunks:
                return convey.whole, min(window, left)
            if site.prober is None or site.prober is self:
                # a middlebox may swallow what it does not know: one message shows whether BDAT works (X12)
                site.prober = self
                return convey.whole, 1
        return convey.riding, min(window, left)

    async def _no_connection(self, errands: Errands, why: Disposition) -> None:
        now = trio.current_time()
        if why.scope is Scope.SITE and self.site.is_full(now):
            self.surplus = True
            return
        parcel, roll = errands.pop(self.site.recipients_limit(now) if errands.first.parcel.shared else 1)
        self.destination.settle(parcel, [(one, why) for one in roll], NOWHERE)
        if why.scope is Scope.SITE:
            await self.destination.met_trouble(why, NOWHERE)

    async def _wait_turn(self) -> bool:
        """Wait for the site's message rate; False when the run is being stopped.

        Without a connection, if it is long: the peer would close it, and say 421 to a MAIL not yet sent.
        """
        now = trio.current_time()
        turn = self.site.messages.book(now)
        if turn <= now:
            return not self.destination.stopping
        if turn - now <= PATIENCE_S:
            with self.destination.waiting():
                await trio.sleep_until(turn)
        else:
            await self.line.leave()
            self.ahead.forget()
            await self._sleep_without_slot(turn)
        return not self.destination.stopping

    async def _pause(self) -> None:
        """This machine ran out of something: fewer sessions from now on, and nobody is charged (T6)."""
        now = trio.current_time()
        self.plant.slots.shed(now)
        await self._sleep_without_slot(now + SHORTAGE_PAUSE_S)

    async def _sleep_without_slot(self, until: float) -> None:
        """Others may have it meanwhile. Without one again only where the run is being stopped."""
        slots = self.plant.slots
        slots.leave(self)
        with self.destination.waiting():
            await trio.sleep_until(until)
            await slots.enter(self, probing=not self.destination.is_proven)

    # --- the transactions --------------------------------------------------------------------------

    async def _converse(
        self, connection: Connection, errands: Errands, carry: convey.Carry, consignments: list[Consignment]
    ) -> None:
        """Carry them out; who goes again at once is the first in the queue again."""
        whole = carry is convey.whole
        conclusion = Conclusion(self.destination, self.line, connection, self._proven, whole=whole)
        conclusion.expect(consignments)
        at_once = len(consignments)

        async def more() -> list[Consignment]:
            # one less than may be in flight: the last of those before is not answered yet
            now = trio.current_time()
            if conclusion.went_well:
                self._spoke = (connection, now)
                self.site.went_well(connection.transactions, at_once)
            count = min(self.site.window(now) - 1, self.line.left(connection))
            if not errands or self._stopping() or self.destination.held_by is not None:
                return []
            if not whole and self.site.chunks and self._way(connection)[0] is convey.whole:
                return []  # another session has seen that there is a better way
            count = self.site.messages.more(now, count)
            coming = await self._written(errands, connection, count) if count > 0 else []
            conclusion.expect(coming)
            return coming

        def still(one: Consignment) -> bool:
            if consigning.still(one, self.destination, connection):
                return True
            conclusion.drop(one)
            return False

        slots = self.plant.slots

        def tell(found: Sequence[tuple[Consignment, Transacted]]) -> bool:
            slots.conversing(self)
            return conclusion.tell(found)

        try:
            slots.conversing(self)
            await carry(connection, consignments, conclusion.intend, tell, more, still)
        except trio.Cancelled:
            conclusion.close(known=True)  # a carrier that is cancelled tells of all that it must
            raise
        except BaseException:
            conclusion.close(known=False)
            raise
        slots.heard(self)
        conclusion.close(known=True)
        if conclusion.trouble is None:
            self._spoke = (connection, trio.current_time())
            if conclusion.went_well:
                self.site.went_well(connection.transactions, at_once)
                self.line.went_well()
                self._proven()
        elif not conclusion.elsewhere:
            await self.destination.met_trouble(conclusion.trouble, where_of(connection))
        if conclusion.elsewhere:
            await self.line.leave()
        errands.put_back(conclusion.again + conclusion.untouched)

    def _proven(self) -> None:
        """The site takes an envelope, or at least talks sense: this session is no probe any more."""
        self.plant.slots.proven(self)
        self.destination.proven()
