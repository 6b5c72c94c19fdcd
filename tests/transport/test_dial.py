"""Hosts by preference, addresses in turn, and what is remembered of those that did not answer."""

from __future__ import annotations

import errno
import os

import pytest
import trio
from smtp_peer import Peer, approach, greeting, refused, route, willing

from bulkmail.errors import LocalResourceError
from bulkmail.transport.approach import Credentials, TimeLimits, TlsPolicy
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import CLEAR_TEXT, Attempt, Dialer, Unreachable
from bulkmail.transport.stage import Stage


async def hang_up(peer: Peer) -> None:
    await peer.close()


async def say_nothing(peer: Peer) -> None:
    await peer.eof()


def stages(unreachable: Unreachable) -> list[tuple[str, Stage, int | None]]:
    return [(a.address, a.stage, a.reply.code if a.reply else None) for a in unreachable.attempts]


async def test_a_refusing_address_gives_way_to_the_next_one_and_the_next_mx(net, autojump_clock):
    """T1."""
    net.at("192.0.2.1", refused())
    net.at("192.0.2.2", OSError(errno.ENETUNREACH, "Network is unreachable"))
    net.at("192.0.2.3", willing)
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    connection = await dialer.open(
        route(("mx1.a.test", ["192.0.2.1", "192.0.2.2"]), ("mx2.a.test", ["192.0.2.3"]))
    )
    assert (connection.host, connection.address, connection.usable) == ("mx2.a.test", "192.0.2.3", True)
    assert net.dialled == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


async def test_when_every_host_was_tried_each_attempt_is_told(net, autojump_clock):
    """T1, G1."""
    net.at("192.0.2.1", refused())
    net.at("192.0.2.2", greeting("554 5.7.1 not you"))
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    with pytest.raises(Unreachable) as caught:
        await dialer.open(route(("mx1.a.test", ["192.0.2.1"]), ("mx2.a.test", ["192.0.2.2"])))
    first, second = caught.value.attempts
    assert first == Attempt("mx1.a.test", "192.0.2.1", Stage.CONNECT, None, "Connection refused")
    assert (second.stage, second.reply.text, second.error) == (Stage.GREETING, "554 5.7.1 not you", "")
    assert str(caught.value) == "mx1.a.test: Connection refused; mx2.a.test: 554 5.7.1 not you"


async def test_an_ipv6_black_hole_does_not_cost_the_attempt(net, autojump_clock):
    """T2."""
    net.at("2001:db8::1", None)
    net.at("192.0.2.1", willing)
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    both = route(("mx.a.test", ["2001:db8::1", "192.0.2.1"]))
    connection = await dialer.open(both)
    assert (connection.address, trio.current_time() < 1) == ("192.0.2.1", True)
    net.dialled.clear()
    await dialer.open(both)  # and the next one does not even wait for it
    assert net.dialled == ["192.0.2.1"]


async def test_a_host_whose_every_address_is_a_black_hole_costs_the_connect_limit_once(net, autojump_clock):
    """T2."""
    for address in ("2001:db8::1", "192.0.2.1"):
        net.at(address, None)
    dialer = Dialer(approach(time_limits=TimeLimits(connect=30)), dead=DeadAddresses(), connect=net.connect)
    began = trio.current_time()
    with pytest.raises(Unreachable, match="timed out"):
        await dialer.open(route(("mx.a.test", ["2001:db8::1", "192.0.2.1"])))
    assert trio.current_time() - began < 31


async def test_a_host_that_never_greets_gives_way_to_the_next_mx(net, autojump_clock):
    """T3."""
    net.at("192.0.2.1", say_nothing)
    net.at("192.0.2.2", willing)
    dead = DeadAddresses()
    dialer = Dialer(approach(time_limits=TimeLimits(greeting=300)), dead=dead, connect=net.connect)
    net.at("192.0.2.9", say_nothing)  # no second five minutes for the same host
    connection = await dialer.open(
        route(("mx1.a.test", ["192.0.2.1", "192.0.2.9"]), ("mx2.a.test", ["192.0.2.2"]))
    )
    assert (connection.host, 300 <= trio.current_time() < 301) == ("mx2.a.test", True)
    assert dead.is_dead("192.0.2.1", 25, trio.current_time())


@pytest.mark.parametrize("reply", ["554 5.3.2 no mail here", "450 later", "421 4.3.2 busy"])
async def test_a_refusing_greeting_gives_way_to_the_next_mx_and_the_host_is_not_dead(
    reply, net, autojump_clock
):
    """G1, G2."""
    net.at("192.0.2.1", greeting(reply))
    net.at("192.0.2.2", willing)
    dialer = Dialer(approach(), dead=(dead := DeadAddresses()), connect=net.connect)
    connection = await dialer.open(route(("mx1.a.test", ["192.0.2.1"]), ("mx2.a.test", ["192.0.2.2"])))
    assert (connection.host, len(dead)) == ("mx2.a.test", 0)


@pytest.mark.parametrize(
    "line", ["354 go ahead", "2200 hello", "HTTP/1.1 400 Bad Request", b"\x16\x03\x01\x00\xff", "SSH-2.0-x"]
)
async def test_what_is_no_smtp_greeting_is_a_protocol_error_and_the_next_mx_is_tried(
    line, net, autojump_clock
):
    """G3."""
    net.at("192.0.2.1", greeting(line))
    net.at("192.0.2.2", willing)
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    connection = await dialer.open(route(("mx1.a.test", ["192.0.2.1"]), ("mx2.a.test", ["192.0.2.2"])))
    assert (connection.host, net.open["192.0.2.1"], trio.current_time() < 1) == ("mx2.a.test", 0, True)


async def only_helo(peer: Peer) -> None:
    await peer.say("220 old.a.test")
    await peer.hear("EHLO")
    await peer.say("500 what?")
    if (await peer.hear()).startswith("HELO"):
        await peer.say("250 old.a.test")
    await peer.eof()


@pytest.mark.parametrize("tls", [TlsPolicy.NONE, TlsPolicy.OPPORTUNISTIC])
async def test_where_ehlo_is_refused_helo_will_do(tls, net, autojump_clock):
    """G4."""
    net.at("192.0.2.1", only_helo)
    connection = await Dialer(approach(tls=tls), dead=DeadAddresses(), connect=net.connect).open(
        route(("mx.a.test", ["192.0.2.1"]))
    )
    assert (connection.usable, connection.extensions.esmtp) == (True, False)


@pytest.mark.parametrize(
    "wanted",
    [
        {"tls": TlsPolicy.REQUIRED},
        {"tls": TlsPolicy.NONE, "credentials": Credentials("ann", "secret"), "insecure_auth": True},
    ],
    ids=["TLS", "AUTH"],
)
async def test_where_ehlo_is_refused_helo_will_not_do_if_tls_or_auth_is_required(wanted, net, autojump_clock):
    """G4."""
    net.at("192.0.2.1", only_helo)
    dialer = Dialer(approach(**wanted), dead=DeadAddresses(), connect=net.connect)
    with pytest.raises(Unreachable) as caught:
        await dialer.open(route(("mx.a.test", ["192.0.2.1"])))
    assert stages(caught.value) == [("192.0.2.1", Stage.EHLO, 500)]


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM]
)
async def test_what_this_machine_lacks_is_not_held_against_the_host(code, net, autojump_clock):
    """T6."""
    net.at("192.0.2.1", OSError(code, os.strerror(code)))
    dialer = Dialer(approach(), dead=(dead := DeadAddresses()), connect=net.connect)
    with pytest.raises(LocalResourceError):
        await dialer.open(route(("mx.a.test", ["192.0.2.1"])))
    assert len(dead) == 0


async def test_a_connection_dropped_before_the_greeting_is_tried_once_more_at_once(net, autojump_clock):
    """T1."""
    calls = 0

    async def second_time(peer: Peer) -> None:
        nonlocal calls
        calls += 1
        await (hang_up if calls == 1 else willing)(peer)

    net.at("192.0.2.1", second_time)
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    connection = await dialer.open(route(("mx.a.test", ["192.0.2.1"])))
    assert (connection.usable, calls, trio.current_time() < 1) == (True, 2, True)


async def test_a_connection_dropped_before_the_greeting_twice_gives_way_to_the_next_address(
    net, autojump_clock
):
    """T1."""
    net.at("192.0.2.1", hang_up)
    net.at("192.0.2.2", willing)
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    connection = await dialer.open(route(("mx.a.test", ["192.0.2.1", "192.0.2.2"])))
    assert (connection.address, net.dialled) == ("192.0.2.2", ["192.0.2.1", "192.0.2.1", "192.0.2.2"])


async def test_that_tls_does_not_work_at_a_site_is_forgotten_after_a_while(net, autojump_clock):
    """S4: remembered for a bounded time, for that site alone."""
    asked: list[str] = []

    async def host(peer: Peer) -> None:
        await peer.hello("STARTTLS")
        asked.append(await peer.hear())
        if asked[-1] == "STARTTLS":
            await peer.say("220 go")
            await peer.take(1)  # of their hello
            await peer.say("this is not TLS")
        else:
            await peer.say("221 bye")
        await peer.eof()

    net.at("192.0.2.1", host)
    net.at("192.0.2.2", host)
    dialer = Dialer(approach(tls=TlsPolicy.OPPORTUNISTIC), dead=DeadAddresses(), connect=net.connect)
    one, other = route(("mx.a.test", ["192.0.2.1"])), route(("mx.b.test", ["192.0.2.2"]))
    for site, wait_s in ((one, 0), (one, CLEAR_TEXT - 60), (other, 0), (one, 61)):
        await trio.sleep(wait_s)
        connection = await dialer.open(site)
        assert connection.tls is None
        await connection.quit()
    assert asked == ["STARTTLS", "QUIT", "QUIT", "STARTTLS", "QUIT", "STARTTLS", "QUIT"]
