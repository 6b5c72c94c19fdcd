"""TCP to whichever of a host's addresses answers first (RFC 8305, "happy eyeballs").

An address that neither answers nor refuses (an IPv6 black hole, T2) must not cost the attempt, so the next
one is started as soon as the one before has failed, or `stagger_s` later at the latest. The first connection
wins, the others are dropped. The addresses come in the order in which they are to be started.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio

from bulkmail.dns.addresses import destination
from bulkmail.dns.patrol import writable
from bulkmail.dns.shortage import is_shortage, no_way
from bulkmail.errors import SourceLost
from bulkmail.transport.stream import TcpStream, Transport, transport

# To this address and port, on trio's clock until then. Raises OSError, and TimeoutError when it has come.
Connect = Callable[[str, int, float], Awaitable[trio.abc.Stream | Transport]]

# The port is chosen by the connect that follows: each (source, peer) has all of them, not all peers together.
_NO_PORT: int | None = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24 if sys.platform == "linux" else None)


def bind(sock: socket.socket, source: str) -> None:
    """Have `sock` leave from the address `source`. Raises SourceLost where this machine has none, OSError."""
    if _NO_PORT is not None:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _NO_PORT, 1)
    try:
        sock.bind((source, 0))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise SourceLost(source) from error
        raise


async def connect_tcp(address: str, port: int, until: float = math.inf, *, source: str = "") -> TcpStream:
    """A `Connect`, from the address `source` where one is given. Raises SourceLost."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if source:
            bind(sock, source)
        try:
            sock.connect(destination(address, port))
        except BlockingIOError:
            if not await writable(sock, until):
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
            if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(failed, os.strerror(failed)) from None
        else:
            await trio.lowlevel.checkpoint()
        return TcpStream(sock)
    except BaseException:
        sock.close()
        raise


@dataclass(slots=True)
class Race:
    """What came of it. `overtaken`: started before the winner and not heard of when it won."""

    stream: Transport | None
    address: str
    failures: dict[str, OSError]
    overtaken: list[str]
    lost: SourceLost | None = None  # the address that connections were to come from

    @property
    def shortage(self) -> OSError | None:
        """What this machine lacks, if that alone is why no address could be reached (T6).

        One address that failed for its own sake makes the failure the host's. An address to which this
        machine has no way says nothing: all depends on the others.
        """
        tried = [(address, error) for address, error in self.failures.items() if not no_way(error, address)]
        if self.stream is not None or not all(is_shortage(error, address) for address, error in tried):
            return None
        return tried[0][1] if tried else None


async def race(
    addresses: Sequence[str], port: int, connect: Connect, *, limit_s: float, stagger_s: float
) -> Race:
    """Connect to one of `addresses`; each has `limit_s`. Raises nothing for the network's sake."""
    result = Race(None, "", {}, [])
    if len(addresses) == 1:  # nobody to race against: neither a nursery nor a task
        await _run(result, addresses[0], port, connect, limit_s)
        return result
    started: list[str] = []

    async def attempt(address: str, failed: trio.Event) -> None:
        await _run(result, address, port, connect, limit_s)
        if result.stream is None:
            failed.set()
        else:
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                started.append(address)
                nursery.start_soon(attempt, address, failed)
                with trio.move_on_after(stagger_s):
                    await failed.wait()
    except BaseException:
        if result.stream is not None:
            result.stream.close()
        raise
    if result.stream is not None:
        before = started[: started.index(result.address)]
        result.overtaken = [address for address in before if address not in result.failures]
    return result


async def _run(result: Race, address: str, port: int, connect: Connect, limit_s: float) -> None:
    """Try one address, and write down what came of it."""
    try:
        stream = transport(await connect(address, port, trio.current_time() + limit_s))
    except OSError as failure:
        result.failures[address] = failure
        return
    except SourceLost as lost:  # a value, for out of a nursery it would come in a group
        result.lost = lost
        return
    if result.stream is None:
        result.stream, result.address = stream, address
    else:
        stream.close()
