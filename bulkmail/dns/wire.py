"""DNS messages as far as a mailer needs them: one question out, plain answers in (RFC 1035, RFC 6891).

Written out because a campaign over many small domains asks three questions for each, and dnspython takes
250 µs to write one and read its answer; this takes 11. What is not plain (damaged records, a question that
comes back in another form, types that nobody asked for) is no business of this file: it raises Unusual, and
dnspython decides (`unusual`). So each step here may be strict; where both can read, they read the same.

A name is its octets on the wire, uncompressed and in lower case: to compare names is to compare octets. (The
octets that count a label are below 64, no letter is, so `lower` leaves them alone.)
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, field
from socket import AF_INET6, inet_ntoa, inet_ntop
from typing import NamedTuple

A, CNAME, SOA, MX, TXT, AAAA, OPT, TSIG = 1, 5, 6, 15, 16, 28, 41, 250
IN = 1
ROOT = b"\0"

QR, TC, RD = 0x8000, 0x0200, 0x0100
OPCODE = 0x7800
# What crosses today's networks without fragments (DNS flag day 2020).
PAYLOAD = 1232
MOST_HOPS = 8  # of compression, within one name

# host = label *("." label), as in RFC 1123 section 2.1, with the underscore that people use all the same.
# Anything else (spaces, control characters, escapes) is no name that we would connect to or print.
HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\Z"
)
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\Z")

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_NUMBERS = struct.Struct("!IIIII")
_EDNS = ROOT + _RECORD.pack(OPT, PAYLOAD, 0, 0)
_POINTER = b"\xc0\x0c"  # to octet 12, where the question's name stands


class Unusual(Exception):
    """Not to be read here."""


class Query(NamedTuple):
    """A question, and the message that asks it."""

    id: int
    name: bytes
    rdtype: int
    wire: bytes


@dataclass(slots=True)
class Message:
    """What a response has that bears on its question. Times to live in seconds.

    `found`: by owner the records of the type that was asked for, each once and in their order (addresses as
    text, MX as preference and name, TXT as its strings), and the least time to live among them. `aliases`: by
    owner, the target. `zones`: of each SOA record beside them, how long its "no" may be kept (RFC 2308
    section 5). `damaged`: an answer could not be read.
    """

    rcode: int
    truncated: bool = False
    found: dict[bytes, tuple[dict[object, None], int]] = field(default_factory=dict)
    aliases: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    zones: list[tuple[bytes, int]] = field(default_factory=list)
    damaged: bool = False


def name_of(text: str) -> bytes:
    """The octets of a name that is written with letters, digits, hyphens and underscores. Raises Unusual."""
    if not _PLAIN.match(text) or len(text) > 253:
        raise Unusual
    return b"".join([b"%c%b" % (len(label), label) for label in text.lower().encode().split(b".")]) + ROOT


def make_query(name: bytes, rdtype: int, *, edns: bool) -> Query:
    """With an id that nobody can guess (RFC 5452)."""
    number = int.from_bytes(os.urandom(2), "big")
    tail = _EDNS if edns else b""
    wire = _HEADER.pack(number, RD, 1, 0, 0, edns) + name + _QUESTION.pack(rdtype, IN) + tail
    return Query(number, name, rdtype, wire)


def answers(wire: bytes, query: Query) -> bool:
    """Is `wire` a response, by its header, with the id of `query`?"""
    return len(wire) >= 12 and wire[:2] == query.wire[:2] and bool(wire[2] & 0x80)


def read_plain(wire: bytes, query: Query) -> Message:
    """Read a response to `query` that `answers` has looked at. Raises Unusual."""
    try:
        return _read(wire, query)
    except (IndexError, struct.error):
        raise Unusual from None


def _read(wire: bytes, query: Query) -> Message:
    _, flags, questions, answered, authorities, additional = _HEADER.unpack_from(wire)
    at = 16 + len(query.name)
    if questions != 1 or flags & OPCODE or wire[12:at].lower() != query.wire[12:at]:
        raise Unusual
    if flags & TC:
        return Message(0, truncated=True)
    message = Message(flags & 0xF)
    edns = False
    for number in range(answered + authorities + additional):
        if wire[at : at + 2] == _POINTER:
            owner, at = query.name, at + 2
        else:
            owner, at = read_name(wire, at, len(wire))
        rdtype, rdclass, ttl, size = _RECORD.unpack_from(wire, at)
        at += 10
        end = at + size
        if end > len(wire) or rdtype == TSIG:
            raise Unusual
        if rdtype == OPT:
            if edns or owner != ROOT or number < answered + authorities or (size and ttl >> 24):
                raise Unusual
            edns = True
            message.rcode |= ttl >> 20 & 0xFF0
        elif number < answered + authorities:
            if ttl > 0x7FFFFFFF:  # RFC 2181 section 8
                ttl = 0
            if number < answered:
                if rdclass != IN:
                    raise Unusual
                _take(message, query.rdtype, rdtype, owner, ttl, wire, at, end)
            elif rdtype == SOA:
                if rdclass != IN or message.zones:
                    raise Unusual
                message.zones.append((owner, min(ttl, _minimum(wire, at, end))))
        at = end
    return message


def _take(
    message: Message, wanted: int, rdtype: int, owner: bytes, ttl: int, wire: bytes, at: int, end: int
) -> None:
    """Note an answer record. Raises Unusual also for one that came twice."""
    if rdtype == CNAME:
        target, after = read_name(wire, at, end)
        if after != end or owner in message.aliases:
            raise Unusual
        message.aliases[owner] = target, ttl
        return
    if rdtype != wanted:
        raise Unusual
    record = _READERS[rdtype](wire, at, end)
    known = message.found.get(owner)
    if known is None:
        message.found[owner] = {record: None}, ttl
        return
    if record in known[0]:
        raise Unusual
    known[0][record] = None
    if ttl < known[1]:
        message.found[owner] = known[0], ttl


def read_name(wire: bytes, at: int, end: int) -> tuple[bytes, int]:
    """The name at `at`, which ends before `end`, and where it ends.

    A pointer leads to what stands whole before the name that it is in. Raises Unusual, IndexError.
    """
    head, after, run, start = b"", 0, at, at
    for _ in range(MOST_HOPS):
        while 0 < (size := wire[at]) < 64:
            at += size + 1
        if size == 0:
            name = (head + wire[run : at + 1]).lower()
            if at >= end or len(name) > 255:
                raise Unusual
            return name, after or at + 1
        target = (size & 0x3F) << 8 | wire[at + 1]
        if size < 192 or at + 2 > end or target >= start:
            raise Unusual
        head += wire[run:at]
        after = after or at + 2
        end, start = start, target
        at = run = target
    raise Unusual


def _mx(wire: bytes, at: int, end: int) -> tuple[int, bytes]:
    exchange, after = read_name(wire, at + 2, end)
    if after != end:
        raise Unusual
    return wire[at] << 8 | wire[at + 1], exchange


def _a(wire: bytes, at: int, end: int) -> str:
    if end - at != 4:
        raise Unusual
    return inet_ntoa(wire[at:end])


def _aaaa(wire: bytes, at: int, end: int) -> str:
    if end - at != 16:
        raise Unusual
    return inet_ntop(AF_INET6, wire[at:end])


def _txt(wire: bytes, at: int, end: int) -> tuple[bytes, ...]:
    if at == end:
        raise Unusual
    strings = []
    while at < end:
        after = at + 1 + wire[at]
        strings.append(wire[at + 1 : after])
        at = after
    if at > end:
        raise Unusual
    return tuple(strings)


def _minimum(wire: bytes, at: int, end: int) -> int:
    """MINIMUM of the SOA record."""
    for _ in range(2):
        at = read_name(wire, at, end)[1]
    if end - at != _NUMBERS.size:
        raise Unusual
    return int(_NUMBERS.unpack_from(wire, at)[4])


_READERS = {MX: _mx, A: _a, AAAA: _aaaa, TXT: _txt}
