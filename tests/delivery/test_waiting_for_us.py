"""A session that waits, and not for its host: it keeps no slot, and its host does not count as silent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import trio
import trio.testing
from post_office import Post

from bulkmail.delivery.destination import Destination
from bulkmail.delivery.line import Line
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.slots import LEAST_S, MOMENT_S, Slots
from bulkmail.dns.routes import Host, Route
from bulkmail.transport.approach import Approach, TlsPolicy
from bulkmail.transport.connection import Connection
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool

MX = Host(0, "mx.a.test", ("192.0.2.1",))
ROUTE = Route("a.test", (MX,), "mx.a.test")


@dataclass
class Rig:
    """One slot, one connection to the host, name servers that answer once they are `told` to."""

    nursery: trio.Nursery
    limits: Limits = field(default_factory=Limits)
    told: trio.Event = field(default_factory=trio.Event)
    outcomes: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        approach = Approach(port=25, ehlo="out.test", tls=TlsPolicy.NONE)
        self.dialer = Dialer(approach, dead=DeadAddresses(), connect=self.connect)
        self.pool = Pool(self.dialer, per_host=1)
        self.slots = Slots(1)
        plant = Plant(
            work=Post(),
            pool=self.pool,
            routes=self,
            limits=self.limits,
            retry=Retry(1.0, 1.0, 1.0, 3600.0),
            slots=self.slots,
            now=time.time,
        )
        self.destination = Destination(
            plant.sites.of("mx.a.test", 0.0),
            plant,
            sessions=self.nursery,
            session=lambda _: trio.lowlevel.checkpoint(),  # noqa: ASYNC105
            on_empty=lambda _: None,
        )
        self.nursery.start_soon(self.slots.watch)

    async def route(self, domain: str) -> Route:
        await self.told.wait()
        return ROUTE

    async def connect(self, address: str, port: int) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self._host, theirs)
        await trio.lowlevel.checkpoint()
        return ours

    async def _host(self, stream: trio.abc.Stream) -> None:
        await stream.send_all(b"220 mx.a.test ESMTP\r\n")
        while await stream.receive_some():
            await stream.send_all(b"250 mx.a.test\r\n")

    def begin(self, guest: str) -> None:
        """A session that asks for a connection."""
        assert self.slots.enter_now(guest, probing=False)
        self.nursery.start_soon(self._connected, guest)

    async def _connected(self, guest: str) -> None:
        self.outcomes.append(await Line(self.destination).connected("a.test", guest))


async def test_who_waits_for_room_at_a_host_that_others_talk_to_does_not_give_it_up(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """P3: else all addresses of a host that is well were dead, and its queue deferred."""
    rig = Rig(nursery)
    rig.told.set()
    held = await rig.pool.acquire(ROUTE)  # by another site that has the same exchanger
    rig.begin("waits")
    await trio.sleep(2 * MOMENT_S)
    assert rig.slots.enter_now("silent", probing=False)
    rig.slots.dialling("silent", lambda: None)  # and there is no room to set him aside, too
    await trio.sleep(10 * LEAST_S)
    before = list(rig.outcomes), rig.dialer.alive(MX)
    held.abandon()
    await rig.pool.release(held)
    await trio.testing.wait_all_tasks_blocked()
    rig.slots.leave("silent")
    await trio.testing.wait_all_tasks_blocked()
    (outcome,) = rig.outcomes
    nursery.cancel_scope.cancel()
    assert (before, isinstance(outcome, Connection)) == (([], True), True)


async def test_who_waits_for_name_servers_keeps_no_slot(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """P3."""
    rig = Rig(nursery)
    rig.begin("waits")
    with trio.fail_after(LEAST_S):
        await rig.slots.enter("other", probing=False)
    rig.slots.leave("other")
    rig.told.set()
    await trio.testing.wait_all_tasks_blocked()
    (outcome,) = rig.outcomes
    nursery.cancel_scope.cancel()
    assert (isinstance(outcome, Connection), rig.slots.taken) == (True, 1)


async def test_who_waits_for_his_turn_to_connect_keeps_no_slot(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """P3: sites that take a connection now and then hold up nobody."""
    rig = Rig(nursery, Limits(connection_rate=1 / 3600))
    rig.told.set()
    rig.destination.site.connections.book(trio.current_time())  # the turn of now has gone to another
    rig.begin("waits")
    with trio.fail_after(LEAST_S):
        await rig.slots.enter("other", probing=False)
    rig.slots.leave("other")
    await trio.sleep(3600)
    await trio.testing.wait_all_tasks_blocked()
    (outcome,) = rig.outcomes
    nursery.cancel_scope.cancel()
    assert (isinstance(outcome, Connection), rig.slots.taken) == (True, 1)
