"""One session: a task with one connection at a time, and one transaction after another on it.

The road of a transaction is the straight one: envelope in one flight, intent on disk, end of data, reply,
verdict on disk. What each answer means is decided in `envelope`; this file only carries it out. A recipient
who was taken leaves it with a verdict on disk, or back in the queue of the destination; when the task is
cancelled in between, the intent on disk says all that is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import trio

from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.plant import Fated
from bulkmail.delivery.shaping import least
from bulkmail.delivery.transaction import commands, judge_content, transact, unsendable
from bulkmail.delivery.unreached import NOWHERE, no_connection, no_route, where_of
from bulkmail.delivery.work import Opened, Parcel, Recipient, Where, spans_of
from bulkmail.dns.routes import NoRoute
from bulkmail.errors import LocalResourceError
from bulkmail.smtp import Mailbox
from bulkmail.transport.connection import Connection
from bulkmail.transport.dial import Unreachable
from bulkmail.transport.stage import Stage

BREAK_OFF_S = 5.0  # to write down what was open when we were stopped; the intent on disk says it otherwise
SHORTAGE_PAUSE_S = 1.0  # before a session asks again for what this machine had run out of

_keys = itertools.count(1)  # of intents: unique within the process, which holds the campaign's lock


async def session(destination: Destination) -> None:
    """Work for `destination` until it has nothing more to take. Raises StoreError."""
    guest = _Session(destination)
    slots = destination.plant.slots
    try:
        with destination.waiting():
            await slots.acquire_on_behalf_of(guest)
        if guest in slots.statistics().borrowers:
            try:
                while not guest.surplus and (taken := destination.take()) is not None:
                    parcel, spans = taken
                    await guest.work_off(parcel, list(await destination.plant.work.fetch(spans)))
            finally:
                slots.release_on_behalf_of(guest)
                await guest.leave()
    except BaseException:
        destination.stopping = True  # the run is over: another session would only end in the same way
        raise
    finally:
        destination.session_ended()


class _Session:
    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.plant = destination.plant
        self.connection: Connection | None = None
        self.surplus = False  # the site takes no more connections than the others have

    async def leave(self) -> None:
        """Give the connection back. Cancelled or not, it is either pooled idle or closed."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self.destination.standing -= 1
            try:
                if self._worn(connection):
                    await connection.quit()
            finally:
                await self.plant.pool.release(connection)

    async def work_off(self, parcel: Parcel, recipients: list[Recipient]) -> None:
        """Deliver to `recipients`, as few transactions as their content allows."""
        while recipients:
            if self.destination.stopping or self.destination.held_by is not None or self.surplus:
                break
            most = self._most(parcel)
            batch, recipients = recipients[:most], recipients[most:]
            again = await self._transaction(parcel, batch)
            recipients = [*again, *recipients]
        if recipients and self.destination.held_by is not None and not self.destination.stopping:
            # the site was given up while these were in our hands
            held = self.destination.held_by
            await self._settle(parcel, [(one, held) for one in recipients], NOWHERE, attempted=False)
        else:
            self.destination.put_back(parcel, recipients)

    def _most(self, parcel: Parcel) -> int:
        if not parcel.shared:
            return 1
        announced = self.connection.extensions.limits.rcptmax if self.connection is not None else None
        return max(1, least(self.destination.recipients_limit, announced))

    # --- the connection ----------------------------------------------------------------------------

    async def _connected(self, parcel: Parcel) -> Connection | Disposition | None:
        """A connection that is idle, ours or another; why there is none; None when we are being stopped."""
        connection = self.connection
        if connection is not None and connection.usable and not self._worn(connection):
            return connection
        await self.leave()
        route = await self.plant.routes.route(parcel.domain)
        if isinstance(route, NoRoute):
            return no_route(route)
        while self.connection is None:
            try:
                with self.destination.waiting() as wait:
                    await trio.sleep_until(self.destination.connects.book(trio.current_time()))
                    self.connection = await self.plant.pool.acquire(route)
                    self.destination.standing += 1
            except Unreachable as unreachable:
                return no_connection(unreachable)
            if wait.cancelled_caught:
                return None
            if self.connection is not None and self._worn(self.connection):
                await self.leave()  # idle since the site took as many as it takes on one
        self.connection.lockstep = self.destination.lockstep
        if not self.connection.reused:
            self.plant.tally.connections += 1
        self.destination.proven()
        return self.connection

    def _worn(self, connection: Connection) -> bool:
        most = least(self.destination.messages_limit, connection.extensions.limits.mailmax)
        return connection.transactions >= max(1, most)

    # --- one transaction ---------------------------------------------------------------------------

    async def _transaction(self, parcel: Parcel, batch: list[Recipient]) -> list[Recipient]:
        """Deliver one message to `batch`. Everybody gets a verdict but those returned, who go again."""
        fates: list[Fated] = []
        rest = self._without_withheld(batch, fates)
        try:
            content = self.plant.work.content(rest[0]) if rest else b""
        except ValueError as problem:
            skipped = Disposition(Fate.SKIPPED, Scope.MESSAGE, Stage.MAIL, note=str(problem))
            fates.extend((one, skipped) for one in rest)
            rest = []
        if not rest:
            await self._settle(parcel, fates, NOWHERE)
            return []
        try:
            connection = await self._connected(parcel)
        except LocalResourceError:
            # our fault, not the site's: fewer sessions from now on, and nobody is charged (T6)
            slots = self.plant.slots
            slots.total_tokens = max(1, int(slots.total_tokens) - 1)
            await trio.sleep(SHORTAGE_PAUSE_S)
            return batch
        if connection is None:
            return batch
        if isinstance(connection, Disposition):
            if connection.scope is Scope.SITE and self.destination.is_full():
                self.surplus = True
                return batch
            fates.extend((one, connection) for one in rest)
            await self._settle(parcel, fates, NOWHERE)
            if connection.scope is Scope.SITE:
                await self.destination.met_trouble(connection, NOWHERE)
            return []
        # only now is it known how many the exchanger takes at once
        most = self._most(parcel)
        again = await self._converse(connection, parcel, rest[:most], content, fates)
        return [*again, *rest[most:]]

    def _without_withheld(self, batch: list[Recipient], fates: list[Fated]) -> list[Recipient]:
        """Those who may be mailed; the others get their fate."""
        withheld = self.plant.work.withheld(batch)
        fates.extend((one, SUPPRESSED) for one in batch if one.id in withheld)
        return [one for one in batch if one.id not in withheld]

    async def _converse(
        self,
        connection: Connection,
        parcel: Parcel,
        batch: list[Recipient],
        content: bytes,
        fates: list[Fated],
    ) -> list[Recipient]:
        """The transaction proper; returns those who go again at once."""
        with self.destination.waiting():
            await trio.sleep_until(self.destination.messages.book(trio.current_time()))
        if self.destination.stopping:
            return [*batch, *(one for one, _ in fates)]
        batch = self._without_withheld(batch, fates)  # again: connecting and waiting may have taken long
        where = where_of(connection)
        sender = self.plant.reverse_path
        size, extensions = len(content), connection.extensions
        paths: list[Mailbox] = []
        sendable: list[Recipient] = []
        for one in batch:
            path = Mailbox.parse(one.address)
            if (refusal := unsendable(sender, path, size, extensions)) is not None:
                fates.append((one, refusal))
            else:
                paths.append(path)
                sendable.append(one)
        if not sendable:
            await self._settle(parcel, fates, where)
            return []
        key = next(_keys)
        ending: list[Recipient] = []

        async def intend(positions: Sequence[int]) -> None:
            accepted = [sendable[position] for position in positions]
            spans = spans_of(one.id for one in accepted)
            await self.plant.work.record(opened=Opened(key, spans, where, self.plant.now()))
            ending.extend(accepted)

        before = connection.transactions
        try:
            done = await transact(connection, commands(sender, paths, size, extensions), content, intend)
        except trio.Cancelled:
            await self._break_off(connection, ending, where, key)
            raise
        self.plant.tally.transactions += 1
        if done.unheard and (before or connection.reused):
            # the peer had closed an idle connection: a fresh one, and no attempt is charged (G9)
            return [*sendable, *(one for one, _ in fates)]
        again: list[Recipient] = []
        trouble: Disposition | None = None
        for one, fate in zip(sendable, done.fates, strict=True):
            if fate.fate is Fate.AGAIN:
                again.append(one)
                continue
            fates.append((one, fate))
            if fate.fate in (Fate.DEFERRED, Fate.IN_DOUBT) and fate.scope in (Scope.SESSION, Scope.SITE):
                trouble = fate
        if again:
            self.destination.learn(recipients=len(sendable) - len(again))
        if done.fell_silent and not connection.lockstep:
            self.destination.learn(lockstep=True)  # what we sent ahead was thrown away (X9)
        if before and trouble is not None and trouble.stage is Stage.MAIL and trouble.code == 421:
            # so many on one connection and no more (X10): that is no trouble, the next one is shorter
            self.destination.learn(messages=before)
            trouble = None
        await self._settle(parcel, fates, where, closed=key)
        if trouble is not None:
            await self.destination.met_trouble(trouble, where)
        else:
            self.destination.went_well()
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


SUPPRESSED = Disposition(Fate.SUPPRESSED, Scope.RECIPIENT, Stage.MAIL, note="suppressed since the plan")
