"""From a route to an open connection: hosts by preference, addresses in turn, until one is ready for MAIL.

How it thinks: what goes wrong before the greeting concerns an address, so the host's next one is tried; what
goes wrong from the greeting on concerns the host, so the next MX is (T1, T3, G1). Each failure becomes an
`Attempt`, and when nothing is left they are raised together. Addresses that did not answer are remembered in
`DeadAddresses`, sites on which TLS does not work in a bounded memory of our own (S4).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import trio

from bulkmail.dns.routes import Host, Route
from bulkmail.dns.shortage import in_words, is_shortage
from bulkmail.errors import ConnectionLost, LocalResourceError, TlsRefused
from bulkmail.smtp.heard import Heard
from bulkmail.transport.approach import Approach, Demand, Manner, Source, TlsPolicy
from bulkmail.transport.attempt import Attempt, Unreachable
from bulkmail.transport.connection import Connection
from bulkmail.transport.dead import DeadAddresses, Remembered
from bulkmail.transport.introduction import Refusal, greet, introduce
from bulkmail.transport.race import Race, connect_tcp, race
from bulkmail.transport.reach import Ipv4Only, known_as, out_of_reach, within_reach
from bulkmail.transport.stage import Stage
from bulkmail.transport.stream import Transport

__all__ = ["Attempt", "DeadAddresses", "Dialer", "Unreachable"]

STAGGER = 0.25  # seconds between the addresses of a host (RFC 8305 section 5)
AT_ONCE = 0.1  # seconds before a host is called again that dropped the connection without a word
CLEAR_TEXT = 3600.0  # seconds for which a site whose TLS does not work is spoken to without


class Caller:
    """Who waits for a connection, and is told how far it has come. This one does not care."""

    __slots__ = ()

    @property
    def apart(self) -> str:
        """The domain for which it is to be a connection of its own; "": one for all."""
        return ""

    def queued(self) -> None:
        """He waits for room at the hosts: for us, and for none of them."""

    def dialling(self, give_up: Callable[[], None]) -> None:
        """From now on he waits for a host. `give_up`, until it has greeted, goes on to the next one."""

    async def greeted(self) -> None:
        """A host has greeted; the EHLO that answers it is sent when this returns."""


NOBODY = Caller()

Opens = Callable[..., Awaitable[trio.abc.Stream | Transport]]  # a connection to (address, port)


@dataclass(slots=True)
class _Contact:
    """A race for a host's addresses, and what the winner said first."""

    race: Race
    connection: Connection | None
    refusal: Refusal | None = None

    @property
    def reset(self) -> bool:
        """The address took the connection and dropped it without a word."""
        refusal = self.refusal
        return refusal is not None and refusal.reply is None and isinstance(refusal.failure, ConnectionLost)


class Dialer:
    """Opens connections as `approach` says. `connect(address, port)` is for tests; it raises OSError, and has
    `source` where connections come from a given one.

    What did not answer to one source may answer to another: they are remembered apart.
    """

    def __init__(
        self,
        approach: Approach,
        *,
        dead: DeadAddresses,
        connect: Opens | None = None,
        stagger: float = STAGGER,
    ) -> None:
        self.approach = approach
        self._dead = dead
        self._connect: Opens = connect_tcp if connect is None else _bounded(connect)
        self._stagger = stagger
        self._clear: Remembered[str] = Remembered(CLEAR_TEXT)
        # of the connections to a host, for a domain that has some of its own, or for all
        self.manner: Callable[[str, str], Manner | None] = lambda host, apart: None
        self.on_clear_text: Callable[[str], None] = lambda site: None  # TLS does not work there, today
        self.ipv4_only = Ipv4Only()
        self._heard = Heard()

    async def open(
        self,
        route: Route,
        *,
        admit: Callable[[Host], bool] | None = None,
        caller: Caller = NOBODY,
        source: Source | None = None,
    ) -> Connection:
        """A connection on which MAIL may be sent. `admit` is asked before each host (the pool's limit).

        Raises Unreachable when every host was tried, LocalResourceError when this machine ran out of
        something (T6), SourceLost where it has not the address of `source`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()  # connecting is a wait in any case
        attempts: list[Attempt] = []
        for host in route.hosts:
            if admit is not None and not admit(host):
                no_room = "no room for another connection"
                attempts.append(Attempt(host.name, "", Stage.CONNECT, None, no_room, asked=False))
                continue
            connection = None
            with trio.CancelScope() as patience:
                caller.dialling(patience.cancel)
                connection = await self._open_host(host, route.site, attempts, caller, source)
            if patience.cancelled_caught:
                self._fell_silent(host, attempts, source)
            if connection is not None:
                return connection
        raise Unreachable(tuple(attempts))

    def demand(self, host: str, apart: str) -> Demand:
        return Demand(apart, self.manner(host, apart))

    def alive(self, host: Host, *, without: Collection[str] = (), source: Source | None = None) -> bool:
        """Some address of `host` may be tried now, one that is not in `without`."""
        now, port = trio.current_time(), self.approach.port
        return any(
            address not in without and not self._dead.is_dead(known_as(address, source), port, now)
            for address in within_reach(host, source)
        )

    def avoid(self, addresses: Collection[str], source: Source | None = None) -> None:
        """A conversation with the host of these failed in the middle: others are better for a while."""
        now = trio.current_time()
        for address in addresses:
            self._dead.mark_troubled(known_as(address, source), self.approach.port, now)

    def forgo_tls(self, site: str) -> None:
        """TLS is known not to work there: where clear text is good enough, it is not tried for a while."""
        self._clear.add(site, trio.current_time())

    def _fell_silent(self, host: Host, attempts: list[Attempt], source: Source | None) -> None:
        """None of its addresses answered in the time that there was."""
        why = "silent for too long, while others had to wait"
        for address in host.addresses:
            self._mark_dead(address, source, why)
        attempts.append(Attempt(host.name, "", Stage.CONNECT, None, why))

    def _mark_dead(self, address: str, source: Source | None, why: str) -> None:
        self._dead.mark(known_as(address, source), self.approach.port, trio.current_time(), why)

    def _passed_over(self, host: Host, near: Sequence[str], source: Source | None) -> Attempt:
        """Nobody is asked: the addresses within reach, if any, did not answer lately."""
        if not near:
            return Attempt(host.name, "", Stage.CONNECT, None, out_of_reach(host, source), asked=False)
        why = self._dead.why(known_as(near[-1], source), self.approach.port)
        return Attempt(host.name, near[-1], Stage.CONNECT, None, f"{why}; left alone for now", asked=False)

    async def _open_host(
        self, host: Host, site: str, attempts: list[Attempt], caller: Caller, source: Source | None
    ) -> Connection | None:
        demand = self.demand(host.name, caller.apart)
        approach, now, port = self._approach(demand, source), trio.current_time(), self.approach.port
        near = self.ipv4_only.among(within_reach(host, source), site, now)
        addresses = [one for one in near if self._dead.may_try(known_as(one, source), port, now)]
        if not addresses:
            attempts.append(self._passed_over(host, near, source))
        while addresses:
            contact = await self._contact(host, addresses, source, approach)
            if contact.reset:
                # Mostly a full backlog, or a balancer that lost a server: worth one more try at once, which
                # saves the recipients a deferral.
                await trio.sleep(AT_ONCE)
                contact = await self._contact(host, addresses, source, approach)
            self._note_failures(host, contact, attempts, source)
            if contact.connection is None:
                return None
            address = contact.race.address
            refusal = contact.refusal
            if refusal is None:
                self._dead.forgive(known_as(address, source), port)
                refusal = await _or_close(
                    contact.connection, self._introduce(contact.connection, site, caller, approach)
                )
            if refusal is None:
                contact.connection.demand = demand
                return contact.connection
            if (without_tls := _falls_back(refusal, approach)) is not None:
                self.forgo_tls(site)
                if without_tls.lasting:
                    self.on_clear_text(site)
                continue  # the same addresses, this time without TLS
            attempts.append(Attempt(host.name, address, refusal.stage, refusal.reply, refusal.error))
            if refusal.stage is not Stage.GREETING or refusal.reply is not None:
                return None
            self._mark_dead(address, source, refusal.error)
            if refusal.timed_out:  # minutes were spent already
                return None
            tried = {address, *contact.race.failures}
            addresses = [address for address in addresses if address not in tried]
        return None

    def _approach(self, demand: Demand, source: Source | None) -> Approach:
        approach = self.approach if demand.manner is None else self.approach.within(demand.manner)
        return approach if source is None else replace(approach, ehlo=source.ehlo)

    async def _contact(
        self, host: Host, addresses: list[str], source: Source | None, approach: Approach
    ) -> _Contact:
        limits = approach.time_limits
        connect = self._connect
        if source is not None and source.address:
            connect = partial(connect, source=source.address)
        result = await race(
            addresses, self.approach.port, connect, limit_s=limits.connect, stagger_s=self._stagger
        )
        if result.stream is None:
            if result.lost is not None or result.shortage is not None:
                for address in addresses:
                    self._dead.unclaim(known_as(address, source), self.approach.port, trio.current_time())
            if result.lost is not None:
                raise result.lost
            if result.shortage is not None:
                raise LocalResourceError(f"cannot connect: {in_words(result.shortage)}")
            return _Contact(result, None)
        connection = Connection(
            result.stream,
            host=host.name,
            address=result.address,
            port=self.approach.port,
            time_limits=limits,
            heard=self._heard,
        )
        connection.source = source
        refusal = await _or_close(connection, greet(connection, approach))
        return _Contact(result, connection, refusal)

    async def _introduce(
        self, connection: Connection, site: str, caller: Caller, approach: Approach
    ) -> Refusal | None:
        await caller.greeted()
        clear = self._clear.holds(site, trio.current_time())
        optional = approach.posture is TlsPolicy.OPPORTUNISTIC
        return await introduce(connection, approach, clear=clear and optional)

    def _note_failures(
        self, host: Host, contact: _Contact, attempts: list[Attempt], source: Source | None
    ) -> None:
        for address, error in contact.race.failures.items():
            attempts.append(Attempt(host.name, address, Stage.CONNECT, None, in_words(error)))
            if not is_shortage(error, address):
                self._mark_dead(address, source, in_words(error))
        for address in contact.race.overtaken:
            # It may only be slow; then it is found alive when it is probed. A black hole would cost
            # every session the stagger (T2).
            self._mark_dead(address, source, "slower than another address")


def _falls_back(refusal: Refusal, approach: Approach) -> TlsRefused | None:
    """Why TLS, which was offered, does not work, where clear text is good enough (S4)."""
    optional = approach.posture is TlsPolicy.OPPORTUNISTIC
    if not optional or refusal.stage is not Stage.STARTTLS or refusal.reply is not None:
        return None
    return refusal.failure if isinstance(refusal.failure, TlsRefused) else None


def _bounded(connect: Opens) -> Opens:
    async def within(address: str, port: int, until: float, **source: str) -> trio.abc.Stream | Transport:
        with trio.CancelScope(deadline=until):
            return await connect(address, port, **source)
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    return within


async def _or_close(connection: Connection, step: Awaitable[Refusal | None]) -> Refusal | None:
    """What the step says; unless it succeeds, the connection is closed."""
    try:
        refusal = await step
    except BaseException:
        connection.abandon()
        raise
    if refusal is not None:
        await connection.quit()
    return refusal
