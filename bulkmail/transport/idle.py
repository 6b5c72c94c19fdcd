"""Connections that nobody uses now, by host and source. Bookkeeping only: it neither opens nor closes any."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from bulkmail.transport.approach import Demand, Source
from bulkmail.transport.connection import Connection


class Idle:
    """Those put away. Times are the caller's."""

    def __init__(self) -> None:
        self._since: OrderedDict[Connection, float] = OrderedDict()  # the longest idle first
        self._at: dict[str, list[Connection]] = {}  # by host, the one used last behind the others

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._since)

    def put(self, connection: Connection, now: float) -> None:
        self._since[connection] = now
        self._at.setdefault(connection.host, []).append(connection)

    def take(self, host: str, source: Source | None, demand: Demand) -> Connection | None:
        """Take out the one used last, from `source`: it is the least likely to be closed by the peer."""
        for connection in reversed(self._at.get(host, ())):
            if connection.source is source and connection.demand == demand:
                self.take_out([connection])
                return connection
        return None

    def take_other(self, host: str) -> Connection | None:
        """Take out the one that has been idle there longest, wherever it comes from."""
        here = self._at.get(host)
        if here is None:
            return None
        connection = here[0]
        self.take_out([connection])
        return connection

    def at(self, hosts: Callable[[str], bool]) -> list[Connection]:
        """Take out those at such hosts."""
        there = [connection for host, here in self._at.items() if hosts(host) for connection in here]
        self.take_out(there)
        return there

    def since(self) -> float | None:
        """Since when the one that has been idle longest is; None without any."""
        return next(iter(self._since.values()), None)

    def idle_for(self, seconds: float, now: float) -> list[Connection]:
        """Take out those that have been idle for so long."""
        stale = []
        for connection, since in self._since.items():
            if since + seconds > now:  # as whoever waits for it computes it: to round otherwise is to spin
                break
            stale.append(connection)
        self.take_out(stale)
        return stale

    def beyond(self, most: int) -> list[Connection]:
        """Take out those that are too many, the longest idle first."""
        surplus = list(islice(self._since, max(0, len(self._since) - most)))
        self.take_out(surplus)
        return surplus

    def take_out(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            del self._since[connection]
            here = self._at[connection.host]
            here.remove(connection)
            if not here:
                del self._at[connection.host]
