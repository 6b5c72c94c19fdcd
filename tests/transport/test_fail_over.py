"""Trouble in the middle of a conversation: the next transaction goes to another host, for a while."""

from __future__ import annotations

import errno
import os

import trio
import trio.testing
from pool_case import MX, make_pool
from smtp_peer import route, willing

BOTH = route(("mx1.a.test", ["192.0.2.1", "192.0.2.11"]), ("mx2.a.test", ["192.0.2.2"]))


async def test_after_trouble_in_mid_conversation_the_next_mx_is_used_until_the_recipients_are_back(
    net, autojump_clock
):
    """T1; RFC 5321 section 5.1."""
    for address in ("192.0.2.2", "192.0.2.11"):
        net.at(address, willing)
    pool = make_pool(net)
    idle, troubled = await pool.acquire(BOTH), await pool.acquire(BOTH)
    await pool.release(idle)
    went = pool.fail_over(troubled, BOTH)
    troubled.abandon()
    await pool.release(troubled)
    hosts = []
    for wait in (0, 599, 400):
        await trio.sleep(wait)
        connection = await pool.acquire(BOTH)
        hosts.append(connection.host)
        connection.abandon()
        await pool.release(connection)
    assert (went, hosts) == (True, ["mx2.a.test", "mx2.a.test", "mx1.a.test"])


async def test_a_host_in_trouble_is_not_left_alone_when_there_is_no_other(net, autojump_clock):
    pool = make_pool(net)
    connection = await pool.acquire(MX)
    assert (pool.fail_over(connection, MX), pool._dialer.alive(MX.hosts[0])) == (False, True)


async def test_when_the_other_host_is_in_trouble_too_nobody_goes_back_and_forth(net, autojump_clock):
    net.at("192.0.2.2", willing)
    pool = make_pool(net)
    first = await pool.acquire(BOTH)
    went = pool.fail_over(first, BOTH)
    second = await pool.acquire(BOTH)
    assert (went, second.host, pool.fail_over(second, BOTH)) == (True, "mx2.a.test", False)


async def test_another_name_for_the_same_address_is_not_another_host(net, autojump_clock):
    alias = route(("mx1.a.test", ["192.0.2.1"]), ("mx2.a.test", ["192.0.2.1"]))
    pool = make_pool(net)
    connection = await pool.acquire(alias)
    assert (pool.fail_over(connection, alias), pool._dialer.alive(alias.hosts[0])) == (False, True)


async def test_a_host_in_trouble_is_the_last_resort_and_serves_those_who_have_no_other(net, autojump_clock):
    net.at("192.0.2.2", OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))
    pool = make_pool(net)
    only = route(("mx1.a.test", ["192.0.2.1"]))
    both = route(("mx1.a.test", ["192.0.2.1"]), ("mx2.a.test", ["192.0.2.2"]))
    assert pool.fail_over(await pool.acquire(both), both)
    net.dialled.clear()
    again = await pool.acquire(both)
    assert (again.host, net.dialled) == ("mx1.a.test", ["192.0.2.2", "192.0.2.1"])
    other = make_pool(net)
    other._dialer._dead = pool._dialer._dead  # another site, whose hosts are fewer
    assert (await other.acquire(only)).host == "mx1.a.test"


async def test_those_who_wait_for_the_host_in_trouble_go_to_the_other_one(net, autojump_clock):
    net.at("192.0.2.2", willing)
    pool = make_pool(net, per_host=1)
    first = await pool.acquire(BOTH)
    hosts: list[str] = []

    async def session() -> None:
        hosts.append((await pool.acquire(BOTH)).host)

    async with trio.open_nursery() as sessions:
        sessions.start_soon(session)
        await trio.testing.wait_all_tasks_blocked()
        went = pool.fail_over(first, BOTH)
    first.abandon()
    await pool.release(first)
    assert (went, hosts) == (True, ["mx2.a.test"])
