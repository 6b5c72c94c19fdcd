"""Addresses that did not answer: left alone, probed by one, forgiven, forgotten (T1)."""

from __future__ import annotations

import pytest
import trio
from smtp_peer import approach, greeting, refused, route, willing

from bulkmail.transport.dead import DeadAddresses, Remembered
from bulkmail.transport.dial import Dialer, Unreachable


async def test_a_dead_address_is_left_alone_and_then_probed_by_one_caller_only(net, autojump_clock):
    """T1: probed, not hammered."""
    net.at("192.0.2.1", refused())
    dead = DeadAddresses(first=30, probe=30)
    dialer = Dialer(approach(), dead=dead, connect=net.connect)
    only = route(("mx.a.test", ["192.0.2.1"]))

    async def fail() -> None:
        with pytest.raises(Unreachable):
            await dialer.open(only)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(fail)
    await fail()
    at_first = len(net.dialled)
    assert not dialer.alive(only.hosts[0])
    await trio.sleep(31)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(fail)
    assert (at_first, len(net.dialled)) == (5, 6)


async def test_who_is_kept_from_a_dead_address_is_told_why_it_is_dead_and_asks_nobody(net, autojump_clock):
    """T1: of whom nobody was asked no attempt is charged."""
    net.at("192.0.2.1", refused())
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    caught = []
    for hosts in ([("mx1.a.test", ["192.0.2.1"])],) * 2 + ([("mx2.a.test", ["192.0.2.2"])],):
        net.at("192.0.2.2", greeting("554 5.7.1 not you"))
        with pytest.raises(Unreachable) as unreachable:
            await dialer.open(route(*hosts))
        caught.append((unreachable.value.asked, str(unreachable.value)))
    assert caught == [
        (True, "mx1.a.test: Connection refused"),
        (False, "mx1.a.test: Connection refused; left alone for now"),
        (True, "mx2.a.test: 554 5.7.1 not you"),
    ]


async def test_an_address_that_answers_again_is_forgiven(net, autojump_clock):
    """T1."""
    dialer = Dialer(approach(), dead=(dead := DeadAddresses(first=30)), connect=net.connect)
    only = route(("mx.a.test", ["192.0.2.1"]))
    net.at("192.0.2.1", refused())
    with pytest.raises(Unreachable):
        await dialer.open(only)
    net.at("192.0.2.1", willing)
    await trio.sleep(31)
    await (await dialer.open(only)).quit()
    assert len(dead) == 0


def test_the_penalty_doubles_with_each_failed_probe_and_the_memory_is_bounded():
    dead = DeadAddresses(first=10, longest=40, probe=5, size=3)
    dead.mark("192.0.2.1", 25, 0)
    dead.mark("192.0.2.1", 25, 1)  # the same failure, seen by another
    spans = []
    now = 0.0
    for _ in range(4):
        start = now
        while dead.is_dead("192.0.2.1", 25, now):
            now += 1
        spans.append(now - start)
        assert (dead.may_try("192.0.2.1", 25, now), dead.may_try("192.0.2.1", 25, now)) == (True, False)
        dead.mark("192.0.2.1", 25, now)
    for n in range(9):
        dead.mark(f"192.0.2.{n}", 25, now)
    assert (spans, len(dead)) == ([10, 20, 40, 40], 3)


def test_what_is_remembered_is_forgotten_in_time_and_bounded():
    remembered = Remembered(60, size=2)
    for n, key in enumerate("abc"):
        remembered.add(key, n)
    assert [remembered.holds(key, 61.5) for key in "abc"] == [False, False, True]
