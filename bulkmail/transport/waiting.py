"""Those who wait for room at a host, first come first served; a waiter may stand at several hosts at once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import trio

from bulkmail.dns.routes import Host
from bulkmail.transport.approach import Source
from bulkmail.transport.connection import Connection


@dataclass(eq=False, slots=True)
class Waiter:
    """`ready` without connection and slot means: decide anew."""

    names: tuple[str, ...]  # of the hosts that would do
    source: Source | None = None  # from which it wants to go there
    apart: str = ""  # see Demand
    ready: trio.Event = field(default_factory=trio.Event)
    connection: Connection | None = None  # what was handed over: a connection,
    slot: str | None = None  # or a slot at the host of this name


@dataclass(slots=True)
class Decision:
    """What somebody who wants a connection does next."""

    connection: Connection | None = None  # take this one
    hosts: tuple[Host, ...] = ()  # else open one to these, in this order; the slot at the first is taken
    instead_of: Connection | None = None  # when this one is closed, whose slot that is
    waiter: Waiter | None = None  # else wait


class Queues:
    """One queue per host. Whoever is taken out of one is out of all."""

    def __init__(self) -> None:
        self._at: dict[str, deque[Waiter]] = {}

    def join(self, names: tuple[str, ...], source: Source | None = None, apart: str = "") -> Waiter:
        waiter = Waiter(names, source, apart)
        for name in names:
            self._at.setdefault(name, deque()).append(waiter)
        return waiter

    def first(self, name: str) -> Waiter | None:
        """Who has waited longest for this host."""
        queue = self._at.get(name)
        return queue[0] if queue else None

    def next(self, name: str) -> Waiter | None:
        """Take out who has waited longest for this host."""
        if (waiter := self.first(name)) is not None:
            self.leave(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        for name in waiter.names:
            queue = self._at.get(name)
            if queue is not None and waiter in queue:
                queue.remove(waiter)
                if not queue:
                    del self._at[name]

    def dismiss(self, name: str) -> None:
        """Those who wait for this host shall decide anew."""
        while (waiter := self.next(name)) is not None:
            waiter.ready.set()

    def dismiss_all(self) -> None:
        for name in list(self._at):
            self.dismiss(name)
