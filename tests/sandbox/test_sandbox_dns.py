"""The sandbox's DNS, judged by dnspython."""

from __future__ import annotations

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.sandbox import World, serve
from bulkmail.sandbox.dnswire import Record, Response, encode, mx, parse_query
from bulkmail.sandbox.zone import answer

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
NAME = st.lists(LABEL, min_size=1, max_size=5).map(".".join)


def ask(world: World, name: str, kind: str, *, udp: bool = False) -> dns.message.Message:
    query = parse_query(dns.message.make_query(name, kind, use_edns=0).to_wire())
    assert query is not None
    response = answer(world, query.name, query.type, lambda host: ("127.64.0.9",))
    assert response is not None
    wire = encode(query, response, udp=udp)
    return dns.message.from_wire(wire, continue_on_error=True, ignore_trailing=False)


def texts(message: dns.message.Message) -> list[str]:
    return [f"{one.name} {line}".lower() for one in message.answer for line in sorted(str(r) for r in one)]


@given(NAME, st.sampled_from(["MX", "A", "AAAA", "TXT", "SOA", "HTTPS"]), st.booleans())
def test_every_question_of_dnspython_is_understood(name: str, kind: str, edns: bool) -> None:
    question = dns.message.make_query(name, kind, use_edns=0 if edns else False, payload=1400)
    query = parse_query(question.to_wire())
    assert query is not None
    assert (query.name, query.id, query.edns, query.recursion) == (name, question.id, edns, True)
    assert query.type == kind or (kind == "HTTPS" and query.type == "TYPE65")


@given(st.lists(st.tuples(st.integers(0, 65535), NAME), unique=True, max_size=40), NAME)
def test_every_response_is_read_back_by_dnspython(hosts: list[tuple[int, str]], name: str) -> None:
    question = dns.message.make_query(name, "MX")
    query = parse_query(question.to_wire())
    assert query is not None
    records = tuple(Record(name, "MX", 60, mx(preference, host)) for preference, host in hosts)
    message = dns.message.from_wire(encode(query, Response(answers=records), udp=False))
    assert question.is_response(message)
    found = {(r.preference, r.exchange.to_text(True)) for one in message.answer for r in one}
    assert found == set(hosts)


@given(st.binary(max_size=60))
def test_noise_is_never_an_error(data: bytes) -> None:
    query = parse_query(data)
    assert query is None or query.question in data


def test_a_mentioned_domain_has_an_exchanger_and_it_an_address() -> None:
    world = World()
    world.domain("a.test")
    assert texts(ask(world, "A.test", "MX")) == ["a.test. 10 mx.a.test."]
    assert texts(ask(world, "mx.a.test", "A")) == ["mx.a.test. 127.64.0.9"]


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [("b.test", "MX", "NXDOMAIN"), ("a.test", "A", "NOERROR"), ("sick.test", "MX", "SERVFAIL")],
)
def test_negative_answers_say_which_and_for_how_long(name: str, kind: str, rcode: str) -> None:
    world = World()
    world.domain("a.test")
    world.domain("sick.test").servfail()
    message = ask(world, name, kind)
    assert (dns.rcode.to_text(message.rcode()), message.answer) == (rcode, [])
    assert bool(message.authority) == (rcode != "SERVFAIL")  # the SOA bounds the negative cache (RFC 2308)


def test_a_failure_may_be_of_one_type_and_for_a_while() -> None:
    world = World()
    world.domain("a.test").servfail("MX", times=1)
    assert [ask(world, "a.test", kind).rcode() for kind in ("A", "MX", "MX")] == [0, 2, 0]


def test_null_mx_is_the_root() -> None:
    world = World()
    world.domain("a.test").null_mx()
    assert texts(ask(world, "a.test", "MX")) == ["a.test. 0 ."]


def test_a_domain_without_mx_has_an_address_itself() -> None:
    world = World()
    world.domain("a.test").no_mx()
    assert texts(ask(world, "a.test", "MX")) == []
    assert texts(ask(world, "a.test", "A")) == ["a.test. 127.64.0.9"]


def test_an_alias_is_followed_within_the_answer() -> None:
    world = World()
    world.domain("a.test").mx_alias()
    assert texts(ask(world, "alias.a.test", "A")) == [
        "alias.a.test. real.a.test.",
        "real.a.test. 127.64.0.9",
    ]


def test_aliases_in_a_circle_are_a_server_failure() -> None:
    world = World()
    world.domain("a.test").cname("b.test")
    world.domain("b.test").cname("a.test")
    assert ask(world, "a.test", "MX").rcode() == dns.rcode.SERVFAIL


def test_an_address_as_exchanger_does_not_resolve() -> None:
    world = World()
    world.domain("a.test").host("192.0.2.1")
    assert texts(ask(world, "a.test", "MX")) == ["a.test. 10 192.0.2.1."]
    assert ask(world, "192.0.2.1", "A").rcode() == dns.rcode.NXDOMAIN


def test_malformed_records_stand_beside_good_ones() -> None:
    world = World()
    world.domain("a.test").malformed(2)
    message = ask(world, "a.test", "MX")
    assert len(message.errors) == 2
    assert texts(message) == ["a.test. 10 mx.a.test."]


def test_hundreds_of_exchangers_do_not_fit_into_a_datagram() -> None:
    world = World()
    world.domain("a.test").many_hosts(300)
    over_udp = ask(world, "a.test", "MX", udp=True)
    assert over_udp.flags & dns.flags.TC
    assert len(texts(ask(world, "a.test", "MX"))) == 300


async def test_a_truncated_answer_is_whole_over_tcp() -> None:
    world = World()
    world.domain("a.test").truncated()
    async with serve(world) as running:
        query = dns.message.make_query("a.test", "MX")
        where, port = running.dns
        message, by_tcp = await dns.asyncquery.udp_with_fallback(query, where, port=port, timeout=20)
    assert (by_tcp, texts(message)) == (True, ["a.test. 10 mx.a.test."])
    assert world.ledger.queries == {("a.test", "MX"): 2}


async def test_a_question_that_is_never_answered_does_not_hold_up_others() -> None:
    world = World()
    world.domain("mute.test").dns_timeout()
    world.domain("a.test")
    async with serve(world) as running:
        where, port = running.dns
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.connect((where, port))
            await sock.send(dns.message.make_query("mute.test", "MX").to_wire())
            question = dns.message.make_query("a.test", "MX")
            await sock.send(question.to_wire())
            with trio.fail_after(20):
                answered = dns.message.from_wire(await sock.recv(4096))
    assert question.is_response(answered)
    assert world.ledger.queried == 2


async def test_garbage_on_the_dns_port_is_dropped() -> None:
    world = World()
    world.domain("a.test")
    async with serve(world) as running:
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.sendto(b"\0" * 7, running.dns)
        query = dns.message.make_query("a.test", "MX")
        message = await dns.asyncquery.udp(query, running.dns[0], port=running.dns[1], timeout=20)
    assert texts(message) == ["a.test. 10 mx.a.test."]


def test_any_domain_exists_in_the_default_world() -> None:
    world = World.default()
    assert texts(ask(world, "gmail.com", "MX"))[1] == "gmail.com. 5 gmail-smtp-in.google.example."
    [record] = texts(ask(world, "a-small-one.org", "MX"))
    exchanger = record.split()[-1].rstrip(".")
    assert texts(ask(world, exchanger, "A")) == [f"{exchanger}. 127.64.0.9"]


@pytest.mark.parametrize(
    ("name", "rcode", "answers"),
    [("dead.example", 3, []), ("servfail.example", 2, []), ("null-mx.example", 0, ["null-mx.example. 0 ."])],
)
def test_a_label_of_the_default_world_is_a_behaviour(name: str, rcode: int, answers: list[str]) -> None:
    message = ask(World.default(), name, "MX")
    assert (message.rcode(), texts(message)) == (rcode, answers)
