"""Whose fault it is when no connection can be opened: this machine's or the host's."""

from __future__ import annotations

import errno
import os

import pytest
import trio
from smtp_peer import approach, route

from bulkmail.errors import LocalResourceError
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer, Unreachable


def refused() -> OSError:
    return OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH])
async def test_a_machine_without_ipv6_does_not_ask_a_refusing_host_for_ever(code, net, autojump_clock):
    """T1, T6."""
    net.at("2001:db8::1", OSError(code, os.strerror(code)))
    net.at("192.0.2.1", refused())
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    both = route(("mx.a.test", ["2001:db8::1", "192.0.2.1"]))
    with pytest.raises(Unreachable) as caught:
        await dialer.open(both)
    assert [attempt.error for attempt in caught.value.attempts] == [os.strerror(code), "Connection refused"]
    assert not dialer.alive(both.hosts[0])


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
async def test_a_host_that_has_ipv6_alone_is_unreachable_for_a_machine_without(code, net, autojump_clock):
    """T1, T6."""
    net.at("2001:db8::1", OSError(code, os.strerror(code)))
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    with pytest.raises(Unreachable):
        await dialer.open(route(("mx.a.test", ["2001:db8::1"])))


async def test_without_ipv6_a_lack_of_descriptors_is_still_our_fault(net, autojump_clock):
    """T6."""
    net.at("2001:db8::1", OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)))
    net.at("192.0.2.1", OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    dialer = Dialer(approach(), dead=(dead := DeadAddresses()), connect=net.connect)
    with pytest.raises(LocalResourceError, match=r"^cannot connect: Too many open files$"):
        await dialer.open(route(("mx.a.test", ["2001:db8::1", "192.0.2.1"])))
    assert not dead.is_dead("192.0.2.1", 25, trio.current_time())


async def test_one_address_that_refuses_makes_it_the_hosts_failure_and_ours_is_not_held_against_it(
    net, autojump_clock
):
    """T1, T6."""
    net.at("192.0.2.1", OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    net.at("192.0.2.2", refused())
    dialer = Dialer(approach(), dead=(dead := DeadAddresses()), connect=net.connect)
    with pytest.raises(Unreachable):
        await dialer.open(route(("mx.a.test", ["192.0.2.1", "192.0.2.2"])))
    now = trio.current_time()
    assert [dead.is_dead(address, 25, now) for address in ("192.0.2.1", "192.0.2.2")] == [False, True]
