"""What is demanded of connections to some hosts, or for some domain: how they are made, who shares them."""

from __future__ import annotations

import pytest
import trio
from smtp_peer import Net, approach, route, willing

from bulkmail.transport.approach import Approach, Demand, Manner, Source, TimeLimits, TlsPolicy
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Caller, Dialer, Unreachable
from bulkmail.transport.pool import Pool
from bulkmail.transport.stage import Stage

PRIMARY, BACKUP = ("mx.a.test", ["192.0.2.1"]), ("mx.b.test", ["192.0.2.2"])
ENCRYPTED = Manner(TlsPolicy.REQUIRED)


class Apart(Caller):
    """On behalf of b.test, which has connections of its own."""

    @property
    def apart(self) -> str:
        return "b.test"


def dialer(net: Net, **manners: Manner) -> Dialer:
    """Whose manner is that of the host or the domain `a`, `b` …"""
    made = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    made.manner = lambda host, apart: manners.get(apart or host)
    return made


@pytest.mark.parametrize(
    ("ours", "theirs", "posture"),
    [
        (TlsPolicy.OPPORTUNISTIC, TlsPolicy.REQUIRED, TlsPolicy.REQUIRED),
        (TlsPolicy.VERIFIED, TlsPolicy.NONE, TlsPolicy.VERIFIED),
        (TlsPolicy.NONE, TlsPolicy.OPPORTUNISTIC, TlsPolicy.OPPORTUNISTIC),
    ],
)
def test_tls_is_only_ever_raised(ours: TlsPolicy, theirs: TlsPolicy, posture: TlsPolicy):
    assert approach(tls=ours).within(Manner(theirs)).posture is posture


def test_time_limits_are_only_ever_shortened():
    how: Approach = approach(time_limits=TimeLimits(greeting=60.0, data=120.0))
    found = how.within(Manner(time_limits={"greeting": 300.0, "data": 5.0})).time_limits
    assert found == TimeLimits(greeting=60.0, data=5.0)


async def test_of_each_host_is_demanded_what_is_demanded_of_it_and_not_of_its_neighbour(autojump_clock):
    """S1: without TLS the primary is not good enough, and the backup is."""
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.at("192.0.2.1", willing)
        net.at("192.0.2.2", willing)
        one = dialer(net, **{"mx.a.test": ENCRYPTED})
        connection = await one.open(route(PRIMARY, BACKUP))
        assert (connection.host, connection.demand) == ("mx.b.test", Demand())
        with pytest.raises(Unreachable) as refused:
            await one.open(route(PRIMARY))
        assert refused.value.attempts[-1].stage is Stage.STARTTLS
        await connection.quit()


async def test_a_silent_host_is_waited_for_as_long_as_its_provider_says(autojump_clock):
    """T3."""

    async def silent(peer) -> None:
        await peer.eof()

    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.at("192.0.2.1", silent)
        one = dialer(net, **{"mx.a.test": Manner(time_limits={"greeting": 7.0})})
        began = trio.current_time()
        with pytest.raises(Unreachable):
            await one.open(route(PRIMARY))
        assert trio.current_time() - began == pytest.approx(7.0)


async def test_a_domain_that_demands_something_shares_no_connection_with_others(autojump_clock):
    """S10."""
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.at("192.0.2.1", willing)
        pool = Pool(dialer(net, **{"b.test": Manner(time_limits={"mail": 9.0})}), per_host=5)
        ours = await pool.acquire(route(PRIMARY))
        await pool.release(ours)
        theirs = await pool.acquire(route(PRIMARY), caller=Apart())
        assert (theirs is not ours, pool.idle, theirs.demand.apart) == (True, 1, "b.test")
        await pool.release(theirs)
        assert await pool.acquire(route(PRIMARY), caller=Apart()) is theirs
        assert await pool.acquire(route(PRIMARY)) is ours
        await pool.release(ours)
        await pool.release(theirs)
        await pool.aclose()


async def test_where_there_is_one_place_an_idle_connection_of_others_gives_way(autojump_clock):
    """S10."""
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.at("192.0.2.1", willing)
        pool = Pool(dialer(net, **{"b.test": ENCRYPTED}), per_host=1)
        await pool.release(await pool.acquire(route(PRIMARY)))
        with pytest.raises(Unreachable):  # and it is not theirs that is used: it has no TLS
            await pool.acquire(route(PRIMARY), caller=Apart())
        assert (net.peak["192.0.2.1"], pool.idle) == (1, 0)
        await pool.aclose()


async def test_who_waits_for_a_connection_is_not_handed_one_that_does_not_do(autojump_clock):
    """S10."""
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.at("192.0.2.1", willing)
        pool = Pool(dialer(net, **{"b.test": Manner(time_limits={"mail": 9.0})}), per_host=1)
        ours = await pool.acquire(route(PRIMARY))
        got = []

        async def wait() -> None:
            got.append(await pool.acquire(route(PRIMARY), caller=Apart()))

        async with trio.open_nursery() as waiting:
            waiting.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await pool.release(ours)
        assert (got[0] is not ours, got[0].demand.apart, net.peak["192.0.2.1"]) == (True, "b.test", 1)
        await pool.release(got[0])
        await pool.aclose()


async def test_what_was_opened_before_more_was_demanded_is_used_no_more(autojump_clock):
    """S10: TLS is demanded from now on, since SIGHUP."""
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.at("192.0.2.1", willing)
        how = dialer(net)
        pool = Pool(how, per_host=2)
        await pool.release(await pool.acquire(route(PRIMARY)))
        how.manner = lambda host, apart: ENCRYPTED
        with pytest.raises(Unreachable):
            await pool.acquire(route(PRIMARY))
        await pool.aclose()


async def test_each_source_keeps_its_name_whatever_is_demanded(autojump_clock):
    heard: list[str] = []

    async def host(peer) -> None:
        await peer.say("220 hello")
        heard.append(await peer.hear("EHLO"))
        await peer.say("250 mx.a.test")
        await peer.eof()

    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.at("192.0.2.1", host)
        how = dialer(net, **{"mx.a.test": Manner(time_limits={"mail": 9.0})})
        connection = await how.open(route(PRIMARY), source=Source("", "two.test"))
        connection.abandon()
    assert heard == ["EHLO two.test"]
