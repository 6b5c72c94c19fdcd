"""The sandbox without sockets: a world whose hosts are reached through memory, on whatever clock trio has.

With a virtual clock a campaign of hours is over in seconds. `Indoors.connect` is what a dialer wants; which
addresses a domain has is told by `exchangers`, without DNS messages.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from bulkmail.sandbox.authority import Authority
from bulkmail.sandbox.names import Domain, Host
from bulkmail.sandbox.smtp import Conversation
from bulkmail.sandbox.stream import Wire
from bulkmail.sandbox.world import World

CLIENT = "127.0.0.1"


class Pipe:
    """Octets one way. What is put arrives `latency_s` later, all that has come in one piece."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._parts: deque[tuple[float, bytes]] = deque()  # when it arrives; b"" is the end
        self._some = trio.Event()
        self.finished = False  # nothing more is put
        self.broken = False  # nobody reads any more

    def put(self, data: bytes) -> None:
        if self.broken or self.finished:
            raise trio.BrokenResourceError("the other end is closed")
        self._append(data)

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self._append(b"")

    def _append(self, data: bytes) -> None:
        self._parts.append((trio.current_time() + self._latency_s, data))
        self._some.set()

    def get_nowait(self) -> bytes | None:
        """All that has arrived; b"" at the end, None where nothing has."""
        parts, now = self._parts, trio.current_time()
        found: list[bytes] = []
        while parts and parts[0][0] <= now:
            if not parts[0][1]:
                return b"".join(found)  # the end stays, for who reads on
            found.append(parts.popleft()[1])
        return b"".join(found) if found else None

    @property
    def arrived(self) -> bool:
        """Something has, or the end."""
        return bool(self._parts) and self._parts[0][0] <= trio.current_time()

    async def arrival(self) -> None:
        """Wait until something has arrived."""
        while not self.arrived:
            if self._parts:
                await trio.sleep_until(self._parts[0][0])
            else:
                self._some = trio.Event()
                await self._some.wait()

    async def get(self) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        while (found := self.get_nowait()) is None:
            await self.arrival()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return found


class MemoryWire(Wire):
    """The host's end."""

    def __init__(self, incoming: Pipe, outgoing: Pipe, client: str) -> None:
        super().__init__(client)
        self._in, self._out = incoming, outgoing

    async def _octets(self) -> bytes:
        return await self._in.get()

    async def _raw(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if data:
            self._out.put(data)

    def is_open(self) -> bool:
        return not (self._in.finished or self._out.broken)

    def close(self, *, reset: bool = False) -> None:
        self._out.finish()
        self._in.broken = True


class MemoryStream(trio.abc.Stream):
    """The client's end."""

    def __init__(self, incoming: Pipe, outgoing: Pipe, source: str) -> None:
        self.incoming, self.outgoing, self.source = incoming, outgoing, source
        self._closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError
        self.outgoing.put(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._closed:
            raise trio.ClosedResourceError
        return await self.incoming.get()

    def close(self) -> None:
        self._closed = True
        self.outgoing.finish()
        self.incoming.broken = True

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


class Indoors:
    """See the module. `latency_s`: one way, of octets, and of a connection there and back."""

    def __init__(self, world: World, nursery: trio.Nursery, *, latency_s: float = 0.0) -> None:
        self._world, self._nursery, self._latency_s = world, nursery, latency_s
        self._authority = Authority()
        self._addresses: dict[str, str] = {}  # by host
        self._hosts: dict[str, Host] = {}  # by address

    def address(self, host: str) -> str:
        """The only address of a host."""
        name = self._world.host(host).name
        if name not in self._addresses:
            number = len(self._addresses)
            address = f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
            self._addresses[name] = address
            self._hosts[address] = self._world.host(name)
        return self._addresses[name]

    def exchangers(self, domain: str) -> list[tuple[int, str, str]] | None:
        """(preference, host, address) of each host that takes mail for it; None: there is no such domain."""
        found: Domain | None = self._world.find(domain.lower())
        if found is None:
            return None
        if not found.mx:
            return [(0, found.name, self.address(found.name))]
        return [(preference, host, self.address(host)) for preference, host in sorted(found.mx) if host]

    async def connect(self, address: str, port: int = 25, *, source: str = CLIENT) -> MemoryStream:
        """A connection from the address `source`. Raises OSError where nobody listens."""
        await trio.sleep(2 * self._latency_s)
        host = self._hosts.get(address)
        if host is None or host.manner.listening == "refuse":
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        if host.manner.listening == "black hole":
            await trio.sleep_forever()
        there, back = Pipe(self._latency_s), Pipe(self._latency_s)
        wire = MemoryWire(there, back, source)
        conversation = Conversation(self._world, host, wire, self._authority, shared=False)
        self._nursery.start_soon(conversation.run)
        return MemoryStream(back, there, source)


@asynccontextmanager
async def indoors(world: World, *, latency_s: float = 0.0) -> AsyncGenerator[Indoors, None]:
    """The world reached through memory while the block runs."""
    async with trio.open_nursery() as nursery:
        yield Indoors(world, nursery, latency_s=latency_s)
        nursery.cancel_scope.cancel()
