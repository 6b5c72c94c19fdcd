"""A road of memory: from a campaign's delivery to the hosts of a sandbox, without a socket and without DNS.

On a virtual clock everything that a site does to a campaign is over as fast as it can be computed.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from bulkmail.delivery.plant import Routing
from bulkmail.dns.routes import Host, NoRoute, Route, site_name
from bulkmail.sandbox.indoors import CLIENT, Indoors, MemoryStream
from bulkmail.transport.approach import Approach
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool
from bulkmail.transport.stream import Transport


class MemoryTransport(Transport):
    """The client's end of a connection of memory, which takes everything at once."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream
        self._parts: list[bytes] = []
        self._handed = 0
        self._closed = False
        self.local_address = stream.source

    @property
    def handed(self) -> int:
        return self._handed

    def put(self, data: bytes) -> None:
        self._parts.append(data)

    def push(self) -> bool:
        if self._parts:
            self._demand_open()
            data = b"".join(self._parts)
            self._stream.outgoing.put(data)
            self._parts.clear()
            self._handed += len(data)
        return True

    async def push_on(self) -> None:
        await trio.lowlevel.checkpoint()
        self.push()

    def receive_nowait(self) -> bytes | None:
        self._demand_open()
        return self._stream.incoming.get_nowait()

    async def readable(self, until: float = math.inf) -> bool:
        self._demand_open()
        incoming = self._stream.incoming
        if incoming.arrived:
            await trio.lowlevel.checkpoint()
            return True
        with trio.CancelScope(deadline=until):
            await incoming.arrival()
        return incoming.arrived

    def close(self) -> None:
        self._closed = True
        self._stream.close()

    def quiet(self) -> bool:
        return not self._closed and not self._stream.incoming.arrived

    def _demand_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError


class IndoorRouting(Routing):
    """Routes as the world has them; a domain that it has not does not exist."""

    def __init__(self, there: Indoors) -> None:
        self._there = there

    async def route(self, domain: str) -> Route | NoRoute:
        await trio.lowlevel.checkpoint()
        found = self._there.exchangers(domain)
        if not found:
            return NoRoute(domain, True, "5.1.2", "the domain does not exist")
        hosts = tuple(Host(preference, host, (address,)) for preference, host, address in found)
        return Route(domain, hosts, site_name((preference, host) for preference, host, _ in found))


@asynccontextmanager
async def memory_pool(
    there: Indoors, approach: Approach, *, per_host: int, messages: int
) -> AsyncIterator[Pool]:
    """The pool of connections to a world of memory; TLS is up to the approach."""

    async def connect(address: str, port: int, *, source: str = CLIENT) -> Transport:
        return MemoryTransport(await there.connect(address, port, source=source or CLIENT))

    pool = Pool(Dialer(approach, dead=DeadAddresses(), connect=connect), per_host=per_host, messages=messages)
    async with trio.open_nursery() as expiring:
        expiring.start_soon(pool.expire)
        yield pool
        expiring.cancel_scope.cancel()
    await pool.aclose()
