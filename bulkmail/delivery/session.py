"""One session: a task with one connection at a time, and transactions on it, as many at once as it takes.

The road is the straight one: turn, connection, letters, intents on disk, everything on the wire in as few
round trips as the host allows (`convey`), replies, verdicts noted. What each answer means is decided in
`transaction` and `convey`, what it means for those behind it in `conclusion`; this file only carries it out.
A recipient who was taken leaves it with a verdict noted, or back in the queue of the destination; when the
task is cancelled in between, the intent on disk says all that is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from bulkmail.delivery import consigning, convey, leaving
from bulkmail.delivery.conclusion import Conclusion
from bulkmail.delivery.consignment import Consignment, Turn
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Scope
from bulkmail.delivery.errands import Errand
from bulkmail.delivery.line import Line
from bulkmail.delivery.slots import SHORTAGE_PAUSE_S
from bulkmail.delivery.supply import Supply
from bulkmail.delivery.transaction import Transacted
from bulkmail.delivery.turns import Turns
from bulkmail.delivery.unreached import NOWHERE, where_of
from bulkmail.delivery.work import Roll
from bulkmail.errors import LocalResourceError
from bulkmail.transport.connection import Connection

PATIENCE_S = 5.0  # for which a connection may wait for the message rate; hosts close idle ones in minutes
IDLE_S = 2.0  # after which a connection may have been closed: what is sent then is not sent in one breath


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
            while not guest.surplus and await guest.supply.take():
                await guest.work_off()
            await leaving.vacated(destination, guest.source)
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
            destination.session_ended(guest.source)


class _Session:
    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.plant = destination.plant
        self.site = destination.site
        self.source = destination.queue.begin()
        self.line = Line(destination, self.source)
        self.supply = Supply(destination, self.source)
        self.turns = Turns(destination, self.supply)
        self.surplus = False  # the site takes no more connections than the others have
        self._spoke: tuple[Connection, float] | None = None  # whom we heard last, and when

    async def work_off(self) -> None:
        """Deliver to everybody at hand, in as few transactions as their content allows."""
        while self.supply:
            if self.over or self.surplus:
                break
            await self._next()
        await leaving.put_back(self.destination, self.source, self.supply.rest())

    # --- before MAIL -------------------------------------------------------------------------------

    async def _next(self) -> None:
        """Deliver to the first of them. All get a verdict but those who go again, who are the first again."""
        seats = self.destination.seats
        if seats.shared and (seats.too_many or (self.turns.began and self.line.spent and seats.asked_for)):
            self.surplus = True
            return
        self.turns.began = True
        if not await self._wait_turn():
            return
        try:
            connection = await self.line.connected(self.supply.domain, self)
        except LocalResourceError:
            await self._pause()
            return
        if connection is None or self.destination.stopping:
            return
        if isinstance(connection, Disposition):
            await self._no_connection(connection)
            return
        carry, count = self._way(connection)
        count = 1 + self.turns.more(min(count, self.line.left(connection)) - 1, behind=1)
        consignments = await self.turns.consignments(connection, count)
        if consignments:
            await self._converse(connection, carry, consignments)

    @property
    def over(self) -> bool:
        """Nobody more is to be sent to: the run is being stopped, the site was given up, or our source."""
        return self.destination.stopping or self.destination.is_closed_to(self.source)

    def _way(self, connection: Connection) -> tuple[convey.Carry, int]:
        """How the next transactions go to this host, and how many together."""
        now, site = trio.current_time(), self.site
        learned, extensions = site.learned(now), connection.extensions
        window = self.destination.window(now)
        # A host may close a connection after each message, or when it was idle; what was then sent in one
        # breath would be in doubt.
        fresh = not connection.reused and not connection.transactions
        spoke = self._spoke is not None and self._spoke[0] is connection and now - self._spoke[1] < IDLE_S
        safe = site.keeps_connections and (fresh or spoke)
        if window == 1 or not safe or not extensions.pipelining or connection.lockstep:
            return convey.plain, 1
        if extensions.chunking and not learned.no_chunking and site.chunks is not False:
            if site.chunks:
                return convey.whole, window
            if site.prober is None or site.prober is self:
                # a middlebox may swallow what it does not know: one message shows whether BDAT works (X12)
                site.prober = self
                return convey.whole, 1
        return convey.riding, window

    async def _no_connection(self, why: Disposition) -> None:
        if leaving.blocked(self.destination, self.source, why):
            return  # nobody in our hands was refused: they go from elsewhere
        if why.scope is Scope.SITE and self.site.is_full(why, trio.current_time()):
            self.surplus = True
            return
        if self.turns.slowed(why, self.line.number):
            return
        parcel, roll = self.supply.pop()
        self.destination.settle(parcel, [(one, why) for one in roll], NOWHERE, attempted=not why.untried)
        if why.scope is Scope.SITE:
            await self.destination.met_trouble(why, NOWHERE)

    async def _wait_turn(self) -> bool:
        """Wait for the site's message rate; False: it is not for us. Without a connection, if it is long.

        The peer would close it, and say 421 to a MAIL not yet sent.
        """
        while not self.destination.stopping:
            self.surplus = self.surplus or self.turns.crowded
            if self.surplus or (turn := self.turns.book()) is None:
                break
            if turn.ahead > PATIENCE_S:
                await self.line.leave()
                self.supply.forget()
                await self._without_slot(turn.wait)
            else:
                with self.destination.waiting() as waiting:
                    await turn.wait()
                if waiting.cancelled_caught:
                    return False
            if self.turns.hold:
                break
        return not (self.destination.stopping or self.surplus)

    async def _pause(self) -> None:
        """This machine ran out of something: fewer sessions from now on, and nobody is charged (T6)."""
        self.plant.slots.shed(now := trio.current_time())
        await self._without_slot(partial(trio.sleep_until, now + SHORTAGE_PAUSE_S))

    async def _without_slot(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Others may have it meanwhile. Without one again only where the run is being stopped, or paused."""
        slots = self.plant.slots
        slots.leave(self)
        with self.destination.waiting() as waiting:
            await wait()
            await slots.enter(self, probing=not self.destination.is_proven)
        if waiting.cancelled_caught:
            self.surplus = True  # it has no slot: where we go on after all, that is for another session

    # --- the transactions --------------------------------------------------------------------------

    async def _converse(
        self, connection: Connection, carry: convey.Carry, consignments: list[Consignment]
    ) -> None:
        """Carry them out; who goes again at once is the first in the queue again."""
        turn = _Turn(self, connection, carry, consignments)
        conclusion = turn.conclusion
        slots = self.plant.slots
        try:
            slots.conversing(self)
            await carry(connection, consignments, turn)
        except trio.Cancelled:
            conclusion.close(known=True)  # a carrier that is cancelled tells of all that it must
            raise
        except BaseException:
            conclusion.close(known=False)
            raise
        slots.heard(self)
        conclusion.close(known=True)
        if leaving.blocked(self.destination, self.source, conclusion.blocked):
            pass  # the trouble is our source's, not the site's
        elif conclusion.trouble is None:
            self.spoke(connection)
            if conclusion.went_well:
                if not conclusion.in_flight:  # those prove nothing
                    turn.grow()
                self.line.went_well()
                self.proven()
        elif not conclusion.elsewhere:
            await self.destination.met_trouble(conclusion.trouble, where_of(connection))
        if conclusion.elsewhere:
            await self.line.leave()
        untouched = [Errand(one.parcel, one.roll) for one in conclusion.in_flight]
        self.supply.put_back(conclusion.again() + untouched, connection)

    def spoke(self, connection: Connection) -> None:
        """We have just heard from it."""
        self._spoke = (connection, trio.current_time())

    def proven(self) -> None:
        """The site takes an envelope, or at least talks sense: this session is no probe any more."""
        self.plant.slots.proven(self)
        self.destination.proven()


class _Turn(Turn):
    """Transactions that follow each other on one connection for as long as all goes well."""

    def __init__(
        self, session: _Session, connection: Connection, carry: convey.Carry, consignments: list[Consignment]
    ) -> None:
        self._session, self._site, self._supply = session, session.site, session.supply
        self._connection = connection
        self._carry, self.table = carry, session.plant.replies
        self._whole = carry is convey.whole
        self.conclusion = Conclusion(
            session.destination, session.line, connection, session.proven, whole=self._whole
        )
        self._expect(consignments)

    async def intend(self, ending: Sequence[tuple[Consignment, Roll]]) -> None:
        await self.conclusion.intend(ending)

    def tell(self, told: Sequence[tuple[Consignment, Transacted]]) -> bool:
        self._session.plant.slots.conversing(self._session)
        return self.conclusion.tell(told)

    def _expect(self, coming: list[Consignment]) -> None:
        self.conclusion.expect(coming)
        self._at_once = len(self.conclusion.in_flight)

    def grow(self) -> None:
        """What was in flight together was answered, and all went well."""
        self._site.went_well(self._connection.transactions, self._at_once)

    async def prepare(self) -> None:
        if not self._session.over:
            await self._supply.prepare(self._connection, -(-self._at_once // 2))

    async def more(self) -> list[Consignment]:
        session, conclusion, connection = self._session, self.conclusion, self._connection
        flying = len(conclusion.in_flight)
        if conclusion.went_well:
            session.spoke(connection)
            if flying <= (not self._whole):  # where envelopes ride, the last of those before is always open
                self.grow()
        if session.over or not (flying or self._whole or connection.quiet):
            return []
        carry, window = session._way(connection)
        # Where another session has met trouble, or seen that there is a better way, this turn is over. The
        # window slides once it has grown; until then each size is to be seen to go well as a whole.
        if carry is not self._carry or (self._whole and flying and not self._site.grown):
            return []
        self._supply.put_back(conclusion.again(), connection)
        count = min(window - flying, session.line.left(connection))
        if count <= 0:  # the host has taught meanwhile that it takes fewer messages than are in flight here
            return []
        while self._supply.short_of(connection, count) and await self._supply.take():
            pass
        if not self._supply:
            return []
        count = session.turns.more(count)
        if count <= 0:
            return []
        coming = await session.turns.consignments(connection, count, conclusion.in_flight)
        self._expect(coming)
        return coming

    def still(self, one: Consignment) -> bool:
        if consigning.still(one, self._session.destination, self._connection):
            return True
        self.conclusion.drop(one)
        return False
