"""Hosts that misbehave within the transaction, and the limits they hold."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sandbox_client import connect

from bulkmail.sandbox import World, serve

BODY = b"Subject: x\r\n\r\nhello\r\n"


def one() -> World:
    world = World()
    world.domain("a.test")
    return world


async def test_data_is_answered_354_though_everybody_was_refused() -> None:
    """X2."""
    world = one()
    world.domain("a.test").refuse("bob").set(always_354=True)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>", "RCPT TO:<bob@a.test>", "DATA", ".") == [250, 550, 354, 554]
    assert not world.ledger.messages


async def test_a_refused_mail_is_followed_by_503() -> None:
    """X3."""
    world = one()
    world.domain("a.test").reply("MAIL", b"550 5.7.1 not you", times=1)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>", "RCPT TO:<x@a.test>", "DATA") == [550, 503, 503]
        assert await client.deliver("x@a.test") == [250, 250, 354, 250]


async def test_a_host_may_say_no_and_do_yes() -> None:
    """X3."""
    world = one()
    world.domain("a.test").pretend("MAIL", b"550 5.7.1 not you")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.deliver("x@a.test") == [550, 250, 354, 250]
    assert world.ledger.copies == {"x@a.test": 1}


@pytest.mark.parametrize("announced", [False, True])
async def test_recipients_beyond_the_limit_are_refused(announced: bool) -> None:
    """X5 X10."""
    world = one()
    if announced:
        world.domain("a.test").extensions(with_=("LIMITS RCPTMAX=2",))
    else:
        world.domain("a.test").rcpt_limit(2)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.deliver("x@a.test", "y@a.test", "z@a.test") == [250, 250, 250, 452, 354, 250]


async def test_messages_beyond_the_limit_close_the_connection() -> None:
    """X10."""
    world = one()
    world.domain("a.test").close_after(1)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.deliver("x@a.test")
        assert await client.ask("MAIL FROM:<>") == [421]
        assert await client.rest() == b""


async def test_connections_beyond_the_limit_are_greeted_with_421() -> None:
    world = one()
    world.domain("a.test").max_connections(1)
    async with serve(world) as running, connect(running, "mx.a.test") as first:
        async with connect(running, "mx.a.test", raw=True) as second:
            assert (await second.said()).code == 421
            assert await second.rest() == b""
        await first.ask("QUIT")
        async with connect(running, "mx.a.test"):
            pass


async def test_a_size_is_held() -> None:
    """X10."""
    world = one()
    world.domain("a.test").extensions(with_=("SIZE 100",))
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<> SIZE=101") == [552]
        assert await client.deliver("x@a.test", content=b"x" * 98 + b"\r\n") == [250, 250, 354, 250]
        assert await client.deliver("x@a.test", content=b"x" * 99 + b"\r\n") == [250, 250, 354, 552]


async def test_eight_bit_content_is_refused_where_it_was_not_offered() -> None:
    """X11."""
    world = one()
    world.domain("a.test").extensions(without=("8BITMIME",))
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<> BODY=8BITMIME") == [555]
        assert await client.deliver("x@a.test", content=b"\xc3\xa9\r\n") == [250, 250, 354, 554]


async def test_bdat_may_be_announced_and_refused() -> None:
    """X12."""
    world = one()
    world.domain("a.test").reply("BDAT", b"502 5.5.1 no BDAT")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>", "RCPT TO:<x@a.test>") == [250, 250]
        await client.stream.send_all(b"BDAT 4 LAST\r\nhi\r\n")
        assert (await client.said()).code == 502
        assert await client.ask("RSET") == [250]
        assert await client.deliver("x@a.test") == [250, 250, 354, 250]


async def test_input_sent_ahead_may_be_flushed() -> None:
    """X9."""
    world = one()
    world.domain("a.test").set(flushes_input=True)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.stream.send_all(b"MAIL FROM:<>\r\nRCPT TO:<x@a.test>\r\nDATA\r\n")
        assert (await client.said()).code == 250
        assert await client.ask("NOOP") == [250]
    assert world.ledger.sessions[0].commands == ["EHLO out.test", "MAIL <>", "NOOP"]


async def test_rset_may_be_refused() -> None:
    """X16."""
    world = one()
    world.domain("a.test").reply("RSET", b"500 5.5.1 never")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("RSET") == [500]


async def test_mail_may_want_tls_first() -> None:
    world = one()
    world.domain("a.test").tls("required")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>") == [530]
        await client.start_tls(running, "mx.a.test")
        assert await client.ask("EHLO out.test", "MAIL FROM:<>") == [250, 250]


async def test_who_greylists_knows_the_sender_too() -> None:
    """X13."""
    world = one()
    world.domain("a.test").greylist()
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        codes = [
            (await client.ask(f"MAIL FROM:<{sender}@out.test>", "RCPT TO:<x@a.test>", "RSET"))[1]
            for sender in ("a", "b", "a", "b", "c")
        ]
    assert codes == [450, 450, 250, 250, 450]


@pytest.mark.parametrize("words", [b"421 4.4.2 idle", b""])
async def test_a_connection_that_is_idle_is_closed(words: bytes) -> None:
    """G2, G9: between transactions only."""
    world = one()
    domain = world.domain("a.test")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await trio.testing.wait_all_tasks_blocked()
        domain.leave_idle(0, words)  # from the next transaction on
        assert await client.ask("MAIL FROM:<>") == [250]
        assert await client.ask("RCPT TO:<x@a.test>") == [250]
        assert await client.ask("RSET") == [250]
        assert await client.rest() == (words and words + b"\r\n")
