"""Targets of the DNS: what resolvers answer to us, and what asks the sandbox."""

from __future__ import annotations

import dns.flags
import dns.message
from fuzz_target import borrow, same, target

from bulkmail.dns.response import NotAnAnswer, Reading, Status, read_response
from bulkmail.dns.unusual import LONGEST
from bulkmail.dns.wire import AAAA, HOST, MX, TXT, A, Query, make_query, name_of
from bulkmail.sandbox import dnswire

borrow("dns")
from dns_judge import judged  # noqa: E402  dnspython's own word

KINDS = (MX, A, AAAA, TXT)
NAME = name_of("a.test")
OWNER = b"\xc0\x0c"
RECORDS = {
    MX: OWNER + b"\0\x0f\0\1\0\0\1\x2c\0\x08\0\x0a\3mx1\xc0\x0c",
    A: OWNER + b"\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1",
    AAAA: OWNER + b"\0\x1c\0\1\0\0\1\x2c\0\x10" + bytes(15) + b"\1",
    TXT: OWNER + b"\0\x10\0\1\0\0\1\x2c\0\4\3abc",
}
ALIAS = OWNER + b"\0\5\0\1\0\0\1\x2c\0\4\1b\xc0\x0c"
AUTHORITY = b"\4test\0\0\6\0\1\0\0\0\x3c\0\x1a\2ns\0\1h\0" + bytes(19) + b"\x3c"
OPT = b"\0\0\x29\4\xd0\0\0\0\0\0\0"


def _query(kind: int) -> Query:
    asked = make_query(NAME, kind, edns=True)
    wire = b"\x12\x34" + asked.wire[2:]
    return Query(0x1234, NAME, kind, wire)


QUERIES = [_query(kind) for kind in KINDS]


def _seed(at: int, records: bytes, counts: bytes) -> bytes:
    return bytes([at]) + b"\x81\x80\0\1" + counts + QUERIES[at].wire[12:][: len(NAME) + 4] + records


@target(
    seeds=(
        *(_seed(at, RECORDS[kind] + OPT, b"\0\1\0\0\0\1") for at, kind in enumerate(KINDS)),
        _seed(0, ALIAS + RECORDS[MX] + AUTHORITY, b"\0\2\0\1\0\0"),
        _seed(1, AUTHORITY, b"\0\0\0\1\0\0"),
        _seed(0, b"", b"\0\0\0\0\0\0").replace(b"\x81\x80", b"\x83\x83"),
    ),
    words=(*RECORDS.values(), ALIAS, AUTHORITY, OPT, OWNER, b"\xc0\x2a", b"\0\1", b"\0", b"\xff\xff\xff\xff",
    NAME, b"\x3f", b"\x40"),
    longest=1300,
    examples=200,
)  # fmt: skip
def answer(data: bytes) -> None:
    """Behind the right id: a reading or NotAnAnswer, and what dnspython alone reads in it; hosts that can be
    connected to; records only where they were found; a time to live within its bounds."""
    query = QUERIES[data[0] % len(QUERIES)] if data else QUERIES[0]
    wire = query.wire[:2] + data[1:]
    reading: Reading | None
    judgement: Reading | None
    try:
        reading = read_response(wire, query)._replace(reason="")
    except NotAnAnswer:
        reading = None
    if 12 <= len(wire) <= LONGEST and wire[2] & 0x80:  # longer ones and odd are not given to dnspython at all
        try:
            judgement = judged(wire, query)
        except NotAnAnswer:
            judgement = None
        same(reading, judgement, "dnspython reads it otherwise")
    if reading is None:
        return
    assert not reading.records or reading.status is Status.FOUND
    assert 0 <= reading.ttl_s <= 86_400, reading
    if query.rdtype == MX:
        assert all(host == "" or HOST.match(host) for _, host in reading.records)  # type: ignore[misc]


WORLD = (
    dnswire.Record("a.test", "MX", 300, dnswire.mx(10, "mx.a.test")),
    dnswire.Record("mx.a.test", "A", 300, dnswire.address("192.0.2.1")[1]),
)


@target(
    seeds=(*(query.wire for query in QUERIES), QUERIES[0].wire.replace(b"\0\1\0\0\0\0\0\1",
    b"\0\1\0\0\0\0\0\0")),
    words=(NAME, b"\0", b"\0\x0f\0\1", OPT, b"\1\0\0\1", b"\xc0\x0c", b"\x3f", b"\0\xff\0\xff", b"\xff"),
    longest=600, examples=100,
)  # fmt: skip
def question(data: bytes) -> None:
    """A query or None; what the sandbox answers is a response to it for dnspython, and within its size."""
    query = dnswire.parse_query(data)
    if query is None:
        return
    for answers in ((), WORLD, WORLD * 60):
        for udp in (True, False):
            wire = dnswire.encode(query, dnswire.Response("NOERROR", answers), udp=udp)
            assert not udp or len(wire) <= query.udp_size, (len(wire), query.udp_size)
            same(wire[:2], data[:2])
            if len(wire) > 12:
                response = dns.message.from_wire(wire)
                assert response.flags & dns.flags.QR
                cut = bool(response.flags & dns.flags.TC)
                assert cut or sum(map(len, response.answer)) in (len(answers), len(set(answers)))
