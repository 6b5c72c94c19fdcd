"""An authoritative DNS server for one zone file, by dnspython: mail exchangers, addresses and DKIM records.

What the sandbox serves is what its domains behave like; here a test says each record itself, as text.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.message
import dns.name
import dns.rcode
import dns.zone
import trio


@asynccontextmanager
async def zone_server(records: str) -> AsyncIterator[tuple[str, int]]:
    """Serve `records`, a zone file of absolute names, over UDP until the block ends; gives host and port."""
    soa = "@ 300 IN SOA ns hostmaster 1 7200 900 1209600 60\n@ 300 IN NS ns\n"
    zone = dns.zone.from_text(soa + records, origin=".", relativize=False)
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        await udp.bind(("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, udp, zone)
            host, port = udp.getsockname()
            yield host, port
            nursery.cancel_scope.cancel()


async def _serve(udp: trio.socket.SocketType, zone: dns.zone.Zone) -> None:
    while True:
        data, peer = await udp.recvfrom(4096)
        await udp.sendto(respond(zone, dns.message.from_wire(data)).to_wire(), peer)


def respond(zone: dns.zone.Zone, query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query)
    question = query.question[0]
    found = zone.get_rrset(question.name, question.rdtype)
    if found is not None:
        response.answer.append(found)
    elif not any(name.is_subdomain(question.name) for name in zone):
        response.set_rcode(dns.rcode.NXDOMAIN)
    return response
