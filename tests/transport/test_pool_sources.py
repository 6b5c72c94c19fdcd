"""Connections from several egress addresses: each serves its own source, and the slots are the host's."""

from __future__ import annotations

import errno
import os
import socket

import pytest
import trio
from pool_case import MX, TRANSACTION
from smtp_peer import Net, Peer, approach, listening, route, willing

from bulkmail.errors import SourceLost
from bulkmail.transport.approach import Source
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer, Unreachable
from bulkmail.transport.pool import Pool

ONE, TWO = Source("192.0.2.101", "one.acme.test"), Source("192.0.2.102", "two.acme.test")
SIX = Source("2001:db8::6", "six.acme.test")


class Dialled:
    """By whom: (source, address) of each connection that was begun."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.calls: list[tuple[str, str]] = []
        self.refused: set[tuple[str, str]] = set()

    async def connect(self, address: str, port: int, source: str = "") -> trio.abc.Stream:
        self.calls.append((source, address))
        if (source, address) in self.refused:
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return await self.net.connect(address, port)

    def pool(self, per_host: int = 2) -> Pool:
        return Pool(Dialer(approach(), dead=DeadAddresses(), connect=self.connect), per_host=per_host)


@pytest.fixture
def dialled(net):
    return Dialled(net)


async def used(pool: Pool, source: Source | None) -> None:
    connection = await pool.acquire(MX, source=source)
    await connection.exchange(TRANSACTION)
    await pool.release(connection)


async def test_an_idle_connection_is_never_used_for_another_source(dialled, autojump_clock):
    pool = dialled.pool()
    for source in (ONE, TWO, ONE, TWO):
        await used(pool, source)
    assert [source for source, _ in dialled.calls] == [ONE.address, TWO.address]
    await pool.aclose()
    assert pool.open_at("mx.a.test") == 0


async def test_the_places_at_a_host_are_of_all_sources_together(dialled, net, autojump_clock):
    pool = dialled.pool(per_host=1)
    for source in (ONE, TWO, None, ONE):
        await used(pool, source)
    assert [source for source, _ in dialled.calls] == [ONE.address, TWO.address, "", ONE.address]
    assert (net.peak["192.0.2.1"], pool.idle, pool.open_at("mx.a.test")) == (1, 1, 1)
    await pool.aclose()


async def test_who_waits_for_a_place_gets_it_though_a_connection_of_another_source_falls_free(
    dialled, net, autojump_clock, nursery
):
    pool = dialled.pool(per_host=1)
    first = await pool.acquire(MX, source=ONE)
    for source in (TWO, ONE):
        nursery.start_soon(used, pool, source)
        await trio.testing.wait_all_tasks_blocked()
    await first.exchange(TRANSACTION)
    await pool.release(first)
    await trio.sleep(1)
    assert ([source for source, _ in dialled.calls], net.peak["192.0.2.1"], pool.open_at("mx.a.test")) == (
        [ONE.address, TWO.address, ONE.address],
        1,
        1,
    )
    await pool.aclose()


async def test_who_is_cancelled_while_room_is_made_for_him_leaves_the_place_free(net, autojump_clock):
    async def slow_to_part(peer: Peer) -> None:
        await peer.hello()
        while (await peer.hear()) != "QUIT":
            await peer.say("250 2.0.0 ok")
        await trio.sleep_forever()

    net.at("192.0.2.1", slow_to_part)
    pool = Dialled(net).pool(per_host=1)
    await pool.release(await pool.acquire(MX, source=ONE))
    with trio.move_on_after(1):
        await pool.acquire(MX, source=TWO)
    assert (pool.idle, pool.open_at("mx.a.test")) == (0, 0)


async def test_a_host_that_refuses_one_source_is_tried_from_another(dialled, autojump_clock):
    """T1."""
    dialled.refused.add((ONE.address, "192.0.2.1"))
    pool = dialled.pool()
    for _ in range(2):  # the second time it is left alone
        with pytest.raises(Unreachable):
            await pool.acquire(MX, source=ONE)
    await used(pool, TWO)
    assert [source for source, _ in dialled.calls] == [ONE.address, TWO.address]
    await pool.aclose()


async def test_a_source_turns_to_the_addresses_of_its_own_family_alone(dialled, net, autojump_clock):
    both = route(("mx.a.test", ["2001:db8::1", "192.0.2.1"]))
    net.at("2001:db8::1", willing)
    pool = dialled.pool()
    for source in (ONE, SIX):
        await pool.release(await pool.acquire(both, source=source))
    assert dialled.calls == [(ONE.address, "192.0.2.1"), (SIX.address, "2001:db8::1")]
    with pytest.raises(Unreachable, match="has IPv4 addresses only, and the source 2001:db8::6 is of IPv6"):
        await pool.acquire(route(("mx.b.test", ["192.0.2.1"])), source=SIX)
    await pool.aclose()


async def test_the_host_sees_the_address_and_the_name_of_the_source():
    seen: list[str] = []

    async def play(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SocketStream)
        await peer.say("220 mx.a.test")
        seen.append(f"{peer.stream.socket.getpeername()[0]} {await peer.hear()}")
        await peer.say("250 mx.a.test")
        await peer.hear()

    two, three = Source("127.0.0.2", "two.acme.test"), Source("127.0.0.3", "three.acme.test")
    async with listening(play) as port:
        dialer = Dialer(approach(port), dead=DeadAddresses())
        pool = Pool(dialer, per_host=5)
        for source in (two, three):
            connection = await pool.acquire(route(("mx.a.test", ["127.0.0.1"])), source=source)
            assert connection.local_address == source.address
            await pool.release(connection)
        await pool.aclose()
    assert seen == ["127.0.0.2 EHLO two.acme.test", "127.0.0.3 EHLO three.acme.test"]


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77"])
async def test_an_address_that_this_machine_does_not_have_is_nobody_elses_fault(address):
    """T6."""
    peers = {"192.0.2.77": "127.0.0.1", "2001:db8::77": "::1"}
    if address == "2001:db8::77" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    dialer = Dialer(approach(9), dead=(dead := DeadAddresses()))
    with pytest.raises(SourceLost, match=f"this machine has no address {address}"):
        await dialer.open(route(("mx.a.test", [peers[address]])), source=Source(address, "x.acme.test"))
    assert len(dead) == 0
