"""What one DNS response says about one name: bytes in, a value out; no socket, no clock.

The rest of the network is believed only as far as it answers the question: the id, the question section and
the chain of owner names must fit, and a record that cannot be parsed is left out as if it had not been sent.
What is left out must not turn "there are MX records" into "there are none", for that would send mail to the
domain's A record (RFC 5321 section 5.1).
"""

from __future__ import annotations

import enum
import re
import struct
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

MX, A, AAAA, TXT = dns.rdatatype.MX, dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.TXT

# An answer may be kept for a day, a negative one for three hours (RFC 2308 section 5), whatever its TTL.
LONGEST_S = 86_400
LONGEST_NEGATIVE_S = 10_800
# RFC 2308 wants negative answers without SOA not cached at all: a few seconds only spare the server a burst.
UNSIGNED_NEGATIVE_S = 5
LONGEST_CHAIN = 8

# host = label *("." label), as in RFC 1123 section 2.1, with the underscore that people use all the same.
# Anything else (spaces, control characters, escapes) is no name that we would connect to or print.
HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\Z"
)


class Status(enum.Enum):
    FOUND = "found"
    NODATA = "no such records"
    NXDOMAIN = "no such domain"
    FAILED = "no usable answer"  # SERVFAIL, time-out, refused by all resolvers


class NotAnAnswer(Exception):
    """This datagram does not answer our question: forged, late, or mangled beyond use."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a response says.

    `follow` is set where the chain of CNAMEs leads out of the response: the name to ask for next. `ttl_s` is
    the smallest along the chain. `truncated`: ask again over TCP, nothing else here counts.
    """

    status: Status
    records: tuple[object, ...] = ()
    ttl_s: int = 0
    follow: dns.name.Name | None = None
    truncated: bool = False
    reason: str = ""


def read_response(wire: bytes, query: dns.message.QueryMessage) -> Reading:
    """Read `wire` as the response to `query`, which has one question. Raises NotAnAnswer."""
    try:
        response = dns.message.from_wire(wire, continue_on_error=True, ignore_trailing=True)
    except (dns.exception.DNSException, struct.error, ValueError) as error:
        raise NotAnAnswer(f"cannot be parsed: {error}") from error
    try:
        fits = query.is_response(response)
    except dns.exception.DNSException:
        fits = False
    if not fits:
        raise NotAnAnswer("answers another question")
    rcode = response.rcode()
    if response.flags & dns.flags.TC:
        return Reading(Status.FAILED, truncated=True, reason="truncated")
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Reading(Status.FAILED, reason=dns.rcode.to_text(rcode))
    return _follow_chain(response, query.question[0], sent=struct.unpack_from("!H", wire, 6)[0])


def _follow_chain(response: dns.message.Message, question: dns.rrset.RRset, *, sent: int) -> Reading:
    """`sent` is the number of answer records by the header, readable or not."""
    answers = {
        (rrset.name, rrset.rdtype): rrset for rrset in response.answer if rrset.rdclass == dns.rdataclass.IN
    }
    name, ttl = question.name, LONGEST_S
    for _ in range(LONGEST_CHAIN + 1):
        rrset = answers.get((name, question.rdtype))
        if rrset is not None:
            return Reading(Status.FOUND, records_of(rrset), min(ttl, rrset.ttl))
        alias = answers.get((name, dns.rdatatype.CNAME))
        if alias is None:
            break
        name, ttl = alias[0].target, min(ttl, alias.ttl)
    else:
        return Reading(Status.FAILED, reason="a CNAME chain without end")
    negative_s = negative_ttl(response, name)
    kept_s = min(ttl, LONGEST_NEGATIVE_S, UNSIGNED_NEGATIVE_S if negative_s is None else negative_s)
    if response.rcode() == dns.rcode.NXDOMAIN:
        return Reading(Status.NXDOMAIN, (), kept_s)
    if sent > sum(len(rrset) for rrset in response.answer) and response.errors:
        return Reading(Status.FOUND, (), UNSIGNED_NEGATIVE_S, reason="malformed records only")
    if name != question.name and negative_s is None:
        return Reading(Status.NODATA, (), ttl, follow=name)
    return Reading(Status.NODATA, (), kept_s)


def records_of(rrset: dns.rrset.RRset) -> tuple[object, ...]:
    """MX as (preference, host), "" being the root of a null MX; A and AAAA as text; TXT as octets.

    The character-strings of a TXT are joined with nothing between them (RFC 6376 section 3.6.2.2; RFC 7208
    section 3.3). Unusable: left out.
    """
    if rrset.rdtype == TXT:
        return tuple(sorted(b"".join(rdata.strings) for rdata in rrset))
    if rrset.rdtype != MX:
        return tuple(rdata.address for rdata in rrset)
    records = []
    for rdata in rrset:
        host = "" if rdata.exchange == dns.name.root else rdata.exchange.to_text(omit_final_dot=True).lower()
        if not host or HOST.match(host):
            records.append((rdata.preference, host))
    return tuple(sorted(records))


def negative_ttl(response: dns.message.Message, name: dns.name.Name) -> int | None:
    """How long "no" may be kept: the lesser of the SOA's TTL and MINIMUM (RFC 2308 section 5), or None."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name) and len(rrset):
            return int(min(rrset.ttl, rrset[0].minimum))
    return None
