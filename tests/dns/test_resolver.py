"""The resolver against a real server on loopback."""

from __future__ import annotations

import socket
from pathlib import Path

import dns.message
import dns.rcode
import pytest
import trio
import trio.testing
from dns_responder import Clock, Responder, answer_to, with_raw_answers

from bulkmail.dns.resolver import Answer, Resolver, Status, system_nameservers


async def test_mail_exchangers_come_in_order_of_preference(names: Responder, resolver: Resolver) -> None:
    names.add("a.test", "MX 20 second.a.test.", "MX 10 First.A.test.")
    answer = await resolver.mx("A.test")
    assert answer.records == ((10, "first.a.test"), (20, "second.a.test"))


async def test_addresses_of_both_families_are_text(names: Responder, resolver: Resolver) -> None:
    names.add("mx.test", "A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1")
    four, six = await resolver.a("mx.test"), await resolver.aaaa("mx.test")
    assert (set(four.records), six.records) == ({"192.0.2.1", "192.0.2.2"}, ("2001:db8::1",))


async def test_many_callers_of_one_name_make_one_query(names: Responder, resolver: Resolver) -> None:
    """D10."""
    names.add("a.test", "MX 10 mx.a.test.")
    names.gate = trio.Event()
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await resolver.mx("a.test"))

    async with trio.open_nursery() as callers:
        for _ in range(50):
            callers.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        names.gate.set()
    assert (len(answers), len(set(answers)), len(names.asked)) == (50, 1, 1)


async def test_many_callers_of_an_answer_without_ttl_still_share_one_query(
    names: Responder, resolver: Resolver
) -> None:
    """D10."""
    names.ttl = 0
    names.add("a.test", "MX 10 mx.a.test.")
    names.gate = trio.Event()
    async with trio.open_nursery() as callers:
        for _ in range(20):
            callers.start_soon(resolver.mx, "a.test")
        await trio.testing.wait_all_tasks_blocked()
        names.gate.set()
    assert len(names.asked) == 1


async def test_when_the_one_who_asks_is_cancelled_a_waiter_takes_over(
    names: Responder, resolver: Resolver
) -> None:
    """D10."""
    names.add("a.test", "MX 10 mx.a.test.")
    names.gate = trio.Event()
    answers: list[Answer] = []

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            answers.append(await resolver.mx("a.test"))

    first = trio.CancelScope()
    async with trio.open_nursery() as callers:
        callers.start_soon(ask, first)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            callers.start_soon(ask, trio.CancelScope())
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        names.gate.set()
    assert [answer.records for answer in answers] == [((10, "mx.a.test"),)] * 5


async def test_an_answer_is_kept_for_its_ttl_and_no_longer(
    names: Responder, resolver: Resolver, clock: Clock
) -> None:
    """D10."""
    names.add("a.test", "MX 10 mx.a.test.")
    await resolver.mx("a.test")
    clock.time += 299
    await resolver.mx("a.test")
    before = len(names.asked)
    clock.time += 2
    await resolver.mx("a.test")
    assert (before, len(names.asked)) == (1, 2)


@pytest.mark.parametrize(
    ("soa_ttl", "minimum", "kept_s"), [(3600, 60, 60), (30, 60, 30), (10**6, 10**6, 10_800)]
)
async def test_a_negative_answer_is_kept_as_the_soa_says(
    names: Responder, resolver: Resolver, clock: Clock, soa_ttl: int, minimum: int, kept_s: int
) -> None:
    """D10; RFC 2308 section 5."""
    names.soa_ttl, names.soa_minimum = soa_ttl, minimum
    answer = await resolver.mx("nobody.test")
    assert (answer.status, answer.expires - clock.time) == (Status.NXDOMAIN, kept_s)


async def test_a_negative_answer_without_soa_is_kept_for_seconds_only(
    names: Responder, resolver: Resolver, clock: Clock
) -> None:
    """D10."""
    names.raw["a.test", "MX"] = lambda query: answer_to(query).to_wire()
    answer = await resolver.mx("a.test")
    assert (answer.status, answer.expires - clock.time) == (Status.NODATA, 5)


async def test_a_failure_is_kept_for_seconds_only(names: Responder, resolver: Resolver, clock: Clock) -> None:
    """D1."""
    names.servfail.add(("a.test", "MX"))
    failed = await resolver.mx("a.test")
    asked = len(names.asked)
    again = await resolver.mx("a.test")
    names.servfail.clear()
    names.add("a.test", "MX 10 mx.a.test.")
    clock.time += 6
    recovered = await resolver.mx("a.test")
    assert (failed.status, again is failed, asked, recovered.status) == (
        Status.FAILED,
        True,
        3,
        Status.FOUND,
    )


async def test_the_cache_never_holds_more_than_its_size(names: Responder) -> None:
    """D10."""
    resolver = Resolver([names.address], tries=(10, 10, 10), cache_size=4)
    for number in range(10):
        names.add(f"d{number}.test", f"MX 10 mx{number}.test.")
        await resolver.mx(f"d{number}.test")
    await resolver.mx("d9.test")  # still there
    await resolver.mx("d0.test")  # made room for the others
    assert (names.count("d9.test", "MX"), names.count("d0.test", "MX")) == (1, 2)


async def test_a_truncated_answer_is_asked_for_again_over_tcp(names: Responder, resolver: Resolver) -> None:
    names.add("many.test", *(f"MX 10 a-rather-long-name-for-a-host-{number}.test." for number in range(100)))
    answer = await resolver.mx("many.test")
    assert (len(answer.records), [asked[2] for asked in names.asked]) == (100, ["udp", "tcp"])


async def test_forged_answers_are_not_believed(names: Responder, resolver: Resolver) -> None:
    """Wrong id, wrong question, a query instead of a response, noise, and the right answer from elsewhere."""
    names.add("a.test", "A 192.0.2.1")

    def wrong_id(query: dns.message.Message) -> bytes:
        response = answer_to(query, "A 203.0.113.1")
        response.id ^= 1
        return response.to_wire()

    def wrong_question(query: dns.message.Message) -> bytes:
        other = dns.message.make_query("b.test", "A", id=query.id)
        return answer_to(other, "A 203.0.113.2").to_wire()

    names.forged = [wrong_id, wrong_question, lambda query: query.to_wire(), lambda query: b"\xff" * 7]
    names.forged_elsewhere = [lambda query: answer_to(query, "A 203.0.113.3").to_wire()]
    answer = await resolver.a("a.test")
    assert answer.records == ("192.0.2.1",)


async def test_records_of_other_names_are_not_believed(names: Responder, resolver: Resolver) -> None:
    def with_a_stranger(query: dns.message.Message) -> bytes:
        response = answer_to(query, "A 192.0.2.1")
        response.answer.append(dns.rrset.from_text("victim.test.", 300, "IN", "A", "203.0.113.1"))
        return response.to_wire()

    names.raw["a.test", "A"] = with_a_stranger
    names.add("victim.test", "A 192.0.2.9")
    assert [(await resolver.a(name)).records for name in ("a.test", "victim.test")] == [
        ("192.0.2.1",),
        ("192.0.2.9",),
    ]


async def test_silence_is_a_failure_after_all_tries(names: Responder) -> None:
    """D1."""
    names.silent.add(("a.test", "MX"))
    answer = await Resolver([names.address], tries=(0.01, 0.01, 0.01)).mx("a.test")
    assert (answer.status, "no reply" in answer.reason) == (Status.FAILED, True)


async def test_the_next_server_is_asked_when_one_fails(names: Responder, nursery: trio.Nursery) -> None:
    broken = await nursery.start(Responder(servfail={("a.test", "MX"), ("b.test", "MX")}).serve)
    names.add("a.test", "MX 10 mx.a.test.")
    names.add("b.test", "MX 10 mx.b.test.")
    resolver = Resolver([broken.address, names.address], tries=(10, 10, 10))
    answers = [await resolver.mx("a.test"), await resolver.mx("b.test")]
    # For the second name the server that answered is asked first.
    assert ([answer.status for answer in answers], len(broken.asked)) == ([Status.FOUND] * 2, 1)


async def test_a_server_that_is_not_there_costs_no_time_out(names: Responder) -> None:
    names.add("a.test", "A 192.0.2.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = nobody.getsockname()
    answer = await Resolver([address, names.address], tries=(3600, 3600)).a("a.test")
    assert answer.records == ("192.0.2.1",)


async def test_a_server_without_edns_is_asked_without(names: Responder, resolver: Resolver) -> None:
    names.knows_edns = False
    names.add("a.test", "A 192.0.2.1")
    assert (await resolver.a("a.test")).records == ("192.0.2.1",)


@pytest.mark.parametrize("follows", [True, False])
async def test_aliases_are_followed(names: Responder, resolver: Resolver, follows: bool) -> None:
    """Within one response, or by asking for the target where the server sends the alias alone."""
    names.follows = follows
    names.add("www.test", "CNAME web.test.")
    names.add("web.test", "CNAME host.test.")
    names.add("host.test", "A 192.0.2.1")
    assert (await resolver.a("www.test")).records == ("192.0.2.1",)


@pytest.mark.parametrize("follows", [True, False])
async def test_aliases_in_a_circle_end_as_a_failure(
    names: Responder, resolver: Resolver, follows: bool
) -> None:
    names.follows = follows
    names.add("a.test", "CNAME b.test.")
    names.add("b.test", "CNAME a.test.")
    assert (await resolver.a("a.test")).status is Status.FAILED


async def test_malformed_records_are_skipped_and_the_others_used(
    names: Responder, resolver: Resolver
) -> None:
    """D9."""
    names.raw["a.test", "MX"] = lambda query: with_raw_answers(
        query,
        "MX",
        b"\x00\x0a\x04good\xc0\x0c",
        b"\x00",  # no room for the preference
        b"\x00\x05\x3flabel runs over the end",
        b"\x00\x05" + b"".join(b"\x3f" + b"x" * 63 for _ in range(5)) + b"\x00",  # a name of 321 octets
        b"\x00\x05\xc0\xff",  # points behind itself
        b"\x00\x05\x09not\x1b[31m!\xc0\x0c",  # a terminal escape
    )
    answer = await resolver.mx("a.test")
    assert (answer.status, answer.records) == (Status.FOUND, ((10, "good.a.test"),))


async def test_only_malformed_records_are_not_the_same_as_none(names: Responder, resolver: Resolver) -> None:
    """D9: else the implicit MX would be used although there is a list."""
    names.raw["a.test", "MX"] = lambda query: with_raw_answers(query, "MX", b"\x00", b"\x00\x05\x3fx")
    answer = await resolver.mx("a.test")
    assert (answer.status, answer.records) == (Status.FOUND, ())


@pytest.mark.parametrize("name", ["x" * 64 + ".test", ".".join(["x" * 60] * 5), "a..test"])
async def test_a_name_that_cannot_be_is_never_asked_for(
    names: Responder, resolver: Resolver, name: str
) -> None:
    """D9."""
    answer = await resolver.mx(name)
    assert (answer.status, names.asked) == (Status.NXDOMAIN, [])


def test_the_systems_servers_are_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# ours\nsearch example\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\noptions edns0\n")
    assert system_nameservers(path) == (("192.0.2.53", 53), ("fe80::1%eth0", 53))


def test_without_a_file_the_server_is_this_machine(tmp_path: Path) -> None:
    assert system_nameservers(tmp_path / "absent") == (("127.0.0.1", 53),)
