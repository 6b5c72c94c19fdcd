"""The sink's name server, asked and read by dnspython."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
import sink
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lacking import lacks

PATIENCE_S = 60.0
LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=4)


@pytest.fixture(scope="module")
def mx() -> Iterator[sink.Sink]:
    try:
        with sink.running(dns=True) as running:
            yield running
    except sink.CannotBuild as reason:
        lacks(str(reason))


def asked(mx: sink.Sink, query: dns.message.Message) -> dns.message.Message:
    """dnspython compares id and question, and refuses what stands behind the message."""
    return dns.query.udp(query, mx.host, port=mx.dns_port, timeout=PATIENCE_S)


@pytest.mark.parametrize("edns", [False, True])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("MX", ["a.test. 3600 IN MX 10 mx.a.test."]),
        ("A", ["a.test. 3600 IN A 127.0.0.1"]),
        ("AAAA", []),
        ("TXT", []),
        ("TLSA", []),
    ],
)
def test_every_domain_has_one_exchanger(mx: sink.Sink, kind: str, said: list[str], edns: bool) -> None:
    answer = asked(mx, dns.message.make_query("a.test", kind, use_edns=edns, want_dnssec=edns))
    assert [rrset.to_text() for rrset in answer.answer] == said
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.RA
    assert answer.edns == (0 if edns else -1)
    # What is not there may be believed for a while (RFC 2308)
    assert [(rrset.rdtype, rrset.ttl) for rrset in answer.authority] == (
        [] if said else [(dns.rdatatype.SOA, 3600)]
    )


@settings(max_examples=60)
@given(labels=LABELS, kind=st.sampled_from(["MX", "A", "AAAA"]))
def test_every_name_gets_a_good_answer(mx: sink.Sink, labels: list[bytes], kind: str) -> None:
    try:
        name = dns.name.Name([*labels, b""])
    except dns.name.NameTooLong:
        return
    answer = asked(mx, dns.message.make_query(name, kind))
    fits = kind != "MX" or len(name.to_wire()) + 3 <= 255
    assert len(answer.answer) == (fits and kind != "AAAA")
    if kind == "MX" and fits:
        (rdata,) = answer.answer[0]
        assert rdata.exchange == dns.name.Name([b"mx", *labels, b""])


def test_what_is_no_query_for_it_is_said_so(mx: sink.Sink) -> None:
    update = dns.message.make_query("a.test", "A")
    update.set_opcode(5)
    chaos = dns.message.make_query("a.test", "A", rdclass="CH")
    twice = dns.message.make_query("a.test", "A")
    twice.question *= 2
    codes = [dns.rcode.to_text(said(mx, query.to_wire()).rcode()) for query in (update, chaos, twice)]
    assert codes == ["NOTIMP", "REFUSED", "FORMERR"]


def said(mx: sink.Sink, wire: bytes) -> dns.message.Message:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendto(wire, (mx.host, mx.dns_port))
        answer = dns.message.from_wire(sock.recv(65536), question_only=False)
    assert answer.id == int.from_bytes(wire[:2], "big")
    return answer


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=60), cut=st.integers(0, 40))
def test_garbage_gets_formerr_or_nothing_and_harms_nobody(mx: sink.Sink, noise: bytes, cut: int) -> None:
    query = dns.message.make_query("a.test", "A", use_edns=True).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(noise, (mx.host, mx.dns_port))
        sock.sendto(query[:cut] + noise, (mx.host, mx.dns_port))
    assert len(asked(mx, dns.message.make_query("a.test", "A")).answer) == 1
