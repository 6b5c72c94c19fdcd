"""TXT records against a real server: octets as published, and the patience and memory of every look-up."""

from __future__ import annotations

import dns.message
import trio
import trio.testing
from dns_responder import Clock, Responder, answer_to, with_raw_answers
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.dns.resolver import Answer, Resolver, Status
from bulkmail.dns.response import NotAnAnswer, read_response
from bulkmail.dns.wire import TXT, make_query, name_of

QUERY = make_query(name_of("s1._domainkey.a.test"), TXT, edns=True)


async def test_the_strings_of_a_record_are_joined_with_nothing_between(
    names: Responder, resolver: Resolver
) -> None:
    """RFC 6376 section 3.6.2.2."""
    names.add("s1._domainkey.a.test", 'TXT "v=DKIM1; k=rsa; p=MIGf" "MA0G" "" "CSqG"')
    answer = await resolver.txt("S1._domainkey.A.test")
    assert (answer.status, answer.records) == (Status.FOUND, (b"v=DKIM1; k=rsa; p=MIGfMA0GCSqG",))


async def test_several_records_come_in_one_order(names: Responder, resolver: Resolver) -> None:
    names.add("a.test", 'TXT "v=spf1 -all"', 'TXT "b"', 'TXT "a"', 'TXT ""')
    answer = await resolver.txt("a.test")
    assert answer.records == (b"", b"a", b"b", b"v=spf1 -all")


async def test_a_record_is_octets_whatever_they_are(names: Responder, resolver: Resolver) -> None:
    names.raw["a.test", "TXT"] = lambda query: with_raw_answers(query, "TXT", b"\x04\xff\x00\r\n\x01;")
    answer = await resolver.txt("a.test")
    assert answer.records == (b"\xff\x00\r\n;",)


async def test_a_record_that_an_alias_leads_to_is_found(names: Responder, resolver: Resolver) -> None:
    """How those who send for others let them publish keys."""
    names.follows = False
    names.add("s1._domainkey.a.test", "CNAME s1.keys.provider.test.")
    names.add("s1.keys.provider.test", 'TXT "v=DKIM1; p=AAAA"')
    answer = await resolver.txt("s1._domainkey.a.test")
    assert answer.records == (b"v=DKIM1; p=AAAA",)


async def test_a_record_too_long_for_a_datagram_comes_over_tcp(names: Responder, resolver: Resolver) -> None:
    strings = [letter * 255 for letter in "abcdefgh"]
    names.add("a.test", "TXT " + " ".join(f'"{string}"' for string in strings))
    answer = await resolver.txt("a.test")
    assert (answer.records, [asked[2] for asked in names.asked]) == (
        ("".join(strings).encode(),),
        ["udp", "tcp"],
    )


async def test_no_record_and_no_name_are_told_apart_from_no_answer(
    names: Responder, resolver: Resolver
) -> None:
    names.add("a.test", "A 192.0.2.1")
    names.servfail.add(("broken.test", "TXT"))
    answers = [await resolver.txt(name) for name in ("a.test", "nobody.test", "broken.test")]
    assert [answer.status for answer in answers] == [Status.NODATA, Status.NXDOMAIN, Status.FAILED]


async def test_many_callers_make_one_query_and_the_answer_is_kept(
    names: Responder, resolver: Resolver, clock: Clock
) -> None:
    """D10."""
    names.add("a.test", 'TXT "x"')
    names.gate = trio.Event()
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await resolver.txt("a.test"))

    async with trio.open_nursery() as callers:
        for _ in range(20):
            callers.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        names.gate.set()
    clock.time += 299
    await ask()
    kept = names.count("a.test", "TXT")
    clock.time += 2
    await ask()
    assert (len(answers), set(answers[:21]), kept, names.count("a.test", "TXT")) == (22, {answers[0]}, 1, 2)


async def test_a_names_kinds_of_record_are_kept_apart(names: Responder, resolver: Resolver) -> None:
    names.add("a.test", 'TXT "x"', "A 192.0.2.1")
    text, address = await resolver.txt("a.test"), await resolver.a("a.test")
    assert (text.records, address.records) == ((b"x",), ("192.0.2.1",))


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6), st.integers(0, 40))
def test_a_damaged_record_is_a_value_or_no_answer(changes: list[tuple[int, int]], cut: int) -> None:
    """D9."""
    wire = bytearray(
        answer_to(
            dns.message.from_wire(QUERY.wire), 'TXT "v=DKIM1; " "p=AAAA"', 'TXT "v=spf1 -all"'
        ).to_wire()
    )
    for place, octet in changes:
        wire[place % len(wire)] = octet
    try:
        reading = read_response(bytes(wire[: len(wire) - cut]), QUERY)
    except NotAnAnswer:
        return
    assert all(isinstance(record, bytes) for record in reading.records)
    assert reading.records == () or reading.status is Status.FOUND
