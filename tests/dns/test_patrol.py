"""Waiting for sockets until deadlines that one task looks after."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bulkmail.dns import patrol

Pair = tuple[socket.socket, socket.socket]
LONG_S = 60.0


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


def waiting() -> int:
    return len(patrol._patrol()._waits)


async def test_what_comes_in_time_is_seen_and_nothing_is_left_behind(pairs: list[Pair]) -> None:
    ours, theirs = pairs[0]
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            assert await patrol.readable(ours, trio.current_time() + LONG_S)

        await wait_all_tasks_blocked()
        assert waiting() == 1
        theirs.send(b"x")
    assert waiting() == 0
    assert await patrol.writable(ours, trio.current_time() + LONG_S)


async def test_each_is_woken_at_its_own_deadline_whatever_their_order(
    pairs: list[Pair], autojump_clock: trio.testing.MockClock
) -> None:
    over: list[int] = []

    async def wait(number: int, seconds: float) -> None:
        began = trio.current_time()
        assert not await patrol.readable(pairs[number][0], began + seconds)
        assert trio.current_time() - began >= seconds
        over.append(number)

    async with trio.open_nursery() as nursery:
        for number, seconds in enumerate((0.1, 0.03, 0.06)):
            nursery.start_soon(wait, number, seconds)
    assert over == [1, 2, 0]
    assert not await patrol.readable(pairs[0][0], trio.current_time() - 1)  # the socket is as good as before
    pairs[0][1].send(b"x")
    assert await patrol.readable(pairs[0][0], trio.current_time() + LONG_S)


async def test_who_is_cancelled_or_closed_is_not_overdue(pairs: list[Pair]) -> None:
    with trio.move_on_after(0.01) as scope:
        await patrol.readable(pairs[0][0], trio.current_time() + LONG_S)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await patrol.readable(pairs[1][0], trio.current_time() + LONG_S)

        await wait_all_tasks_blocked()
        trio.lowlevel.notify_closing(pairs[1][0])
    assert waiting() == 0
