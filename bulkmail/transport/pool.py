"""Idle connections per MX host and source, and how many may be open to each host.

How it thinks: every decision is made in one synchronous function, `_decide`, from what is known at that
moment; connecting and closing follow outside of it. Room is counted in *slots*: a slot is taken before a host
is contacted and freed when its connection is closed, so the number of connections to a host, being opened,
in use or idle, never exceeds `most`. Whoever finds neither an idle connection nor a slot waits in a queue of
the hosts that would do, and is handed the next connection or slot directly: nobody who came later overtakes.

A connection serves only the source that it comes from; the slots of a host are of all sources together. Where
all are taken and an idle one comes from elsewhere, it is closed, and its slot has a new connection.

A connection is kept only if its protocol is idle; everything else is closed (DESIGN.md, invariants).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import trio

from bulkmail.dns.routes import Host, Route
from bulkmail.errors import LocalResourceError
from bulkmail.transport.approach import Source
from bulkmail.transport.connection import Connection
from bulkmail.transport.descriptors import idle_allowance
from bulkmail.transport.dial import NOBODY, Caller, Dialer, Unreachable
from bulkmail.transport.idle import Idle
from bulkmail.transport.waiting import Decision, Queues, Waiter


class Pool:
    """`per_host`: connections open to a host at once. `idle_s`: how long one is kept idle. Where others send
    there, too, `most` says how many of these are ours (then `relimit`).

    `messages`: how many one connection carries. `max_idle`: how many may be idle in all (default: what the
    limit of descriptors allows); beyond it the one that has been idle longest is closed.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        per_host: int,
        idle_s: float = 30,
        messages: int = 100,
        max_idle: int | None = None,
    ) -> None:
        self.dialer = self._dialer = dialer
        self.per_host = per_host
        self.most: Callable[[str], int] = lambda host: self.per_host
        self._idle_s, self._messages = idle_s, messages
        self._max_idle = idle_allowance() if max_idle is None else max_idle
        self._idle = Idle()
        self._open: Counter[str] = Counter()  # slots taken, by host
        self._waiting, self._closed = Queues(), False
        self._kept = trio.Event()  # one was put away: `expire` has a new deadline to look at

    @property
    def idle(self) -> int:
        """How many are idle."""
        return len(self._idle)

    def open_at(self, host: str) -> int:
        """How many slots are taken at a host."""
        return self._open[host]

    def limit(self, per_host: int) -> None:
        """From now on; who waits decides anew, and what is idle is closed, without a QUIT."""
        self.per_host = per_host
        self._waiting.dismiss_all()
        self._discard(self._idle.beyond(0))

    async def relimit(self, unkept: Callable[[str], bool]) -> None:
        """`most` says something else: who waits decides anew; what is idle at hosts `unkept` is closed."""
        self._waiting.dismiss_all()
        await self._say_goodbye(self._idle.at(unkept))

    async def acquire(
        self, route: Route, *, caller: Caller = NOBODY, source: Source | None = None
    ) -> Connection:
        """A connection from `source` for the caller alone, who must `release` it whatever happens.

        Raises what `Dialer.open` raises, and trio.ClosedResourceError once the pool is closed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            decision, dropped = self._decide(route, source, caller.apart)
            self._discard(dropped)
            connection, slot = decision.connection, decision.hosts[0].name if decision.hosts else None
            if decision.waiter is not None:
                caller.queued()
                connection, slot = await self._wait(decision.waiter)
            if connection is not None:
                connection.reused = True
                await trio.lowlevel.cancel_shielded_checkpoint()  # a mere turn for the others
                return connection
            if slot is None:
                continue
            if decision.instead_of is not None:
                await self._make_room(decision.instead_of)
            opened = await self._dial(route, decision.hosts or route.hosts, slot, caller, source)
            if opened is not None:
                return opened

    async def release(self, connection: Connection) -> None:
        """Give it back, in whatever state it is. Never blocks for longer than a QUIT may take."""
        if not connection.usable or not connection.quiet:
            self._discard([connection])
        else:
            done = connection.messages >= self._messages or self._closed
            await self._say_goodbye([connection] if done else self._keep(connection))

    def fail_over(self, connection: Connection, route: Route) -> bool:
        """After trouble in the middle of a conversation: is there another host (RFC 5321 section 5.1)?

        If so the host of `connection` is left alone for a while by all who have another, its idle
        connections too, and True is returned: `acquire` gives one to another host. Else nothing changes.
        `connection` is still to be released.
        """
        ours = {connection.address}
        ours.update(*(host.addresses for host in route.hosts if host.name == connection.host))
        others = (host for host in route.hosts if host.name != connection.host)
        source = connection.source
        if not any(self._dialer.alive(host, without=ours, source=source) for host in others):
            return False
        self._dialer.avoid(ours, source)
        self._waiting.dismiss(connection.host)
        return True

    async def expire(self) -> None:
        """Close connections when they have been idle for `idle_s`. Runs until it is cancelled."""
        while True:
            await self._say_goodbye(self._idle.idle_for(self._idle_s, trio.current_time()))
            self._kept = trio.Event()
            oldest = self._idle.since()
            if oldest is None:
                await self._kept.wait()
            else:
                await trio.sleep_until(oldest + self._idle_s)

    async def aclose(self) -> None:
        """QUIT on all that are idle, and refuse to open more. Those in use are closed when released."""
        self._closed = True
        self._waiting.dismiss_all()
        await self._say_goodbye(self._idle.beyond(0))

    # --- decisions: no await below this line, up to the next ----------------------------------------------

    def _decide(self, route: Route, source: Source | None, apart: str) -> tuple[Decision, list[Connection]]:
        """What the caller does next, and the idle connections found dead on the way."""
        if self._closed:
            raise trio.ClosedResourceError("the pool is closed")
        dropped: list[Connection] = []
        hosts = self._preferred(route, source)
        for host in hosts:
            demand = self._dialer.demand(host.name, apart)
            while (connection := self._idle.take(host.name, source, demand)) is not None:
                if connection.usable and connection.quiet and connection.messages < self._messages:
                    return Decision(connection), dropped
                dropped.append(connection)
        roomy = [host for host in hosts if self._open[host.name] < self.most(host.name)]
        if roomy:
            roomy.sort(key=lambda host: self._open[host.name])  # stable: equal ones stay shuffled
            self._open[roomy[0].name] += 1
            others = [host for host in route.hosts if host not in roomy]  # those that are full, too
            return Decision(hosts=(*roomy, *others)), dropped
        for host in hosts:
            if (other := self._idle.take_other(host.name)) is not None:
                others = [one for one in route.hosts if one is not host]
                return Decision(hosts=(host, *others), instead_of=other), dropped
        return Decision(waiter=self._waiting.join(tuple(host.name for host in hosts), source, apart)), dropped

    def _preferred(self, route: Route, source: Source | None) -> list[Host]:
        """The hosts of the best preference that has one which answers (RFC 5321 section 5.1)."""
        hosts = route.hosts
        alive = [h for h in hosts if len(hosts) == 1 or self._dialer.alive(h, source=source)] or hosts
        best = min(host.preference for host in alive)
        return [host for host in alive if host.preference == best]

    def _keep(self, connection: Connection) -> list[Connection]:
        """Hand it to a waiter or put it away. Returns those that are to be closed, to make room."""
        if self._closed:
            self._discard([connection])
            return []
        waiter = self._waiting.first(connection.host)
        if waiter is not None:
            demand = self._dialer.demand(connection.host, waiter.apart)
            if waiter.source is not connection.source or demand != connection.demand:
                return [connection]  # what he waits for is its slot
            self._waiting.leave(waiter)
            waiter.connection = connection
            waiter.ready.set()
            return []
        self._idle.put(connection, trio.current_time())
        self._kept.set()
        return self._idle.beyond(self._max_idle)

    def _free(self, name: str) -> None:
        """A slot at this host is no longer needed by who had it."""
        waiter = self._waiting.next(name) if self._open[name] <= self.most(name) else None
        if waiter is not None:
            waiter.slot = name  # the slot changes hands and stays taken
            waiter.ready.set()
            return
        self._open[name] -= 1
        if not self._open[name]:
            del self._open[name]

    def _discard(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            connection.abandon()
            self._free(connection.host)

    # --- and what takes time ------------------------------------------------------------------------------

    async def _wait(self, waiter: Waiter) -> tuple[Connection | None, str | None]:
        try:
            await waiter.ready.wait()
        except BaseException:
            self._waiting.leave(waiter)
            if waiter.connection is not None:  # handed over in the instant of our cancellation
                self._discard(self._keep(waiter.connection))
            elif waiter.slot is not None:
                self._free(waiter.slot)
            raise
        return waiter.connection, waiter.slot

    async def _make_room(self, idle: Connection) -> None:
        """Close it; its slot stays taken, unless we are cancelled."""
        try:
            await idle.quit()
        except BaseException:
            self._free(idle.host)
            raise

    async def _dial(
        self, route: Route, at: tuple[Host, ...], slot: str, caller: Caller, source: Source | None
    ) -> Connection | None:
        """A new connection; None if hosts were passed over for lack of room, and it is better to decide anew.

        `slot` is where a slot is taken for it already; it moves along from host to host.
        """
        held: str | None = slot
        passed_over: set[str] = set()

        def admit(host: Host) -> bool:
            nonlocal held
            if host.name == held:
                return True
            if self._open[host.name] >= self.most(host.name):
                passed_over.add(host.name)
                return False
            self._open[host.name] += 1
            if held is not None:
                self._free(held)
            held = host.name
            return True

        try:
            # The host of the slot first: that is where there is room. One in trouble is the last resort.
            alive = self._dialer.alive
            hosts = tuple(sorted(at, key=lambda h: 0 if h.name == slot else 2 - alive(h, source=source)))
            there = Route(route.domain, hosts, route.site)
            connection = await self._dialer.open(there, admit=admit, caller=caller, source=source)
            held = None
            return connection
        except LocalResourceError:
            # Descriptors, ports, buffers: the idle ones hold some of each, and nobody needs them now (T6).
            self._discard(self._idle.beyond(0))
            raise
        except Unreachable:
            # Only if those with no room are now the best there is: whoever refused us is not asked again.
            if passed_over.issuperset(host.name for host in self._preferred(route, source)):
                return None
            raise
        finally:
            if held is not None:
                self._free(held)

    async def _say_goodbye(self, connections: Iterable[Connection]) -> None:
        """QUIT to all of them at once; each is closed and its slot freed, even if we are cancelled."""
        connections = list(connections)
        if len(connections) < 2:  # as a rule, and then it takes neither a nursery nor a task
            for connection in connections:
                await self._quit(connection)
            return
        async with trio.open_nursery() as nursery:
            for connection in connections:
                nursery.start_soon(self._quit, connection)

    async def _quit(self, connection: Connection) -> None:
        try:
            # The last one to a host: before another takes its place there, the host will have noticed. Of
            # several, one that is not gone yet could be one too many.
            alone = self._open[connection.host] == 1 and self.per_host > 1
            await connection.quit(wait=not alone)
        finally:
            connection.abandon()
            self._free(connection.host)
