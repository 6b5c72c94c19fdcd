"""Whatever octets arrive, reading them gives a value or NotAnAnswer, and nothing that was not sent."""

from __future__ import annotations

import dns.message
import dns.rrset
import pytest
from dns_responder import SOA, answer_to
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.dns.response import NotAnAnswer, Status, read_response
from bulkmail.dns.wire import AAAA, HOST, MX, A, make_query, name_of

KINDS = {"MX": MX, "A": A, "AAAA": AAAA}
QUERIES = {kind: make_query(name_of("a.test"), number, edns=True) for kind, number in KINDS.items()}
RECORDS = {
    "MX": ("MX 10 mx1.a.test.", "MX 20 mx2.a.test."),
    "A": ("A 192.0.2.1", "A 192.0.2.2"),
    "AAAA": ("AAAA 2001:db8::1",),
}


def good_response(kind: str) -> bytes:
    response = answer_to(dns.message.from_wire(QUERIES[kind].wire), *RECORDS[kind])
    response.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", SOA.format(minimum=60)))
    return response.to_wire()


damage = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)


@given(st.sampled_from(sorted(QUERIES)), damage, st.integers(0, 40))
def test_a_damaged_response_is_a_value_or_no_answer(
    kind: str, changes: list[tuple[int, int]], cut: int
) -> None:
    """D9."""
    wire = bytearray(good_response(kind))
    for place, octet in changes:
        wire[place % len(wire)] = octet
    try:
        reading = read_response(bytes(wire[: len(wire) - cut]), QUERIES[kind])
    except NotAnAnswer:
        return
    if kind == "MX":
        assert all(host == "" or HOST.match(host) for _, host in reading.records)  # type: ignore[misc]
    assert reading.records == () or reading.status is Status.FOUND


@given(st.binary(max_size=100), st.booleans())
def test_noise_is_no_answer_or_a_value(noise: bytes, as_ours: bool) -> None:
    """D9: with the right id and question in front, too."""
    wire = good_response("MX")[:24] + noise if as_ours else noise
    try:
        reading = read_response(wire, QUERIES["MX"])
    except NotAnAnswer:
        return
    assert as_ours
    assert reading.status in Status


@pytest.mark.parametrize("kind", QUERIES)
def test_a_response_says_what_it_says(kind: str) -> None:
    reading = read_response(good_response(kind), QUERIES[kind])
    assert (reading.status, len(reading.records), reading.ttl_s) == (Status.FOUND, len(RECORDS[kind]), 300)
