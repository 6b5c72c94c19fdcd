"""What the sandbox's DNS answers, as a function of the world: no sockets here.

It answers as a resolver would for the whole of its internet: aliases are followed within the answer, and a
negative answer carries an SOA so that it can be cached.
"""

from __future__ import annotations

from collections.abc import Callable

from bulkmail.sandbox.dnswire import Record, Response, address, encode_name, mx, soa
from bulkmail.sandbox.names import Host, Zone
from bulkmail.sandbox.world import World

Locate = Callable[[Host], tuple[str, ...]]  # the addresses of a host, which listens there from now on

_MAX_ALIASES = 8
_MALFORMED = {  # RDATA that is too short, and a label of a type that does not exist
    "MX": (b"\0", b"\0\x0a\x7fnot-a-name"),
    "A": (b"\x7f\0\0",),
    "AAAA": (b"\0" * 5,),
}


def answer(world: World, name: str, kind: str, locate: Locate) -> Response | None:
    """The response to a question, or None: it is never answered. `name` in lower case without final dot."""
    answers: list[Record] = []
    for _ in range(_MAX_ALIASES):
        zone = world.zone(name, of_host=kind in ("A", "AAAA"))
        if zone is None:
            return _negative(name, "NXDOMAIN", answers, 300)
        failure = _failure(zone, kind)
        if failure == "TIMEOUT":
            return None
        if failure in ("SERVFAIL", "REFUSED"):
            return Response(failure, tuple(answers))
        if failure is not None:
            rcode = "NOERROR" if failure == "NODATA" else failure
            return _negative(name, rcode, answers, zone.ttl)
        if zone.cname is None or kind == "CNAME":
            break
        answers.append(Record(name, "CNAME", zone.ttl, encode_name(zone.cname)))
        name = zone.cname
    else:
        return Response("SERVFAIL", tuple(answers))  # aliases in a circle
    found = _found(world, name, kind, zone, locate)
    if not found:
        return _negative(name, "NOERROR", answers, zone.ttl)
    spoilt = _MALFORMED.get(kind, ())
    count = zone.malformed if spoilt else 0
    answers += [Record(name, kind, zone.ttl, spoilt[i % len(spoilt)]) for i in range(count)]
    return Response("NOERROR", (*answers, *found), truncated=zone.truncated)


def _found(world: World, name: str, kind: str, zone: Zone, locate: Locate) -> list[Record]:
    if kind == "MX":
        domain = world.find(name)
        records = domain.mx if domain is not None else []
        return [Record(name, "MX", zone.ttl, mx(preference, host)) for preference, host in records]
    if kind == "CNAME" and zone.cname is not None:
        return [Record(name, "CNAME", zone.ttl, encode_name(zone.cname))]
    if kind not in ("A", "AAAA"):
        return []
    addresses = zone.addresses
    if addresses is None:
        host = world.hosts.get(name)
        addresses = locate(host) if host is not None else ()
    pairs = (address(text) for text in addresses)
    return [Record(name, found, zone.ttl, data) for found, data in pairs if found == kind]


def _failure(zone: Zone, kind: str) -> str | None:
    failure = zone.failures.get(kind) or zone.failures.get("*")
    if failure is None:
        return None
    zone.failed += 1
    if zone.failing_times is not None and zone.failed > zone.failing_times:
        return None
    return failure


def _negative(name: str, rcode: str, answers: list[Record], ttl: int) -> Response:
    apex = Record(".".join(name.split(".")[-1:]), "SOA", ttl, soa(ttl))
    return Response(rcode, tuple(answers), (apex,))
