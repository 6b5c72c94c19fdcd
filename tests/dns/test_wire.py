"""The laws of the codec: it asks as dnspython asks, and reads what comes as dnspython reads it."""

from __future__ import annotations

import itertools

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from dns_judge import judged
from dns_responder import answer_to
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.dns.response import NotAnAnswer, Reading, host_of, is_below, parse_name, read_response
from bulkmail.dns.wire import AAAA, MX, TXT, A, Query, Unusual, make_query, name_of, read_name, read_plain

KINDS = {"A": A, "AAAA": AAAA, "MX": MX, "TXT": TXT}
NAMES = ("a.test.", "A.Test.", "b.test.", "c.b.test.", "test.", ".", "mx-1._x.example.", r"odd\.\032.test.")


def reading(wire: bytes, query: Query) -> Reading | None:
    try:
        return read_response(wire, query)._replace(reason="")
    except NotAnAnswer:
        return None


def judgement(wire: bytes, query: Query) -> Reading | None:
    try:
        return judged(wire, query)
    except NotAnAnswer:
        return None


names = st.sampled_from(NAMES)
ttls = st.sampled_from((0, 5, 300, 0x7FFFFFFF))
rdata = {
    "A": st.sampled_from(("192.0.2.1", "192.0.2.2", "203.0.113.255")),
    "AAAA": st.one_of(
        st.ip_addresses(v=6).map(str), st.sampled_from(("::", "::1", "::ffff:1.2.3.4", "1:0:0:2::"))
    ),
    "MX": st.tuples(st.integers(0, 3), names).map(lambda pair: f"{pair[0]} {pair[1]}"),
    "TXT": st.sampled_from(('"v=spf1 -all"', '"ab" "c"', '"a" "bc"', '""', r'"\255\000"')),
    "CNAME": names,
    "NS": names,
    "DNAME": names,
    "SOA": st.sampled_from(("ns.test. h.test. 1 2 3 4 60", "ns.a.test. h. 1 2 3 4 4294967295")),
    "SRV": names.map(lambda name: f"1 2 25 {name}"),
}


def exchange(draw: st.DrawFn) -> tuple[Query, bytes]:
    """A question and a response to it, as a server might compose it."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    query = make_query(parse_name(draw(names).lower()), KINDS[kind], edns=draw(st.booleans()))
    response = dns.message.make_response(dns.message.from_wire(query.wire))
    own = response.question[0].name.to_text()
    owners = st.one_of(st.just(own), names)
    likely = st.sampled_from((kind, kind, "CNAME"))
    for section, types in (
        (response.answer, st.one_of(likely, st.sampled_from(sorted(rdata)))),
        (response.authority, st.sampled_from(("SOA", "SOA", "NS"))),
        (response.additional, st.sampled_from(("A", "AAAA", "TXT"))),
    ):
        for _ in range(draw(st.integers(0, 4))):
            rdtype = draw(types)
            values = draw(st.lists(rdata[rdtype], min_size=1, max_size=3))
            rdclass = draw(st.sampled_from(("IN",) * 9 + ("CH",))) if rdtype == "TXT" else "IN"
            section.append(dns.rrset.from_text(draw(owners), draw(ttls), rdclass, rdtype, *values))
    response.use_edns(
        draw(st.sampled_from((0, 0, False))),
        options=draw(st.sampled_from(([], [dns.edns.EDEOption(22, "no reach")]))),
    )
    response.set_rcode(
        draw(st.sampled_from((0, 0, 0, 0, 3, 3, 2, 5) if response.edns < 0 else (0, 0, 0, 3, 3, 16)))
    )
    if draw(st.integers(0, 9)) == 0:
        response.flags |= dns.flags.TC
    return query, response.to_wire()


damage = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)


@given(st.data(), damage, st.sampled_from((0, 0, 0, 1, 7, 40)))
def test_a_response_is_read_as_dnspython_reads_it(
    data: st.DataObject, changes: list[tuple[int, int]], cut: int
) -> None:
    """D9: whole or damaged."""
    query, response = exchange(data.draw)
    wire = bytearray(response)
    for place, octet in changes:
        wire[place % len(wire)] = octet
    damaged = bytes(wire[: len(wire) - cut])
    assert reading(damaged, query) == judgement(damaged, query)


@given(st.sampled_from(sorted(KINDS.values())), st.tuples(*[st.integers(0, 3)] * 3), st.binary(max_size=120))
def test_noise_behind_the_question_is_read_as_dnspython_reads_it(
    rdtype: int, counts: tuple[int, int, int], noise: bytes
) -> None:
    """D9."""
    query = make_query(name_of("a.test"), rdtype, edns=False)
    header = query.wire[:2] + b"\x81\x80\0\1" + b"".join(count.to_bytes(2, "big") for count in counts)
    wire = header + query.wire[12:] + noise
    assert reading(wire, query) == judgement(wire, query)


def names_on_the_wire() -> st.SearchStrategy[bytes]:
    """Mostly good ones. Octet 12 begins the name of the question, octet 38 that of the first record."""
    label = st.binary(min_size=1, max_size=5).map(lambda octets: bytes((len(octets),)) + octets)
    target = st.one_of(st.sampled_from((12, 14, 38, 38)), st.integers(0, 60))
    pointer = target.map(lambda target: bytes((0xC0, target)))
    rare = st.sampled_from((b"\x40", b"\x80\x01", b"\xc0", b"\x3f" + b"x" * 63))
    ends = st.one_of(pointer, st.just(b"\0"))
    good = st.tuples(st.lists(label, max_size=4).map(b"".join), ends).map(b"".join)
    bad = st.lists(st.one_of(label, ends, rare), max_size=12).map(b"".join)
    return st.one_of(good, good, good, bad)


@given(names_on_the_wire(), names_on_the_wire(), st.sampled_from((0, 0, 0, 1)))
def test_compressed_names_are_read_as_dnspython_reads_them(before: bytes, name: bytes, beyond: int) -> None:
    """A MX record whose name points to what stands in a record before it."""
    query = make_query(name_of("a.test"), MX, edns=False)
    header = query.wire[:2] + b"\x81\x80\0\1\0\2\0\0\0\0"
    records = [
        b"\xc0\x0c\0\x0f\0\1\0\0\1\x2c" + (len(name) + 2 + more).to_bytes(2, "big") + b"\0\1" + name
        for name, more in ((before, 0), (name, beyond))
    ]
    wire = header + query.wire[12:] + b"".join(records)
    assert reading(wire, query) == judgement(wire, query)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edns", [True, False])
def test_a_question_is_dnspythons(kind: str, edns: bool) -> None:
    query = make_query(parse_name("Mx._x.a.test"), KINDS[kind], edns=edns)
    options = {"use_edns": 0, "payload": 1232} if edns else {}
    theirs = dns.message.make_query("mx._x.a.test", kind, id=query.id, **options)
    assert query.wire == theirs.to_wire()


WORDS = st.text(st.sampled_from("aZ0-_.\\ é@*\0"), max_size=70)


@given(st.one_of(WORDS, st.text(max_size=20), st.lists(st.just("x" * 40), max_size=8).map(".".join)))
def test_a_name_is_encoded_as_dnspython_encodes_it(text: str) -> None:
    """D9."""
    try:
        ours = parse_name(text)
    except ValueError:
        ours = None
    try:
        theirs = dns.name.from_text(text, idna_codec=dns.name.IDNA_2008).canonicalize().to_wire()
    except (dns.exception.DNSException, UnicodeError):
        theirs = None
    assert ours == theirs


@pytest.mark.parametrize(("name", "zone"), list(itertools.product(NAMES, NAMES)))
def test_a_name_is_below_another_where_dnspython_says_so(name: str, zone: str) -> None:
    one, other = dns.name.from_text(name).canonicalize(), dns.name.from_text(zone).canonicalize()
    assert is_below(one.to_wire(), other.to_wire()) == one.is_subdomain(other)


def test_a_dot_within_a_label_does_not_make_it_two() -> None:
    assert [host_of(name) for name in (b"\4a.bc\4test\0", b"\2bc\4test\0", b"\0")] == [None, "bc.test", ""]


@pytest.mark.parametrize("kind", KINDS)
def test_what_servers_send_every_day_is_read_without_dnspython(kind: str) -> None:
    query = make_query(name_of("a.test"), KINDS[kind], edns=True)
    records = {
        "A": ("CNAME b.test.", "A 192.0.2.1", "A 192.0.2.2"),
        "AAAA": ("AAAA 2001:db8::1",),
        "MX": ("MX 10 mx1.a.test.", "MX 20 mx2.a.test."),
        "TXT": ('TXT "v=spf1 -all"', 'TXT "a" "b"'),
    }
    response = answer_to(dns.message.from_wire(query.wire), *records[kind])
    response.authority.append(dns.rrset.from_text("test.", 60, "IN", "NS", "ns.test."))
    response.additional.append(dns.rrset.from_text("ns.test.", 60, "IN", "A", "192.0.2.9"))
    response.use_edns(0, options=[dns.edns.EDEOption(3)])
    message = read_plain(response.to_wire(), query)
    assert (len(message.found[query.name][0]), message.rcode) == (len(records[kind]) - (kind == "A"), 0)


def test_pointers_are_not_followed_for_ever() -> None:
    """A chain of pointers, each leading to the one before."""
    chain = b"\0" + b"".join(b"\xc0" + bytes((max(0, 2 * number - 1),)) for number in range(40))
    with pytest.raises(Unusual):
        read_name(chain, len(chain) - 2, len(chain))
