"""What dnspython makes of a response that `wire` does not read: damaged, or not in the plain form.

As much as possible is taken from it: a record that cannot be read is left out as if it had not been sent, and
`damaged` says so. Imported only when it is needed, which in most runs is never.
"""

from __future__ import annotations

import struct
from typing import Any

import dns.exception
import dns.message
import dns.name

# dnspython loads each type of record when it meets the first of it. Here all at once: without a descriptor to
# load it with (T6), a record would pass for damaged.
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA

from bulkmail.dns.wire import CNAME, IN, MX, SOA, TC, TXT, Message, Query, Unusual

# Octets. Names in a long message can be made to take minutes; nothing honest is both odd and that long.
LONGEST = 8192


def name_of(text: str) -> bytes:
    """The octets of any name that can be: IDN, escapes, the root. Raises Unusual and says why."""
    try:
        return octets(dns.name.from_text(text, idna_codec=dns.name.IDNA_2008))
    except (dns.exception.DNSException, UnicodeError) as error:
        # A label over 63 or a name over 255 octets cannot exist (RFC 1035 section 2.3.4).
        raise Unusual(str(error)) from error


def read(wire: bytes, query: Query) -> Message:
    """Raises Unusual, with the reason, where not even that works, or the response is to something else."""
    if len(wire) > LONGEST:
        raise Unusual("is long and cannot be read")
    try:
        response = dns.message.from_wire(wire, continue_on_error=True, ignore_trailing=True)
    except (dns.exception.DNSException, struct.error, ValueError) as error:
        raise Unusual(f"cannot be parsed: {error}") from error
    try:
        fits = dns.message.from_wire(query.wire).is_response(response)
    except dns.exception.DNSException:
        fits = False
    if not fits:
        raise Unusual("answers another question")
    message = Message(int(response.rcode()), truncated=bool(response.flags & TC))
    for rrset in response.answer:
        if rrset.rdclass != IN:
            continue
        owner = octets(rrset.name)
        if rrset.rdtype == CNAME and len(rrset):
            message.aliases[owner] = octets(rrset[0].target), rrset.ttl
        if rrset.rdtype == query.rdtype and len(rrset):
            message.found[owner] = dict.fromkeys(map(_record, rrset)), rrset.ttl
    for rrset in response.authority:
        if rrset.rdtype == SOA and len(rrset):
            message.zones.append((octets(rrset.name), int(min(rrset.ttl, rrset[0].minimum))))
    sent = struct.unpack_from("!H", wire, 6)[0]
    message.damaged = bool(response.errors) and sent > sum(len(rrset) for rrset in response.answer)
    return message


def _record(rdata: Any) -> object:
    if rdata.rdtype == MX:
        return rdata.preference, octets(rdata.exchange)
    return rdata.strings if rdata.rdtype == TXT else rdata.address


def octets(name: dns.name.Name) -> bytes:
    wire = name.to_wire()
    assert wire is not None  # without a file to write to it is returned
    return wire.lower()
