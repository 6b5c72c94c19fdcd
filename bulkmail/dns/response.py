"""What one DNS response says about one name: bytes in, a value out; no socket, no clock.

The rest of the network is believed only as far as it answers the question: the id, the question section and
the chain of owner names must fit, and a record that cannot be parsed is left out as if it had not been sent.
What is left out must not turn "there are MX records" into "there are none", for that would send mail to the
domain's A record (RFC 5321 section 5.1).
"""

from __future__ import annotations

import enum
from typing import NamedTuple, cast

from bulkmail.dns.wire import HOST, MX, ROOT, TXT, Message, Query, Unusual, answers, name_of, read_plain

# An answer may be kept for a day, a negative one for three hours (RFC 2308 section 5), whatever its TTL.
LONGEST_S = 86_400
LONGEST_NEGATIVE_S = 10_800
# RFC 2308 wants negative answers without SOA not cached at all: a few seconds only spare the server a burst.
UNSIGNED_NEGATIVE_S = 5
LONGEST_CHAIN = 8

NOERROR, NXDOMAIN = 0, 3
RCODES = {
    1: "FORMERR",
    2: "SERVFAIL",
    NXDOMAIN: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    9: "NOTAUTH",
    16: "BADVERS",
}


class Status(enum.Enum):
    FOUND = "found"
    NODATA = "no such records"
    NXDOMAIN = "no such domain"
    FAILED = "no usable answer"  # SERVFAIL, time-out, refused by all resolvers


class NotAnAnswer(Exception):
    """This datagram does not answer our question: forged, late, or mangled beyond use."""


class Reading(NamedTuple):
    """What a response says.

    `follow` is set where the chain of CNAMEs leads out of the response: the name to ask for next. `ttl_s` is
    the smallest along the chain. `truncated`: ask again over TCP, nothing else here counts.
    """

    status: Status
    records: tuple[object, ...] = ()
    ttl_s: int = 0
    follow: bytes | None = None
    truncated: bool = False
    reason: str = ""


def parse_name(text: str) -> bytes:
    """The name as `Query` has it. Raises ValueError, with the reason, where no such name can be."""
    try:
        return name_of(text)
    except Unusual:
        from bulkmail.dns import unusual  # with dnspython: 50 ms to import, and hardly ever needed

    try:
        return unusual.name_of(text)
    except Unusual as error:
        raise ValueError(str(error)) from None


def read_response(wire: bytes, query: Query) -> Reading:
    """Read `wire` as the response to `query`. Raises NotAnAnswer."""
    if not answers(wire, query):
        raise NotAnAnswer("answers another question")
    try:
        message = read_plain(wire, query)
    except Unusual:
        message = _read_unusual(wire, query)
    return judge(message, query)


def _read_unusual(wire: bytes, query: Query) -> Message:
    from bulkmail.dns import unusual

    try:
        return unusual.read(wire, query)
    except Unusual as error:
        raise NotAnAnswer(str(error)) from error


def judge(message: Message, query: Query) -> Reading:
    """What follows from a response: follow the chain of aliases to records, to "no", or out of it."""
    if message.truncated:
        return Reading(Status.FAILED, truncated=True, reason="truncated")
    if message.rcode not in (NOERROR, NXDOMAIN):
        return Reading(Status.FAILED, reason=RCODES.get(message.rcode, f"RCODE {message.rcode}"))
    name, ttl = query.name, LONGEST_S
    for _ in range(LONGEST_CHAIN + 1):
        found = message.found.get(name)
        if found is not None:
            return Reading(Status.FOUND, _usable(query.rdtype, found[0]), min(ttl, found[1]))
        alias = message.aliases.get(name)
        if alias is None:
            break
        name, ttl = alias[0], min(ttl, alias[1])
    else:
        return Reading(Status.FAILED, reason="a CNAME chain without end")
    negative_s = next((kept_s for zone, kept_s in message.zones if is_below(name, zone)), None)
    kept_s = min(ttl, LONGEST_NEGATIVE_S, UNSIGNED_NEGATIVE_S if negative_s is None else negative_s)
    if message.rcode == NXDOMAIN:
        return Reading(Status.NXDOMAIN, (), kept_s)
    if message.damaged:
        return Reading(Status.FOUND, (), UNSIGNED_NEGATIVE_S, reason="malformed records only")
    if name != query.name and negative_s is None:
        return Reading(Status.NODATA, (), ttl, follow=name)
    return Reading(Status.NODATA, (), kept_s)


def _usable(rdtype: int, records: dict[object, None]) -> tuple[object, ...]:
    """MX as (preference, host), "" being the root of a null MX; A and AAAA as text; TXT as octets.

    The character-strings of a TXT are joined with nothing between them (RFC 6376 section 3.6.2.2; RFC 7208
    section 3.3). Unusable: left out.
    """
    if rdtype == MX:
        exchangers = cast("dict[tuple[int, bytes], None]", records)
        hosts = ((preference, host_of(exchange)) for preference, exchange in exchangers)
        return tuple(sorted((preference, host) for preference, host in hosts if host is not None))
    if rdtype == TXT:
        return tuple(sorted(b"".join(strings) for strings in cast("dict[tuple[bytes, ...], None]", records)))
    return tuple(records)


def host_of(name: bytes) -> str | None:
    """A name as text, without final dot, "" for the root; None if no host is called that."""
    if name == ROOT:
        return ""
    labels, at = [], 0
    while size := name[at]:
        labels.append(name[at + 1 : at + 1 + size])
        at += 1 + size
    host = b".".join(labels).decode("latin-1")
    return host if HOST.match(host) and host.count(".") == len(labels) - 1 else None


def is_below(name: bytes, zone: bytes) -> bool:
    """Is `name` in `zone`, or the zone itself?"""
    at = 0
    while len(name) - at > len(zone):
        at += 1 + name[at]
    return name[at:] == zone
