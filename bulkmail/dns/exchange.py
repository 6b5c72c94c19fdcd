"""One question to one name server: a datagram there and back, over TCP where the answer is too long for one.

Every question has a socket of its own, connected, so that the kernel chooses a fresh random source port and
drops what comes from anywhere else: forging an answer means guessing port and id at once (RFC 5452). A socket
shared by all questions would give that up for a few per cent of the CPU (benchmarks/dns_socket.py: 2%).
"""

from __future__ import annotations

import ipaddress
import socket
import struct

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import trio

from bulkmail.dns.response import NotAnAnswer, Reading, Status, read_response
from bulkmail.dns.shortage import in_words, is_shortage
from bulkmail.errors import LocalResourceError

# What crosses today's networks without fragments (DNS flag day 2020).
PAYLOAD = 1232


class NoReply(Exception):
    """The server gave no answer that could be used. The message says what it did instead."""


async def ask(
    server: tuple[str, int], name: dns.name.Name, rdtype: dns.rdatatype.RdataType, *, timeout_s: float
) -> Reading:
    """Ask `server` (address, port) for `name`; at most `timeout_s` over UDP and again over TCP.

    EDNS is tried first and left out where the server does not know it. Raises NoReply for silence, refusal
    by the network, and for SERVFAIL, REFUSED and their like; LocalResourceError when this machine ran out of
    something, which says nothing about the name or the server (T6).
    """
    for edns in (0, False):
        query = dns.message.make_query(name, rdtype, use_edns=edns, payload=PAYLOAD)
        try:
            with trio.fail_after(timeout_s):
                reading = await _udp(server, query)
            if reading.truncated:
                with trio.fail_after(timeout_s):
                    reading = await _tcp(server, query)
        except trio.TooSlowError:
            raise NoReply(f"no reply from {_shown(server)} within {timeout_s:g} s") from None
        except OSError as error:
            if is_shortage(error, server[0]):
                raise LocalResourceError(f"cannot ask for names: {in_words(error)}") from error
            raise NoReply(f"{_shown(server)}: {in_words(error)}") from error
        if reading.reason not in ("FORMERR", "NOTIMP", "BADVERS"):
            break
    if reading.status is Status.FAILED:
        raise NoReply(f"{reading.reason} from {_shown(server)}")
    return reading


async def _udp(server: tuple[str, int], query: dns.message.QueryMessage) -> Reading:
    with trio.socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        await sock.connect(server)
        await sock.send(query.to_wire())
        while True:
            try:
                return read_response(await sock.recv(65_535), query)
            except NotAnAnswer:  # perhaps forged: the true answer may still come
                continue


async def _tcp(server: tuple[str, int], query: dns.message.QueryMessage) -> Reading:
    with trio.socket.socket(_family(server), socket.SOCK_STREAM) as sock:
        await sock.connect(server)
        stream = trio.SocketStream(sock)
        wire = query.to_wire()
        await stream.send_all(struct.pack("!H", len(wire)) + wire)
        (length,) = struct.unpack("!H", await _exactly(stream, 2))
        try:
            reading = read_response(await _exactly(stream, length), query)
        except NotAnAnswer as error:
            raise NoReply(f"{_shown(server)}: over TCP, what came {error}") from error
        if reading.truncated:
            raise NoReply(f"{_shown(server)}: truncated even over TCP")
        return reading


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            raise NoReply("the server closed the connection in the middle of its answer")
        data += more
    return bytes(data)


def _family(server: tuple[str, int]) -> socket.AddressFamily:
    address = ipaddress.ip_address(server[0].partition("%")[0])
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _shown(server: tuple[str, int]) -> str:
    address, port = server
    return address if port == 53 else f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
