"""Waiting for a socket until a deadline, without a cancel scope for each wait.

A scope costs as much as the question that it guards, a small domain waits ten times, and hardly ever is one
of the deadlines reached. So whoever waits says only until when, and one task of the event loop, the patrol,
sleeps until the earliest of all and wakes those whose time is over.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable

import trio


class _Wait:
    __slots__ = ("overdue", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.overdue = False


class _Patrol:
    def __init__(self) -> None:
        self._waits: dict[_Wait, int] = {}  # with their descriptors
        self._next = math.inf  # no wait is over before
        self._asleep = trio.CancelScope()

    async def run(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._next) as self._asleep:
                await trio.sleep_forever()
            now, self._next = trio.current_time(), math.inf
            for wait, descriptor in self._waits.items():
                if wait.until <= now:
                    wait.overdue = True
                    trio.lowlevel.notify_closing(descriptor)  # nothing is closed; whoever waits is woken
                else:
                    self._next = min(self._next, wait.until)

    async def wait(self, descriptor: int, until: float, ready: Callable[[int], Awaitable[None]]) -> bool:
        wait = _Wait(until)
        self._waits[wait] = descriptor
        if until < self._next:
            self._next = self._asleep.deadline = until
        try:
            await ready(descriptor)
        except trio.ClosedResourceError:
            if wait.overdue:
                return False
            raise
        finally:
            del self._waits[wait]
        return True


_on_duty: trio.lowlevel.RunVar[_Patrol] = trio.lowlevel.RunVar("patrol")


def _patrol() -> _Patrol:
    try:
        return _on_duty.get()
    except LookupError:
        _on_duty.set(made := _Patrol())
        trio.lowlevel.spawn_system_task(made.run)
        return made


async def readable(sock: socket.socket, until: float) -> bool:
    """Wait until there is something to be read; False when `until` has come, on trio's clock.

    Nobody else may be waiting for this socket. Raises trio.ClosedResourceError.
    """
    return await _patrol().wait(sock.fileno(), until, trio.lowlevel.wait_readable)


async def writable(sock: socket.socket, until: float) -> bool:
    """The same, until there is room to write, or it is connected."""
    return await _patrol().wait(sock.fileno(), until, trio.lowlevel.wait_writable)
