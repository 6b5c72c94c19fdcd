"""One session: a task with one connection at a time, and one transaction after another on it.

The road of a transaction is the straight one: letter, envelope in one flight, intent on disk, end of data,
reply, verdict on disk. What each answer means is decided in `transaction`; this file only carries it out. A
recipient who was taken leaves it with a verdict on disk, or back in the queue of the destination; when the
task is cancelled in between, the intent on disk says all that is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from bulkmail.delivery.ahead import Ahead
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.line import Line
from bulkmail.delivery.shaping import least
from bulkmail.delivery.slots import SHORTAGE_PAUSE_S
from bulkmail.delivery.transaction import addressed, commands, judge_content, transact, trouble_of
from bulkmail.delivery.unreached import NOWHERE, where_of
from bulkmail.delivery.work import Fated, Letter, Opened, Parcel, Recipient, Where, spans_of
from bulkmail.errors import ConfigError, LocalResourceError, StoreError
from bulkmail.transport.connection import Connection
from bulkmail.transport.stage import Stage

RECORD_S = 60.0  # for a verdict to be on disk: longer than any commit that will still end
BREAK_OFF_S = 5.0  # to write down what was open when we were stopped; the intent on disk says it otherwise
PATIENCE_S = 5.0  # for which a connection may wait for the message rate; hosts close idle ones in minutes


async def session(destination: Destination) -> None:
    """Work for `destination` until it has nothing more to take. Raises StoreError, CredentialsRefused."""
    guest = _Session(destination)
    slots = destination.plant.slots
    try:
        with destination.waiting() as wait:
            await slots.enter(guest, probing=not destination.is_proven)
        if not wait.cancelled_caught:
            while not guest.surplus and (taken := destination.take()) is not None:
                parcel, spans = taken
                await guest.work_off(parcel, list(await destination.plant.work.fetch(spans)))
    except BaseException:
        destination.stopping = True  # the run is over: another session would only end in the same way
        raise
    finally:
        slots.leave(guest)
        try:
            await guest.line.leave()
        finally:
            destination.session_ended()


class _Session:
    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.plant = destination.plant
        self.site = destination.site
        self.line = Line(destination)
        self.ahead = Ahead(destination.plant.work, lambda: destination.plant.slots.taken)
        self.surplus = False  # the site takes no more connections than the others have

    async def work_off(self, parcel: Parcel, recipients: list[Recipient]) -> None:
        """Deliver to `recipients`, as few transactions as their content allows."""
        while recipients:
            if self.destination.stopping or self.destination.held_by is not None or self.surplus:
                break
            most = self._most(parcel)
            batch, recipients = recipients[:most], recipients[most:]
            again = await self._transaction(parcel, batch, () if parcel.shared else recipients)
            recipients = [*again, *recipients]
        self.ahead.forget()
        held = self.destination.held_by
        if recipients and held is not None and not self.destination.stopping:
            # the site was given up while these were in our hands
            await self._settle(parcel, [(one, held) for one in recipients], NOWHERE, attempted=False)
        else:
            self.destination.put_back(parcel, recipients)

    def _proven(self) -> None:
        """The site takes an envelope, or at least talks sense: this session is no probe any more."""
        self.plant.slots.proven(self)
        self.destination.proven()

    def _most(self, parcel: Parcel) -> int:
        if not parcel.shared:
            return 1
        connection = self.line.connection
        announced = connection.extensions.limits.rcptmax if connection is not None else None
        return max(1, least(self.site.recipients_limit(trio.current_time()), announced))

    async def _wait_turn(self) -> bool:
        """Wait for the site's message rate; False when the run is being stopped.

        Without a connection, if it is long: the peer would close it, and say 421 to a MAIL not yet sent.
        """
        turn = self.site.messages.book(trio.current_time())
        if turn - trio.current_time() <= PATIENCE_S:
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

    # --- one transaction ---------------------------------------------------------------------------

    async def _transaction(
        self, parcel: Parcel, batch: list[Recipient], following: Sequence[Recipient]
    ) -> list[Recipient]:
        """Deliver one letter to `batch`. Everybody gets a verdict but those returned, who go again.

        `following` will each have a letter of their own.
        """
        if not await self._wait_turn():
            return batch
        fates: list[Fated] = []
        try:
            connection = await self.line.connected(parcel.domain)
        except LocalResourceError:
            await self._pause()
            return batch
        if connection is None or self.destination.stopping:
            return batch
        if isinstance(connection, Disposition):
            if connection.scope is Scope.SITE and self.site.is_full(trio.current_time()):
                self.surplus = True
                return batch
            fates.extend((one, connection) for one in batch)
            await self._settle(parcel, fates, NOWHERE)
            if connection.scope is Scope.SITE:
                await self.destination.met_trouble(connection, NOWHERE)
            return []
        letter = await self._written(batch[0], following)
        if letter is None:
            return batch
        # only now is it known how many the exchanger takes at once, and whether others may see this letter
        most = self._most(parcel) if isinstance(letter, Letter) and not letter.alone else 1
        again = await self._converse(connection, parcel, batch[:most], letter)
        return [*again, *batch[most:]]

    async def _written(self, one: Recipient, following: Sequence[Recipient]) -> Letter | str | None:
        """The letter of `one`, or why there is none; None when the run is being stopped."""
        try:
            letter = await self.ahead.letter(one, following)
        except ConfigError as error:
            self.plant.unwritable(error)
            return None
        return None if self.destination.stopping else letter

    async def _converse(
        self, connection: Connection, parcel: Parcel, batch: list[Recipient], letter: Letter | str
    ) -> list[Recipient]:
        """The transaction proper; returns those who go again at once."""
        where = where_of(connection)
        # asked last: who asks for no more mail until now gets none, whatever was written for him (H3)
        withheld = self.plant.work.withheld(batch)
        fates: list[Fated] = [(one, SUPPRESSED) for one in batch if one.id in withheld]
        rest = [one for one in batch if one.id not in withheld]
        if isinstance(letter, str):
            skipped = Disposition(Fate.SKIPPED, Scope.MESSAGE, Stage.MAIL, note=letter)
            await self._settle(parcel, [*fates, *((one, skipped) for one in rest)], where)
            return []
        sendable, paths, refused = addressed(letter, rest, connection.extensions)
        fates += refused
        if not sendable:
            await self._settle(parcel, fates, where)
            return []
        envelope = commands(letter, paths, connection.extensions)
        key = next(self.plant.intent_keys)
        ending: list[Recipient] = []

        async def intend(positions: Sequence[int]) -> None:
            self._proven()
            accepted = [sendable[position] for position in positions]
            spans = spans_of(one.id for one in accepted)
            await self.plant.work.record(opened=Opened(key, spans, where, self.plant.now()))
            ending.extend(accepted)

        before = connection.transactions
        try:
            done = await transact(connection, envelope, letter.content, intend)
        except trio.Cancelled:
            await self._break_off(connection, ending, where, key)
            raise
        self.plant.tally.transactions += 1
        if done.unheard and (before or connection.reused):
            # the peer had closed an idle connection: a fresh one, and no attempt is charged (G9)
            return [*sendable, *(one for one, _ in fates)]
        now = trio.current_time()
        trouble = trouble_of(done.fates)
        if done.fell_silent and not connection.lockstep:
            self.site.learn(now, lockstep=True)  # what we sent ahead was thrown away (X9)
        elsewhere = False
        if before and trouble is not None and trouble.stage is Stage.MAIL and trouble.code == 421:
            # so many on one connection and no more (X10): no trouble, the next connection is shorter
            self.site.learn(now, messages=before)
            trouble, elsewhere = None, True
        elif trouble is not None:
            elsewhere = self.line.fail_over(trouble)
        again: list[Recipient] = []
        for one, fate in zip(sendable, done.fates, strict=True):
            if fate.fate is Fate.AGAIN or (elsewhere and _of_this_session(fate)):
                again.append(one)
            else:
                fates.append((one, fate))
        if any(fate.fate is Fate.AGAIN for fate in done.fates):
            self.site.learn(now, recipients=sum(fate.fate is not Fate.AGAIN for fate in done.fates))
        # what was answered must not become a doubt because we are stopped before it is on disk
        with trio.CancelScope(deadline=now + RECORD_S, shield=True) as recording:
            await self._settle(parcel, fates, where, closed=key)
        if recording.cancelled_caught:
            raise StoreError(f"the journal did not take an outcome within {RECORD_S:g} s")
        if trouble is None:
            self.site.went_well()
            self.line.went_well()
            self._proven()
        elif not elsewhere:
            await self.destination.met_trouble(trouble, where)
        if elsewhere:
            await self.line.leave()
        return again

    async def _break_off(
        self, connection: Connection, ending: Sequence[Recipient], where: Where, key: int
    ) -> None:
        """We are stopped in the middle (P2): record of the `ending` what the precedence rule says of them.

        Who has not had his last octet handed over is simply not delivered to yet, and says nothing.
        """
        fates: list[Fated] = []
        if ending:
            outcome = judge_content(connection.interrupted)
            if outcome.reply is not None or outcome.fate is Fate.IN_DOUBT:
                fates = [(one, outcome) for one in ending]
        with trio.CancelScope(deadline=trio.current_time() + BREAK_OFF_S, shield=True):
            verdicts = self.plant.verdicts(fates, where)
            await self.plant.work.record(verdicts, closed=key, recipients=ending)

    async def _settle(
        self,
        parcel: Parcel,
        fates: Sequence[Fated],
        where: Where,
        *,
        closed: int | None = None,
        attempted: bool = True,
    ) -> None:
        """Put the verdicts on disk, neighbours with the same fate as one, and tell the parcel."""
        ordered = sorted(fates, key=lambda pair: pair[0].id)
        verdicts = self.plant.verdicts(ordered, where, attempted=attempted)
        if verdicts or closed is not None:
            people = [one for one, _ in ordered]
            await self.plant.work.record(verdicts, closed=closed, recipients=people)
        self.destination.settled(parcel, len(fates))


def _of_this_session(fate: Disposition) -> bool:
    """With another connection it may be otherwise."""
    return fate.fate is Fate.DEFERRED and fate.scope is Scope.SESSION


SUPPRESSED = Disposition(Fate.SUPPRESSED, Scope.RECIPIENT, Stage.MAIL, note="suppressed since the plan")
