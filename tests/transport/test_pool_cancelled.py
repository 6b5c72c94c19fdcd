"""Nothing unclean is handed on and no place is lost, whenever a session was cancelled."""

from __future__ import annotations

import pytest
import trio
from pool_case import MX, TRANSACTION, make_pool
from smtp_peer import Peer, approach, willing

from bulkmail.smtp.command import Rset
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool


async def slow(peer: Peer) -> None:
    """Takes a second for everything: whoever is cancelled at n and a half is in the middle of step n."""
    await trio.sleep(1)
    await peer.say("220 mx.a.test")
    while True:
        line = await peer.hear()
        await trio.sleep(1)
        if line.startswith("EHLO"):
            await peer.say("250-mx.a.test", "250 PIPELINING")
        elif line == "DATA":
            await peer.say("354 go")
            await peer.hear_content()
            await trio.sleep(1)
            await peer.say("250 taken")
        else:
            await peer.say("250 ok")


@pytest.mark.parametrize("step", range(9))
async def test_wherever_a_session_is_cancelled_the_pool_is_clean(step, net, autojump_clock):
    """connect, greeting, EHLO, MAIL, RCPT, DATA, end of data, RSET, QUIT."""

    async def connect(address: str, port: int) -> trio.abc.Stream:
        await trio.sleep(1)
        return await net.connect(address, port)

    net.at("192.0.2.1", slow)
    pool = Pool(Dialer(approach(), dead=DeadAddresses(), connect=connect), per_host=1, messages=1)
    finished = False
    with trio.move_on_after(step + 0.5):
        connection = await pool.acquire(MX)
        try:
            await connection.exchange([*TRANSACTION, Rset()])
        finally:
            await pool.release(connection)
        finished = True
    await trio.sleep(3)  # until the host has noticed
    assert (finished, pool.idle, pool.open_at("mx.a.test"), net.open.get("192.0.2.1", 0)) == (False, 0, 0, 0)
    net.at("192.0.2.1", willing)
    again = await pool.acquire(MX)
    flight = await again.exchange(TRANSACTION)
    assert [reply.code for reply in flight.replies] == [250, 250, 354, 250]


async def test_who_is_cancelled_while_waiting_leaves_his_place_to_the_next(net, autojump_clock):
    pool = make_pool(net, per_host=1)
    held = await pool.acquire(MX)
    served: list[str] = []

    async def wait(name: str, patience: float) -> None:
        with trio.move_on_after(patience):
            connection = await pool.acquire(MX)
            served.append(name)
            await pool.release(connection)

    async with trio.open_nursery() as sessions:
        sessions.start_soon(wait, "impatient", 1)
        await trio.testing.wait_all_tasks_blocked()
        sessions.start_soon(wait, "patient", 100)
        await trio.sleep(2)
        await pool.release(held)
    assert (served, pool.idle, pool.open_at("mx.a.test")) == (["patient"], 1, 1)


@pytest.mark.parametrize("clean", [True, False])
async def test_what_is_handed_to_somebody_who_is_just_being_cancelled_is_not_lost(clean, net, autojump_clock):
    pool = make_pool(net, per_host=1)
    held = await pool.acquire(MX)
    if not clean:
        held.abandon()

    async def session() -> None:
        connection = await pool.acquire(MX)
        try:
            await trio.sleep_forever()
        finally:
            await pool.release(connection)

    async with trio.open_nursery() as sessions:
        sessions.start_soon(session)
        await trio.testing.wait_all_tasks_blocked()
        await pool.release(held)  # handed over, and in the same breath:
        sessions.cancel_scope.cancel()
    assert (pool.idle, pool.open_at("mx.a.test")) == ((1, 1) if clean else (0, 0))


async def test_a_closed_pool_wakes_who_waits_and_keeps_nothing(net, autojump_clock):
    pool = make_pool(net, per_host=1)
    held = await pool.acquire(MX)
    async with trio.open_nursery() as sessions:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await pool.acquire(MX)

        sessions.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await pool.aclose()
    await pool.release(held)
    assert (pool.idle, pool.open_at("mx.a.test"), held.usable) == (0, 0, False)
