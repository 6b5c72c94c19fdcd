"""The sandbox running: listeners on loopback, opened when DNS is asked for a host.

Every host has an address of its own in 127.64.0.0/10, all of them the same port. Where the system has only
127.0.0.1, where the address is taken, or when there would be more listeners than descriptors allow, a host
shares 127.0.0.1; there the recipient (or SNI) says which host is meant, after greeting and EHLO.
"""

from __future__ import annotations

import errno
import socket
import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bulkmail.sandbox.authority import Authority
from bulkmail.sandbox.dns import DnsServer, bind
from bulkmail.sandbox.dnswire import Query, Response
from bulkmail.sandbox.names import Host
from bulkmail.sandbox.smtp import Conversation
from bulkmail.sandbox.stream import SocketWire
from bulkmail.sandbox.world import World
from bulkmail.sandbox.zone import answer

LOCALHOST = "127.0.0.1"
SHARED = "shared"  # the host that 127.0.0.1 is until the recipient says otherwise
_BACKLOG = 1024
_ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Running:
    """Where a served world can be reached."""

    dns: tuple[str, int]  # resolver address and port, UDP and TCP
    smtp_port: int  # of every host
    ca_pem: bytes  # what to trust
    ca_pem_path: Path  # the same as a file; it goes with the sandbox unless a directory was given
    world: World
    sandbox: Sandbox

    def address(self, host: str) -> str:
        """The first address of a host, which listens there from now on."""
        return self.sandbox.locate(self.world.host(host))[0]


class Sandbox:
    """Listeners and conversations of one world. `Sandbox.serve` is how to have one."""

    def __init__(
        self, world: World, nursery: trio.Nursery, authority: Authority, *, one_address: bool
    ) -> None:
        self._world, self._nursery, self._authority = world, nursery, authority
        self._stack = ExitStack()
        self._located: dict[str, tuple[str, ...]] = {}
        self._ipv6 = ""  # what ::1 does, once something
        self._next = 0
        self._one_address = one_address
        self._listeners = 0
        self._most = _listeners_allowed()
        self.port = 0

    @staticmethod
    @asynccontextmanager
    async def serve(
        world: World,
        *,
        port: int = 0,
        dns_port: int = 0,
        directory: Path | None = None,
        one_address: bool = False,
        max_listeners: int | None = None,
    ) -> AsyncGenerator[Running, None]:
        """Serve `world` on loopback while the block runs.

        Port 0: one that is free. `directory` takes the CA (`ca.pem`) and what the ledger keeps.
        `one_address`: do as on systems where only 127.0.0.1 can be bound. `max_listeners`: hosts beyond it
        share 127.0.0.1 (default: a quarter of the descriptors). Raises OSError where a port is
        taken, ValueError where the ledger needs a directory.
        """
        failure: Exception | None = None
        with ExitStack() as stack:
            world.ledger.open(directory)
            stack.callback(world.ledger.close)
            authority = Authority()
            ca_path = _place(stack, directory) / "ca.pem"
            ca_path.write_bytes(authority.pem)
            udp, tcp = bind(LOCALHOST, dns_port)
            stack.enter_context(udp)
            stack.enter_context(tcp)
            shared = _bound(LOCALHOST, port)
            async with trio.open_nursery() as nursery:
                sandbox = Sandbox(world, nursery, authority, one_address=one_address)
                if max_listeners is not None:
                    sandbox._most = max_listeners
                stack.push(sandbox._stack)
                dns = DnsServer(udp, tcp, sandbox.answer, world.ledger)
                nursery.start_soon(dns.serve)
                sandbox.port = sandbox._attend(shared, Host(SHARED), shared=True)
                dns_address = (LOCALHOST, udp.getsockname()[1])
                try:
                    yield Running(dns_address, sandbox.port, authority.pem, ca_path, world, sandbox)
                except (
                    Exception
                ) as problem:  # what the block raises reaches its caller as it is, not as a group
                    failure = problem
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # --- where hosts are ----------------------------------------------------------------------------------

    def answer(self, query: Query) -> Response | None:
        return answer(self._world, query.name, query.type, self.locate)

    def locate(self, host: Host) -> tuple[str, ...]:
        """The addresses of a host; what is to listen there does from now on."""
        known = self._located.get(host.name)
        if known is None:
            known = self._located[host.name] = (*self._ipv4(host), *self._ipv6_of(host))
        return known

    def _ipv4(self, host: Host) -> list[str]:
        kind = host.manner.listening
        dead = [] if self._one_address else [self._fresh() for _ in range(host.manner.dead_addresses)]
        if kind == "refuse" and not self._one_address:
            return [*dead, self._fresh()]
        if kind == "refuse":
            host.drop("CONNECT", reset=True)  # nothing closer to a refusal without an address of its own
        if self._one_address or self._listeners >= self._most:
            return [*dead, LOCALHOST]
        for _ in range(_ATTEMPTS):
            address = self._fresh()
            try:
                if kind == "black hole":
                    self._swallow(address)
                else:
                    self._attend(_bound(address, self.port), host, shared=False)
            except OSError as problem:
                if problem.errno == errno.EADDRINUSE:
                    continue
                if problem.errno in (errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM):
                    self._one_address = True
                elif problem.errno in (errno.EMFILE, errno.ENFILE):
                    self._most = self._listeners
                else:
                    raise
                break
            return [*dead, address]
        return [*dead, LOCALHOST]

    def _ipv6_of(self, host: Host) -> list[str]:
        kind = host.manner.ipv6
        if kind is None:
            return []
        if self._ipv6 and self._ipv6 != kind:
            raise ValueError(f"::1 cannot be {kind!r} for {host.name}: it is {self._ipv6!r} for another host")
        if not self._ipv6:
            self._ipv6 = kind
            try:
                if kind == "accept":
                    self._attend(_bound("::1", self.port), Host(SHARED), shared=True)
                elif kind == "black hole":
                    self._swallow("::1")
            except OSError:  # no IPv6 on this system: then it is refused, which is all that can be had
                pass
        return ["::1"]

    def _fresh(self) -> str:
        """127.64.0.1, 127.64.0.2 … without those that end in 0 or 255."""
        number = self._next
        self._next += 1
        high, low = divmod(number, 254)
        return f"127.{64 + high // 256 % 64}.{high % 256}.{low + 1}"

    # --- listening ----------------------------------------------------------------------------------------

    def _attend(self, listener: socket.socket, host: Host, *, shared: bool) -> int:
        """Accept on a bound socket from now on; its port."""
        self._stack.callback(listener.close)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._listeners += 1
        self._nursery.start_soon(self._accept, trio.socket.from_stdlib_socket(listener), host, shared)
        return int(listener.getsockname()[1])

    def _swallow(self, address: str) -> None:
        """A listener whose backlog is full for good: further SYNs are dropped without an answer (T2)."""
        listener = _bound(address, self.port)
        self._stack.callback(listener.close)
        listener.listen(0)
        for _ in range(4):
            filler = socket.socket(listener.family, socket.SOCK_STREAM)
            self._stack.callback(filler.close)
            filler.setblocking(False)
            filler.connect_ex((address, self.port))
        self._listeners += 1

    async def _accept(self, listener: trio.socket.SocketType, host: Host, shared: bool) -> None:
        while True:
            try:
                connection, client = await listener.accept()
            except OSError:
                await trio.sleep(0.1)  # out of descriptors, or the peer has gone already
                continue
            wire = SocketWire(connection, client[0])
            conversation = Conversation(self._world, host, wire, self._authority, shared=shared)
            self._nursery.start_soon(conversation.run)


def _bound(address: str, port: int) -> socket.socket:
    """A TCP socket bound to address and port. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener


def _place(stack: ExitStack, directory: Path | None) -> Path:
    """The directory, made, or one that goes with the sandbox."""
    if directory is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkmail-sandbox-")))
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _listeners_allowed() -> int:
    """A quarter of the descriptors, as the campaign in the same process needs the others."""
    try:
        import resource
    except ImportError:
        return 128
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else min(4096, soft // 4)


serve = Sandbox.serve
