"""What dnspython alone makes of a response: the judge of how bulkmail reads one."""

from __future__ import annotations

import struct
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from bulkmail.dns.response import (
    LONGEST_CHAIN,
    LONGEST_NEGATIVE_S,
    LONGEST_S,
    UNSIGNED_NEGATIVE_S,
    NotAnAnswer,
    Reading,
    Status,
)
from bulkmail.dns.wire import HOST, Query


def judged(wire: bytes, query: Query) -> Reading:
    """As `read_response`, without reasons. Raises NotAnAnswer."""
    asked = dns.message.from_wire(query.wire)
    try:
        response = dns.message.from_wire(wire, continue_on_error=True, ignore_trailing=True)
        if not asked.is_response(response):
            raise NotAnAnswer
    except (dns.exception.DNSException, struct.error, ValueError) as error:
        raise NotAnAnswer from error
    if response.flags & dns.flags.TC:
        return Reading(Status.FAILED, truncated=True)
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Reading(Status.FAILED)
    return _chain(response, asked.question[0], sent=struct.unpack_from("!H", wire, 6)[0])


def _chain(response: dns.message.Message, question: Any, *, sent: int) -> Reading:
    answers = {(one.name, one.rdtype): one for one in response.answer if one.rdclass == dns.rdataclass.IN}
    name, ttl = question.name, LONGEST_S
    for _ in range(LONGEST_CHAIN + 1):
        rrset: Any = answers.get((name, question.rdtype))
        if rrset is not None:
            return Reading(Status.FOUND, _records(rrset), min(ttl, rrset.ttl))
        alias: Any = answers.get((name, dns.rdatatype.CNAME))
        if alias is None:
            break
        name, ttl = alias[0].target, min(ttl, alias.ttl)
    else:
        return Reading(Status.FAILED)
    negative_s = _negative_s(response, name)
    kept_s = min(ttl, LONGEST_NEGATIVE_S, UNSIGNED_NEGATIVE_S if negative_s is None else negative_s)
    if response.rcode() == dns.rcode.NXDOMAIN:
        return Reading(Status.NXDOMAIN, (), kept_s)
    if sent > sum(len(rrset) for rrset in response.answer) and response.errors:
        return Reading(Status.FOUND, (), UNSIGNED_NEGATIVE_S)
    if name != question.name and negative_s is None:
        return Reading(Status.NODATA, (), ttl, follow=name.canonicalize().to_wire())
    return Reading(Status.NODATA, (), kept_s)


def _records(rrset: Any) -> tuple[object, ...]:
    if rrset.rdtype == dns.rdatatype.TXT:
        return tuple(sorted(b"".join(rdata.strings) for rdata in rrset))
    if rrset.rdtype != dns.rdatatype.MX:
        return tuple(rdata.address for rdata in rrset)
    hosts = [(rdata.preference, rdata.exchange.to_text(omit_final_dot=True).lower()) for rdata in rrset]
    found = [(preference, "" if host == "." else host) for preference, host in hosts]
    return tuple(sorted((preference, host) for preference, host in found if not host or HOST.match(host)))


def _negative_s(response: dns.message.Message, name: dns.name.Name) -> int | None:
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name) and len(rrset):
            return int(min(rrset.ttl, rrset[0].minimum))  # type: ignore[attr-defined]
    return None
