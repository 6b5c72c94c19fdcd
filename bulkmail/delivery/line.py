"""The connection of one session: had from the pool, given back to it, replaced by one to the next host.

What cannot be had is told as a disposition, for that is what it means to the recipients.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from bulkmail.delivery import leaving, pace
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.shaping import least
from bulkmail.delivery.unreached import no_connection, no_route
from bulkmail.dns.routes import NoRoute, Route
from bulkmail.errors import SourceLost
from bulkmail.transport.approach import Source
from bulkmail.transport.connection import Connection
from bulkmail.transport.dial import Caller, Unreachable
from bulkmail.transport.stage import Stage


class _Call(Caller):
    """Of `guest`, who has a slot for it."""

    __slots__ = ("_destination", "_guest")

    def __init__(self, destination: Destination, guest: object) -> None:
        self._destination, self._guest = destination, guest

    @property
    def apart(self) -> str:
        destination = self._destination
        return destination.domain and destination.plant.apart(destination.domain)

    def queued(self) -> None:
        self._destination.plant.slots.queued(self._guest)

    def dialling(self, give_up: Callable[[], None]) -> None:
        self._destination.plant.slots.dialling(self._guest, give_up)

    async def greeted(self) -> None:
        destination = self._destination
        await destination.plant.slots.greeted(self._guest, probing=not destination.is_proven)


class Line:
    """At most one connection at a time, from `source`."""

    def __init__(self, destination: Destination, source: Source | None = None) -> None:
        self.source = source
        self.connection: Connection | None = None
        self._destination = destination
        self._site = destination.site
        self._plant = destination.plant
        self._route: Route | None = None  # by which the connection was found
        self.number = 0  # of intents, there were so many when we last asked for a connection
        self._unmet: Disposition | None = None  # why what only our domain demands cannot be had
        self._left: set[str] = set()  # hosts left for another since anything went well

    async def connected(self, domain: str, guest: object) -> Connection | Disposition | None:
        """A connection that is idle, ours or another; why there is none; None when we are being stopped, or
        nothing leaves from our source any more.

        `guest` has the slot for it. He is not kept here: he has this line, and what goes round in a circle
        stays in memory until the collector looks.

        Raises LocalResourceError where this machine ran out of something, and CredentialsRefused.
        """
        ours = self.connection
        if ours is not None and ours.usable and ours.quiet and not self._worn(ours):
            return ours
        await self.leave()
        if self._unmet is not None:
            return self._unmet._replace(untried=True)
        slots = self._plant.slots
        try:
            slots.queued(guest)
            route = await self._destination.route(domain)
        finally:
            slots.heard(guest)
        if isinstance(route, NoRoute):
            return no_route(route)
        self._route = route
        self.number = next(self._plant.intent_keys)
        while self.connection is None:
            pacing = self._site.pacing
            pacing.calling += 1
            try:
                with self._destination.waiting() as wait:
                    call = _Call(self._destination, guest)
                    await self._turn(guest)
                    self.connection = await self._plant.pool.acquire(route, caller=call, source=self.source)
                    self._site.stands()
            except SourceLost:
                leaving.lost(self._destination, self.source)
                return None
            except Unreachable as unreachable:
                why = no_connection(unreachable, self._plant.replies)
                if why.stage is Stage.STARTTLS and call.apart:  # other domains of the site are not concerned
                    why = self._unmet = why._replace(scope=Scope.MESSAGE)
                return why
            finally:
                slots.heard(guest)
                pacing.calling -= 1
            if wait.cancelled_caught:
                return None
            if self.connection is not None and self._worn(self.connection):
                await self.leave()  # idle since the site took as many as it takes on one
        self.connection.lockstep = self._site.learned(trio.current_time()).lockstep
        if not self.connection.reused:
            self._site.announced(trio.current_time(), self.connection.extensions)
            self._plant.tally.connections += 1
            self._plant.slots.recover()
        return self.connection

    async def _turn(self, guest: object) -> None:
        """Wait until one more connection may be opened; who waits long needs no slot meanwhile."""
        calling = self._destination.level.calling
        if calling is not None:
            self._plant.slots.queued(guest)
            await pace.turn(calling)
            return
        turn = self._site.connections.book(now := trio.current_time())
        if turn > now:
            self._plant.slots.queued(guest)
            await trio.sleep_until(turn)

    @property
    def spent(self) -> bool:
        """Whoever goes on needs another connection."""
        ours = self.connection
        return ours is None or not ours.usable or self._worn(ours)

    async def leave(self) -> None:
        """Give the connection back. Cancelled or not, it is either pooled idle or closed.

        Closed also where it would take the place of one to another site of the provider, or of another
        campaign, and where there are fewer to be by now.
        """
        connection, self.connection = self.connection, None
        if connection is not None:
            self._site.left(trio.current_time())
            try:
                if self._worn(connection) or self._surplus or not self._site.pooled:
                    await connection.quit()
            finally:
                await self._plant.pool.release(connection)

    @property
    def _surplus(self) -> bool:
        """Idle, a connection would be one too many."""
        destination, seats = self._destination, self._destination.seats
        crowded = seats.surplus or seats.taken > destination.connections_limit(trio.current_time())
        return crowded or seats.elsewhere

    def fail_over(self, trouble: Disposition) -> bool:
        """The host cannot go on: leave it for the next one of its site, if there is one (RFC 5321 5.1).

        Each host is left once: where the next one does not take us either, that is trouble after all.
        """
        connection, route = self.connection, self._route
        if connection is None or route is None or connection.host in self._left:
            return False
        if not (
            trouble.fate is Fate.DEFERRED
            and trouble.scope is Scope.SESSION
            and trouble.stage in (Stage.MAIL, Stage.RCPT, Stage.DATA)
            and self._plant.pool.fail_over(connection, route)
        ):
            return False
        self._left.add(connection.host)
        return True

    def forgo_ipv6(self) -> bool:
        """The host wants nothing over IPv6: whether it is left, to be spoken to over IPv4."""
        ours, route = self.connection, self._route
        if ours is None or route is None or not self._has_ipv4(ours):
            return False
        self._plant.pool.dialer.ipv4_only.met(route.site, trio.current_time())
        return True

    def went_well(self) -> None:
        """A transaction brought what it could."""
        self._left.clear()
        if self.source is not None and self._plant.sources is not None:
            self._plant.sources.welcome(self.source, self._site.name)

    def left(self, connection: Connection) -> int:
        """Transactions that it may still carry."""
        most = least(
            self._destination.messages_limit(trio.current_time()), connection.extensions.limits.mailmax
        )
        return max(1, most) - connection.transactions

    def _worn(self, connection: Connection) -> bool:
        if ":" in connection.address:
            forgone = self._plant.pool.dialer.ipv4_only
            if forgone.holds(self._site.name, trio.current_time()) and self._has_ipv4(connection):
                return True
        return self.left(connection) <= 0

    def _has_ipv4(self, connection: Connection) -> bool:
        """There is another way to its host."""
        bound = self.source is not None and self.source.address
        hosts = () if self._route is None or bound else self._route.hosts
        return any(":" not in one for host in hosts if host.name == connection.host for one in host.addresses)
