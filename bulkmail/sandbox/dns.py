"""The sandbox's DNS server: UDP and TCP on one port of one loopback address.

A question is answered from the world by a plain function; the tasks only move bytes. Unreadable questions
are dropped, as by servers that have been flooded before.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import trio

from bulkmail.sandbox.dnswire import Query, Response, encode, parse_query
from bulkmail.sandbox.ledger import Ledger

Answering = Callable[[Query], Response | None]

_TCP_IDLE_S = 30.0
_ATTEMPTS = 20


def bind(address: str, port: int) -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """A UDP and a listening TCP socket on the same port; port 0 chooses one that is free for both.

    Raises OSError where the port is taken.
    """
    for attempt in range(_ATTEMPTS):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((address, port))
            udp.bind((address, tcp.getsockname()[1]))
            # Many clients ask at once and the answering task has one core: room for some thousand queries.
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            tcp.listen(128)
        except OSError as problem:
            udp.close()
            tcp.close()
            if port or problem.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                raise
            continue
        return trio.socket.from_stdlib_socket(udp), trio.socket.from_stdlib_socket(tcp)
    raise AssertionError("unreachable")


class DnsServer:
    """Answers on two bound sockets until cancelled."""

    def __init__(
        self, udp: trio.socket.SocketType, tcp: trio.socket.SocketType, answer: Answering, ledger: Ledger
    ) -> None:
        self._udp, self._tcp, self._answer, self._ledger = udp, tcp, answer, ledger

    def respond(self, data: bytes, *, udp: bool) -> bytes | None:
        """The response to one message, or None: no answer at all."""
        query = parse_query(data)
        if query is None:
            return None
        self._ledger.queried += 1
        if self._ledger.keep == "memory":
            self._ledger.queries[query.name, query.type] += 1
        response = self._answer(query)
        return None if response is None else encode(query, response, udp=udp)

    async def serve(self) -> None:
        with self._udp, self._tcp:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._datagrams)
                while True:
                    try:
                        connection, _ = await self._tcp.accept()
                    except OSError:
                        await trio.sleep(0.1)  # out of descriptors: those in use will be returned
                        continue
                    nursery.start_soon(self._stream, connection)

    async def _datagrams(self) -> None:
        while True:
            try:
                data, peer = await self._udp.recvfrom(4096)
                response = self.respond(data, udp=True)
                if response is not None:
                    await self._udp.sendto(response, peer)
            except OSError:  # an ICMP error of an earlier answer: its asker has gone
                continue

    async def _stream(self, connection: trio.socket.SocketType) -> None:
        """Queries one after the other, each behind its length (RFC 1035 section 4.2.2)."""
        with connection:
            held = b""
            while True:
                with trio.move_on_after(_TCP_IDLE_S) as idle:
                    try:
                        data = await connection.recv(65536)
                    except OSError:
                        return
                if idle.cancelled_caught or not data:
                    return
                held += data
                while len(held) >= 2 and len(held) - 2 >= (size := int.from_bytes(held[:2], "big")):
                    response = self.respond(held[2 : 2 + size], udp=False)
                    held = held[2 + size :]
                    if response is not None:
                        try:
                            await trio.SocketStream(connection).send_all(
                                len(response).to_bytes(2, "big") + response
                            )
                        except trio.BrokenResourceError:
                            return
