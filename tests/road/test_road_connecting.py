"""From the address to the greeting: what is dead, slow, silent or speaks something else."""

from __future__ import annotations

import pytest
from road_rig import FIRST_PASS, people

QUICK = {"connect": "300ms", "greeting": "300ms", "ehlo": "300ms", "mail": "300ms", "rcpt": "300ms"}


@pytest.mark.parametrize("dead", ["refuse", "reset"])
async def test_a_dead_exchanger_is_passed_over_for_the_next(world, send, dead):
    """T1."""
    world.domain("a.test").host("dead.a.test", 5).host("mx.a.test", 10)
    host = world.host("dead.a.test")
    host.refuse_connections() if dead == "refuse" else host.drop("CONNECT", reset=True)
    report = await send("ann@a.test")
    assert (report.kinds(), report.ledger.messages[0].host) == ({"ann@a.test": "delivered"}, "mx.a.test")


async def test_a_dead_address_is_passed_over_for_the_next(world, send):
    """T1."""
    world.domain("a.test").set(dead_addresses=2)
    report = await send("ann@a.test")
    assert report.kinds() == {"ann@a.test": "delivered"}


async def test_a_domain_of_dead_exchangers_is_deferred_as_a_whole(world, send):
    """T1."""
    world.domain("a.test").host("one.a.test").host("two.a.test").refuse_connections()
    report = await send("ann@a.test", "bob@a.test", until=FIRST_PASS)
    assert (report.kinds(), report.last("ann@a.test").stage) == (
        {"ann@a.test": "deferred", "bob@a.test": "deferred"},
        "connect",
    )


async def test_who_is_kept_from_a_dead_exchanger_is_not_charged_and_keeps_the_reason(world, send):
    """T1: probed, not hammered; only who called there has an attempt behind him."""
    world.domain("a.test").refuse_connections()
    report = await send("ann@a.test", retry={"first": "200ms", "factor": 1, "give_up": "500ms"})
    history = report.histories["ann@a.test"]
    charged = [row.attempted for row in history.attempts]
    assert (history.state, charged[0], any(charged[1:-1])) == ("expired", True, False)
    assert report.reply("ann@a.test").endswith("Connection refused; left alone for now")


async def test_a_black_hole_on_ipv6_costs_no_attempt(world, send):
    """T2."""
    world.domain("a.test").ipv6("black hole")
    report = await send("ann@a.test")
    assert (report.kinds(), report.dispositions("ann@a.test")) == ({"ann@a.test": "delivered"}, ["delivered"])


NO_PTR = b"550 5.7.25 [{client}] The IP address sending this message does not have a PTR record"


@pytest.mark.parametrize("transaction", ["auto", "individual"])
async def test_who_wants_nothing_over_ipv6_gets_it_over_ipv4_and_nobody_bounces_or_waits(
    world, send, transaction
):
    """Also tomorrow, when nobody has to be refused for that first."""
    world.domain("a.test").ipv6("accept").host("mx.a.test").provider.block("::1", NO_PTR)
    report = await send(*people(30), transaction=transaction)
    assert set(report.kinds().values()) == {"delivered"}
    assert {line["disposition"] for line in report.lines} == {"delivered"}
    refused = [session.commands for session in world.ledger.sessions if session.client == "::1"]
    assert sum(command.startswith("MAIL ") for commands in refused for command in commands) == 1
    before = len(world.ledger.sessions)
    report = await send("tom@a.test", campaign="tomorrow")
    assert report.kinds() == {"tom@a.test": "delivered"}
    assert {session.client for session in world.ledger.sessions[before:]} == {"127.0.0.1"}


async def test_who_never_greets_is_left_for_the_next_exchanger(world, send):
    """T3."""
    world.domain("a.test").host("mute.a.test", 5).host("mx.a.test", 10)
    world.host("mute.a.test").stall("GREETING")
    report = await send("ann@a.test", time_limits=QUICK)
    assert (report.kinds(), report.ledger.messages[0].host) == ({"ann@a.test": "delivered"}, "mx.a.test")


async def test_octets_one_by_one_do_not_stretch_the_time_for_a_reply(world, send):
    """T4."""
    world.domain("a.test").slow(0.1)
    report = await send("ann@a.test", time_limits=QUICK, until=FIRST_PASS)
    assert (report.kinds(), "timed out" in report.reply("ann@a.test")) == ({"ann@a.test": "deferred"}, True)


@pytest.mark.parametrize("greeting", [b"421 4.3.2 busy", b"554 5.3.2 no service", b"450 later"])
async def test_a_greeting_that_refuses_leads_to_the_next_exchanger(world, send, greeting):
    """G1."""
    world.domain("a.test").host("busy.a.test", 5).host("mx.a.test", 10)
    world.host("busy.a.test").greeting(greeting)
    report = await send("ann@a.test")
    assert (report.kinds(), report.ledger.messages[0].host) == ({"ann@a.test": "delivered"}, "mx.a.test")


@pytest.mark.parametrize("greeting", [b"421 4.3.2 busy", b"554 5.3.2 no service"])
async def test_a_greeting_that_refuses_everywhere_defers_and_bounces_nobody(world, send, greeting):
    """G1."""
    world.domain("a.test").host("one.a.test", 5).host("two.a.test", 10).greeting(greeting)
    report = await send("ann@a.test", until=FIRST_PASS)
    assert report.kinds() == {"ann@a.test": "deferred"}


@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END_OF_DATA"])
async def test_a_421_defers_whoever_is_unanswered_and_bounces_nobody(world, send, stage):
    """G2."""
    world.domain("a.test").reply(stage, b"421 4.7.0 later", times=1)
    report = await send("ann@a.test", "bob@a.test")
    assert (report.kinds(), report.dispositions("ann@a.test")) == (
        {"ann@a.test": "delivered", "bob@a.test": "delivered"},
        ["deferred", "delivered"],
    )


@pytest.mark.parametrize(
    "greeting",
    [b"354 go ahead", b"2200 hello", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(range(256)), b"\xff"],
)
async def test_a_greeting_that_is_none_closes_the_connection_and_defers(world, send, greeting):
    """G3."""
    world.domain("a.test").greeting(greeting)
    report = await send("ann@a.test", until=FIRST_PASS)
    assert (report.kinds(), report.commands("mx.a.test")) == ({"ann@a.test": "deferred"}, [])


async def test_who_refuses_ehlo_is_greeted_with_helo(world, send):
    """G4."""
    world.domain("a.test").reply("EHLO", b"502 5.5.1 what is that?")
    report = await send("ann@a.test")
    assert (report.kinds(), report.commands("mx.a.test")[:2]) == (
        {"ann@a.test": "delivered"},
        ["EHLO out.test", "HELO out.test"],
    )


async def test_there_is_no_helo_where_tls_is_required(world, send):
    """G4."""
    world.domain("a.test").reply("EHLO", b"502 5.5.1 what is that?")
    report = await send("ann@a.test", tls="required", until=FIRST_PASS)
    assert (report.kinds(), "HELO out.test" in report.commands("mx.a.test")) == (
        {"ann@a.test": "deferred"},
        False,
    )


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_reply_with_two_codes_closes_the_connection(world, send, stage):
    """G5."""
    world.domain("a.test").reply(stage, b"250-one\r\n550 two", times=1)
    report = await send("ann@a.test")
    assert (report.kinds(), report.dispositions("ann@a.test")) == (
        {"ann@a.test": "delivered"},
        ["deferred", "delivered"],
    )


@pytest.mark.parametrize("kind", ["line", "lines"])
@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "RCPT"])
async def test_a_reply_without_end_is_cut_short(world, send, stage, kind):
    """G5."""
    world.domain("a.test").endless(stage, kind)
    report = await send("ann@a.test", until=FIRST_PASS)
    assert report.kinds() == {"ann@a.test": "deferred"}


@pytest.mark.parametrize("reply", [b"250-one\r\n550 two", b"250-one\r\n", b"", b"250 " + b"x" * 100_000])
async def test_a_reply_to_the_dot_that_is_not_well_formed_leaves_them_in_doubt(world, send, reply):
    """G5, X8."""
    world.domain("a.test").reply("END_OF_DATA", reply)
    report = await send("ann@a.test", time_limits={"end_of_data": "300ms"})
    assert (report.kinds(), report.ledger.connections) == ({"ann@a.test": "in_doubt"}, 1)


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_one_reply_too_many_closes_the_connection_and_nobody_counts_as_delivered(world, send, stage):
    """G8."""
    world.domain("a.test").extra(stage, b"250 2.0.0 one more", times=1)
    report = await send("ann@a.test", "bob@a.test")
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "delivered"}


async def test_one_reply_too_many_behind_the_end_of_data_is_no_answer_to_the_next_mail(world, send):
    """G8."""
    world.domain("a.test").extra("END_OF_DATA", b"250 2.0.0 one more").refuse("bob")
    report = await send("ann@a.test", "bob@a.test", "cat@a.test", transaction="individual", connections=1)
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "bounced", "cat@a.test": "delivered"}


async def test_one_reply_too_few_defers_and_nobody_counts_as_delivered(world, send):
    """G8."""
    world.domain("a.test").silent("RCPT", times=1)
    report = await send("ann@a.test", "bob@a.test", time_limits=QUICK)
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "delivered"}


async def test_a_connection_that_the_peer_closed_between_messages_costs_no_attempt(world, send):
    """G9."""
    world.domain("a.test").reply("END_OF_DATA", b"250 2.0.0 taken, and good bye", close=True)
    report = await send("ann@a.test", "bob@a.test", "cat@a.test", transaction="individual", connections=1)
    assert (set(report.kinds().values()), [len(h.attempts) for h in report.histories.values()]) == (
        {"delivered"},
        [1, 1, 1],
    )


async def test_a_connection_that_the_peer_closed_after_a_refusal_costs_no_attempt(world, send):
    """G9."""
    world.domain("a.test").refuse("ann").drop("RSET").reply("RSET", b"250 2.0.0 good bye", close=True)
    report = await send("ann@a.test", "bob@a.test", transaction="individual", connections=1)
    assert (report.kinds(), len(report.histories["bob@a.test"].attempts)) == (
        {"ann@a.test": "bounced", "bob@a.test": "delivered"},
        1,
    )
