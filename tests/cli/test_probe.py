"""`bulkmail probe`: what a host says, what TLS and its certificate are worth, what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from lookup_rig import Bulkmail, say

from bulkmail import sandbox


@pytest.fixture
def world() -> sandbox.World:
    world = sandbox.World()
    world.domain("a.test")
    return world


@pytest.fixture
async def running(world: sandbox.World) -> AsyncIterator[sandbox.Running]:
    async with sandbox.serve(world) as running:
        yield running


@pytest.fixture
def bulkmail(running: sandbox.Running) -> Bulkmail:
    return Bulkmail(running)


async def test_the_conversation_is_shown_line_by_line(bulkmail):
    told = await bulkmail.probe("mx.a.test", "--vrfy=bob", "--expn=staff")
    lines = told.out.splitlines()
    said = [line[2:] for line in lines if line.startswith("> ")]
    assert told.code == 0
    assert said == ["EHLO out.test", "STARTTLS", "EHLO out.test", "VRFY bob", "EXPN staff", "QUIT"]
    assert lines[1] == "< 220 mx.a.test ESMTP bulkmail sandbox"
    assert "< 250-PIPELINING" in lines
    assert "the host does not say: 252" in told.row("VRFY bob")
    assert "not offered here: 502" in told.row("EXPN staff")
    assert told.row("nothing wrong")


async def test_the_certificate_is_shown_and_verified(bulkmail):
    told = await bulkmail.probe("mx.a.test", "--json")
    tls = told.json["tls"]
    assert (told.code, told.codes, tls["verified"], tls["problem"]) == (0, [], True, None)
    assert tls["certificate"]["names"] == ["mx.a.test"]
    assert "O=bulkmail sandbox" in tls["certificate"]["issuer"]
    assert tls["certificate"]["not_after"].startswith("3000-01-01")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("untrusted", "unable to get local issuer certificate"),
        ("expired", "expired on 2020-01-01"),
        ("wrong-name", "not for mx.a.test"),
    ],
)
async def test_a_certificate_that_does_not_hold_is_looked_at_all_the_same(world, bulkmail, kind, reason):
    """S5."""
    world.host("mx.a.test").tls(kind)
    told = await bulkmail.probe("mx.a.test", "--json")
    tls = told.json["tls"]
    assert (told.code, told.codes, tls["verified"]) == (3, ["certificate"], False)
    assert reason in tls["problem"]
    assert tls["certificate"]["subject"]
    assert told.json["transcript"][-1].startswith("< 221")


async def test_an_authority_that_nobody_named_is_not_trusted(bulkmail):
    told = await bulkmail.probe("mx.a.test", "--json", trusting=False)
    assert (told.code, told.codes) == (3, ["certificate"])


async def test_a_host_named_by_its_address_is_checked_for_the_name_that_was_given(running, bulkmail):
    address = running.address("mx.a.test")
    by_address = await bulkmail.probe(address, "--json")
    by_name = await bulkmail.probe(address, "--name=mx.a.test", "--json")
    assert (by_address.codes, by_name.codes, by_name.json["address"]) == (["certificate"], [], address)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("none", "starttls_missing"),
        ("refused", "starttls_refused"),
        ("broken", "tls_failed"),
        ("extra", "protocol_error"),
    ],
)
async def test_tls_that_cannot_be_had_is_a_finding(world, bulkmail, kind, code):
    """S1 S2 S4."""
    world.host("mx.a.test").tls(kind)
    told = await bulkmail.probe("mx.a.test", "--json")
    assert (told.code, told.codes, told.json["tls"]) == (3, [code], None)


async def test_without_tls_nothing_is_asked_and_nothing_is_missed(world, bulkmail):
    world.host("mx.a.test").tls("none")
    told = await bulkmail.probe("mx.a.test", "--tls=none", "--json")
    assert (told.code, told.codes, told.json["tls"]) == (0, [], None)


async def test_tls_from_the_first_octet(world, bulkmail):
    world.host("mx.a.test").set(implicit_tls=True)
    told = await bulkmail.probe("mx.a.test", "--tls=implicit", "--json")
    assert (told.code, told.json["tls"]["verified"], told.json["transcript"][1].startswith("* TLSv1")) == (
        0,
        True,
        True,
    )


async def test_a_host_that_refuses_connections_is_not_reachable(world, bulkmail):
    """T1."""
    world.host("mx.a.test").refuse_connections()
    told = await bulkmail.probe("mx.a.test")
    assert (told.code, "Connection refused" in told.row("wrong"), "bulkmail mx mx.a.test" in told.err) == (
        3,
        True,
        True,
    )


async def test_a_dead_address_beside_a_live_one_is_a_finding(world, bulkmail):
    """T2. IPv6 is tried first; where this machine has none, the host is not to blame."""
    world.host("mx.a.test").ipv6("refuse")
    told = await bulkmail.probe("mx.a.test", "--json")
    first = told.json["transcript"][0]
    expected = ["address_unreachable"] if first.endswith("Connection refused") else []
    assert (first.startswith("* ::1 port"), told.codes, told.json["tls"]["verified"]) == (
        True,
        expected,
        True,
    )


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda host: host.nxdomain(), "no_address"),
        (lambda host: host.no_address(), "no_address"),
        (lambda host: host.servfail(), "lookup_failed"),
    ],
)
async def test_a_host_without_address_is_a_finding(world, bulkmail, make, code):
    make(world.host("mx.a.test"))
    told = await bulkmail.probe("mx.a.test", "--json")
    assert (told.code, told.codes, told.json["transcript"]) == (3, [code], [])


@pytest.mark.parametrize(
    ("make", "codes"),
    [
        (lambda host: host.greeting(b"554 5.3.2 No service here", close=True), ["greeting_refused"]),
        (lambda host: host.greeting(b"421 4.3.2 Busy"), ["greeting_refused"]),
        (lambda host: host.greeting(b"354 go ahead"), ["protocol_error"]),
        (lambda host: host.greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ["protocol_error"]),
        (lambda host: host.greeting(bytes(range(256))), ["protocol_error"]),
        (lambda host: host.drop("CONNECT"), ["connection_lost"]),
        (lambda host: host.drop("EHLO"), ["connection_lost"]),
        (lambda host: host.reply("EHLO", b"502 5.5.1 no"), ["ehlo_refused", "starttls_missing"]),
        (lambda host: host.endless("EHLO"), ["protocol_error"]),
        (lambda host: host.endless("EHLO", "line"), ["protocol_error"]),
        (lambda host: host.extra("EHLO"), ["protocol_error"]),
    ],
)
async def test_a_host_that_misbehaves_is_a_finding(world, bulkmail, make, codes):
    """G1 G2 G3 G4 G5 G8."""
    make(world.host("mx.a.test"))
    told = await bulkmail.probe("mx.a.test", "--json")
    assert (told.code, told.codes) == (3, codes)


async def test_a_host_that_never_greets_is_given_up(world, bulkmail):
    """T3."""
    world.host("mx.a.test").stall("GREETING")
    told = await bulkmail.probe("mx.a.test", "--timeout=50ms", "--json")
    assert (told.code, told.codes) == (3, ["timeout"])


async def test_terminal_escapes_are_shown_escaped(world, bulkmail):
    """G6."""
    world.host("mx.a.test").reply("VRFY", b"550 5.1.1 \x1b[2J\x1b]0;x\x07 \xff no")
    told = await bulkmail.probe("mx.a.test", "--vrfy=bob")
    assert (told.code, "< 550 5.1.1 \\x1b[2J\\x1b]0;x\\x07 \\xff no" in told.out, "\x1b" in told.out) == (
        0,
        True,
        False,
    )


async def test_a_host_that_leaves_without_a_word_at_the_end_is_no_finding(world, bulkmail):
    world.host("mx.a.test").drop("QUIT")
    told = await bulkmail.probe("mx.a.test", "--json")
    assert (told.code, told.json["transcript"][-1]) == (0, "* the host closed the connection")


@pytest.mark.parametrize(
    "typed", ["mx.bücher.test", "MX.Bücher.test.", " mx.xn--bcher-kva.test", "mx_1.a.test", "mx.a.test."]
)
async def test_a_host_is_understood_as_people_type_it(world, bulkmail, typed):
    world.domain("bücher.test")
    world.host("mx_1.a.test")
    told = await bulkmail.probe(typed, "--tls=none", "--json")
    assert (told.code, told.codes) == (0, [])


async def test_a_port_may_stand_with_the_host(running):
    place = f"[{running.address('mx.a.test')}]:{running.smtp_port}"
    told = await trio.to_thread.run_sync(say, "probe", place, "--tls=none", "--ehlo=out.test", "--json")
    assert (told.code, told.json["port"]) == (0, running.smtp_port)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ann@a.test"], "bulkmail mx"),
        (["smtp://a.test"], "only the host"),
        ([""], "a host is wanted"),
        (["a.test:99999"], "not a port"),
        (["a.test:25", "--port=26"], "two different ports"),
        (["a.test", "--ehlo=two words"], "--ehlo"),
        (["a.test", "--vrfy=a\r\nMAIL FROM:<>"], "--vrfy"),
        (["a.test", "--timeout=5"], "no unit"),
        (["a.test", "--tls=maybe"], "starttls"),
        (["a.test", f"--ca={__file__}"], "--ca"),
    ],
)
def test_wrong_usage_is_told_before_anybody_is_called(arguments, told):
    found = say("probe", *arguments)
    assert (found.code, found.out, told in found.err) == (2, "", True)
