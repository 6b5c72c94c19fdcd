"""One question to one name server: a datagram there and back, over TCP where the answer is too long for one.

Every question has a socket of its own, connected, so that the kernel chooses a fresh random source port and
drops what comes from anywhere else: forging an answer means guessing port and id at once (RFC 5452). A socket
shared by all questions would give that up and save nothing that can be measured (benchmarks/dns_socket.py).
"""

from __future__ import annotations

import socket
import struct

import trio

from bulkmail.dns.addresses import destination
from bulkmail.dns.patrol import readable
from bulkmail.dns.response import NotAnAnswer, Reading, Status, read_response
from bulkmail.dns.shortage import in_words, is_shortage
from bulkmail.dns.wire import Query, make_query
from bulkmail.errors import LocalResourceError


class NoReply(Exception):
    """The server gave no answer that could be used. The message says what it did instead."""


async def ask(server: tuple[str, int], name: bytes, rdtype: int, *, timeout_s: float) -> Reading:
    """Ask `server` (address, port) for `name`; at most `timeout_s` over UDP and again over TCP.

    EDNS is tried first and left out where the server does not know it. Raises NoReply for silence, refusal
    by the network, and for SERVFAIL, REFUSED and their like; LocalResourceError when this machine ran out of
    something, which says nothing about the name or the server (T6).
    """
    reading = await _exchange(server, make_query(name, rdtype, edns=True), timeout_s)
    if reading.reason in ("FORMERR", "NOTIMP", "BADVERS"):
        reading = await _exchange(server, make_query(name, rdtype, edns=False), timeout_s)
    if reading.status is Status.FAILED:
        raise NoReply(f"{reading.reason} from {_shown(server)}")
    return reading


async def _exchange(server: tuple[str, int], query: Query, timeout_s: float) -> Reading:
    """The response, whatever it says, but never a truncated one."""
    try:
        reading = await _udp(server, query, trio.current_time() + timeout_s)
        if reading is not None and reading.truncated:
            reading = None
            with trio.move_on_after(timeout_s):
                reading = await _tcp(server, query)
    except OSError as error:
        if is_shortage(error, server[0]):
            raise LocalResourceError(f"cannot ask for names: {in_words(error)}") from error
        raise NoReply(f"{_shown(server)}: {in_words(error)}") from error
    if reading is None:
        raise NoReply(f"no reply from {_shown(server)} within {timeout_s:g} s")
    if reading.truncated:
        raise NoReply(f"{_shown(server)}: truncated even over TCP")
    return reading


async def _udp(server: tuple[str, int], query: Query, until: float) -> Reading | None:
    """None when there is no answer by then."""
    # Not trio's socket, which looks every address up and wraps every call: half the cost of a question.
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(destination(*server))
        sock.send(query.wire)
        while await readable(sock, until):
            try:
                return read_response(sock.recv(65_535), query)
            except (NotAnAnswer, BlockingIOError):  # perhaps forged: the true answer may still come
                continue
    return None


async def _tcp(server: tuple[str, int], query: Query) -> Reading:
    with trio.socket.socket(_family(server), socket.SOCK_STREAM) as sock:
        await sock.connect(server)
        stream = trio.SocketStream(sock)
        await stream.send_all(struct.pack("!H", len(query.wire)) + query.wire)
        (length,) = struct.unpack("!H", await _exactly(stream, 2))
        try:
            return read_response(await _exactly(stream, length), query)
        except NotAnAnswer as error:
            raise NoReply(f"{_shown(server)}: over TCP, what came {error}") from error


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            raise NoReply("the server closed the connection in the middle of its answer")
        data += more
    return bytes(data)


def _family(server: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET


def _shown(server: tuple[str, int]) -> str:
    address, port = server
    return address if port == 53 else f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
