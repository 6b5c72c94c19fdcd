"""Idle connections, slots per host, and which of several hosts a connection goes to."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator

import pytest
import trio
from pool_case import MX, TRANSACTION, make_pool
from smtp_peer import SENDER, Peer, approach, listening, rcpt, route, willing

from bulkmail.errors import LocalResourceError
from bulkmail.smtp.command import Noop
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Caller, Dialer, Unreachable
from bulkmail.transport.pool import Pool


async def test_an_idle_connection_is_used_again(net, autojump_clock):
    pool = make_pool(net)
    first = await pool.acquire(MX)
    await first.exchange(TRANSACTION)
    await pool.release(first)
    second = await pool.acquire(MX)
    assert (second is first, second.reused, net.dialled) == (True, True, ["192.0.2.1"])
    await pool.release(second)
    await pool.aclose()
    assert (pool.idle, pool.open_at("mx.a.test")) == (0, 0)


@pytest.mark.parametrize(("per_host", "messages"), [(1, 2), (1, 100), (3, 2), (3, 100)])
async def test_never_more_connections_to_a_host_than_allowed_and_everybody_is_served_in_turn(
    per_host, messages, net, autojump_clock
):
    pool = make_pool(net, per_host=per_host, messages=messages)
    order: list[int] = []

    async def session(n: int) -> None:
        connection = await pool.acquire(MX)
        order.append(n)
        await trio.sleep(1 + n / 100)  # so that no two are ready at once
        await connection.exchange(TRANSACTION)
        await pool.release(connection)

    async with trio.open_nursery() as sessions:
        for n in range(20):
            sessions.start_soon(session, n)
            await trio.testing.wait_all_tasks_blocked()
    await pool.aclose()
    assert (order, net.peak["192.0.2.1"]) == (list(range(20)), per_host)


async def test_a_connection_in_mid_transaction_is_closed_and_not_kept(net, autojump_clock):
    pool = make_pool(net)
    connection = await pool.acquire(MX)
    await connection.exchange([SENDER, rcpt("ann")])
    await pool.release(connection)
    assert (pool.idle, pool.open_at("mx.a.test")) == (0, 0)


async def test_a_connection_that_carried_its_messages_is_quit(net, autojump_clock):
    """X10."""
    pool = make_pool(net, messages=2)
    connection = await pool.acquire(MX)
    for _ in range(2):
        await connection.exchange(TRANSACTION)
    await pool.release(connection)
    await trio.testing.wait_all_tasks_blocked()
    assert (pool.idle, pool.open_at("mx.a.test"), net.open["192.0.2.1"]) == (0, 0, 0)


async def test_an_idle_connection_is_closed_when_its_time_is_over(net, autojump_clock, nursery):
    pool = make_pool(net, idle_s=30)
    nursery.start_soon(pool.expire)
    first = await pool.acquire(MX)
    second = await pool.acquire(MX)
    await pool.release(first)
    await trio.sleep(20)
    await pool.release(second)
    await trio.sleep(11)
    assert (pool.idle, net.open["192.0.2.1"], first.usable, second.usable) == (1, 1, False, True)
    await trio.sleep(20)
    assert (pool.idle, net.open["192.0.2.1"]) == (0, 0)
    nursery.cancel_scope.cancel()


async def test_more_idle_ones_than_allowed_push_out_the_longest_idle(net, autojump_clock):
    net.at("192.0.2.2", willing)
    pool = make_pool(net, max_idle=1)
    first = await pool.acquire(MX)
    second = await pool.acquire(route(("mx.b.test", ["192.0.2.2"])))
    await pool.release(first)
    await pool.release(second)
    assert (pool.idle, first.usable, second.usable, pool.open_at("mx.a.test")) == (1, False, True, 0)


@pytest.fixture
def descriptors() -> Iterator[Callable[[int], None]]:
    """Sets the soft limit of this process, for a test that opens nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_where_descriptors_are_few_few_connections_are_kept_idle(net, descriptors, autojump_clock):
    """T6."""
    descriptors(256)
    pool = make_pool(net, per_host=100)
    connections = [await pool.acquire(MX) for _ in range(100)]
    for connection in connections:
        await pool.release(connection)
    assert pool.idle == 32


async def test_when_descriptors_run_out_the_idle_connections_make_room(net, autojump_clock):
    """T6."""
    net.at("192.0.2.2", OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    pool = make_pool(net)
    await pool.release(await pool.acquire(MX))
    assert pool.idle == 1
    with pytest.raises(LocalResourceError):
        await pool.acquire(route(("mx.b.test", ["192.0.2.2"])))
    assert (pool.idle, pool.open_at("mx.a.test"), pool.open_at("mx.b.test")) == (0, 0, 0)


async def test_the_worse_mx_is_used_only_while_the_better_one_does_not_answer(net, autojump_clock):
    net.at("192.0.2.2", willing)
    both = route(("mx1.a.test", ["192.0.2.1"]), ("mx2.a.test", ["192.0.2.2"]))
    pool = make_pool(net, per_host=1)
    net.at("192.0.2.1", OSError(errno.ECONNREFUSED, "Connection refused"))
    fallback = await pool.acquire(both)
    await pool.release(fallback)
    again = await pool.acquire(both)
    assert (again is fallback, pool.open_at("mx1.a.test"), pool.open_at("mx2.a.test")) == (True, 0, 1)
    await pool.release(again)
    net.at("192.0.2.1", willing)
    await trio.sleep(60)
    assert (await pool.acquire(both)).host == "mx1.a.test"


async def test_equal_hosts_share_the_connections(net, autojump_clock):
    net.at("192.0.2.2", willing)
    equal = route(("mx1.a.test", ["192.0.2.1"], 10), ("mx2.a.test", ["192.0.2.2"], 10))
    pool = make_pool(net, per_host=2)
    hosts = [(await pool.acquire(equal)).host for _ in range(4)]
    assert sorted(hosts) == ["mx1.a.test"] * 2 + ["mx2.a.test"] * 2


async def test_a_host_that_refused_us_is_not_asked_again_because_another_has_no_room(net, autojump_clock):
    async def busy(peer: Peer) -> None:
        await peer.say("421 4.3.2 busy")

    net.at("192.0.2.1", busy)
    net.at("192.0.2.2", willing)
    both = route(("mx1.a.test", ["192.0.2.1"]), ("mx2.a.test", ["192.0.2.2"]))
    pool = make_pool(net, per_host=1)
    await pool.acquire(both)
    with pytest.raises(Unreachable) as caught:
        await pool.acquire(both)
    assert [attempt.host for attempt in caught.value.attempts] == ["mx1.a.test", "mx2.a.test"]
    assert (net.dialled, pool.open_at("mx1.a.test")) == (["192.0.2.1", "192.0.2.2", "192.0.2.1"], 0)


async def test_a_failing_dial_gives_its_slot_to_who_waits(net, autojump_clock):
    net.at("192.0.2.1", OSError(errno.ECONNREFUSED, "Connection refused"))
    pool = make_pool(net, per_host=1)
    failures = 0

    async def fail() -> None:
        nonlocal failures
        with pytest.raises(Unreachable):
            await pool.acquire(MX)
        failures += 1

    async with trio.open_nursery() as sessions:
        for _ in range(5):
            sessions.start_soon(fail)
    assert (failures, pool.open_at("mx.a.test")) == (5, 0)


async def test_idle_connections_that_the_peer_closed_are_dropped_and_a_fresh_one_is_opened():
    """G9."""
    sessions = 0
    close = trio.Event()

    async def host(peer: Peer) -> None:
        nonlocal sessions
        sessions += 1
        await peer.hello()
        if sessions == 1:
            await close.wait()
            await peer.say("421 4.4.2 idle for too long")
            return
        await peer.hear("NOOP")
        await peer.say("250 ok")
        await peer.eof()

    async with listening(host) as port:
        pool = Pool(Dialer(approach(port), dead=DeadAddresses()), per_host=1)
        here = route(("mx.a.test", ["127.0.0.1"]))
        first = await pool.acquire(here)
        await pool.release(first)
        close.set()
        await trio.lowlevel.wait_readable(first._transport._socket.fileno())  # type: ignore[attr-defined]
        second = await pool.acquire(here)
        flight = await second.exchange([Noop()])
        assert (sessions, second.reused, [r.code for r in flight.replies]) == (2, False, [250])
        assert pool.open_at("mx.a.test") == 1
        second.abandon()
        await pool.release(second)


@pytest.mark.parametrize("preference", [0, 10, 20])  # of the host that is full; of the other it is 10
async def test_a_caller_knows_whether_he_waits_for_room_or_for_a_host(
    net, nursery, autojump_clock, preference
):
    """P3. However many hosts refuse him, one that is merely full is waited for."""
    net.at("192.0.2.2", OSError(errno.ECONNREFUSED, "Connection refused"))
    told = []

    class Told(Caller):
        def queued(self) -> None:
            told.append("queued")

        def dialling(self, give_up: object) -> None:
            told.append("dialling")

        async def greeted(self) -> None:
            told.append("greeted")

    async def connected() -> None:
        both = route(("mx.b.test", ["192.0.2.2"], 10), ("mx.a.test", ["192.0.2.1"], preference))
        await pool.acquire(both, caller=Told())

    pool = make_pool(net, per_host=1)
    held = await pool.acquire(MX)
    nursery.start_soon(connected)
    await trio.testing.wait_all_tasks_blocked()
    before = list(told)
    held.abandon()
    await pool.release(held)
    await trio.testing.wait_all_tasks_blocked()
    tried = ["dialling"] if preference >= 10 else []  # the better one is waited for without another look
    assert (before, told) == ([*tried, "queued"], [*tried, "queued", "dialling", "greeted"])
