"""Hosts that behave: smtplib and a plain client deliver to them over real sockets."""

from __future__ import annotations

import pytest
import trio
from sandbox_client import MESSAGE, connect

from bulkmail.sandbox import World, serve


async def test_a_host_takes_no_mail_for_domains_of_others() -> None:
    world = World()
    world.domain("a.test")
    world.domain("b.test")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>", "RCPT TO:<x@b.test>", "RCPT TO:<x@a.test>") == [250, 550, 250]


async def test_a_host_may_serve_many_domains() -> None:
    world = World()
    for name in ("a.test", "b.test"):
        world.domain(name).host("mx.shared.test")
    async with serve(world) as running, connect(running, "mx.shared.test") as client:
        assert await client.deliver("x@a.test", "x@b.test") == [250, 250, 250, 354, 250]
    assert world.domain("a.test").site == world.domain("b.test").site
    assert world.ledger.messages[0].recipients == ("x@a.test", "x@b.test")


async def test_bdat_and_data_bring_the_same_bytes() -> None:
    world = World()
    world.domain("a.test")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        half = len(MESSAGE) // 2
        await client.ask("MAIL FROM:<a@out.test>", "RCPT TO:<x@a.test>")
        for part, last in ((MESSAGE[:half], ""), (MESSAGE[half:], " LAST")):
            await client.stream.send_all(f"BDAT {len(part)}{last}\r\n".encode() + part)
            assert (await client.said()).code == 250
    assert [received.content for received in world.ledger.messages] == [MESSAGE]


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"\r\n\n.\r\n"])
async def test_bare_line_ends_are_refused(content: bytes) -> None:
    """I2."""
    world = World()
    world.domain("a.test")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        codes = await client.ask("MAIL FROM:<>", "RCPT TO:<x@a.test>")
        await client.stream.send_all(b"BDAT %d LAST\r\n%b" % (len(content), content))
        assert [*codes, (await client.said()).code] == [250, 250, 550]
    assert not world.ledger.messages


async def test_every_recipient_has_a_verdict() -> None:
    """X1."""
    world = World()
    world.domain("a.test").refuse("bob").greylist("carol").mailbox_full("full-*")
    people = ("ann@a.test", "Bob@a.test", "carol@a.test", "full-7@a.test")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        first = await client.deliver(*people)
        second = await client.deliver(*people)
    assert first == [250, 250, 550, 450, 452, 354, 250]
    assert second == [250, 250, 550, 250, 452, 354, 250]
    assert world.ledger.copies == {"ann@a.test": 2, "carol@a.test": 1}
    assert world.ledger.duplicates() == {"ann@a.test": 2}


async def test_recipients_of_the_default_world_do_as_they_are_called() -> None:
    world = World.default()
    people = (
        "ann@gmail.com",
        "unknown@gmail.com",
        "full17@gmail.com",
        "greylist+x@gmail.com",
        "fullerton@gmail.com",
    )
    async with serve(world) as running, connect(running, "gmail-smtp-in.google.example") as client:
        assert await client.deliver(*people) == [250, 250, 550, 452, 450, 250, 354, 250]


async def test_google_refuses_two_domains_in_one_transaction() -> None:
    world = World.default()
    async with serve(world) as running, connect(running, "gmail-smtp-in.google.example") as client:
        codes = await client.deliver("ann@gmail.com", "ann@googlemail.com")
    assert codes == [250, 250, 451, 354, 250]


async def test_with_one_address_the_recipient_says_which_host_is_meant() -> None:
    world = World()
    world.domain("a.test").refuse("bob")
    world.domain("b.test").rcpt_limit(1)
    async with serve(world, one_address=True) as running:
        assert running.address("mx.a.test") == running.address("mx.b.test") == "127.0.0.1"
        async with connect(running, "mx.a.test") as client:
            assert await client.deliver("ann@a.test", "bob@a.test") == [250, 250, 550, 354, 250]
            assert await client.deliver("ann@b.test", "bob@b.test") == [250, 250, 452, 354, 250]
    assert [received.host for received in world.ledger.messages] == ["mx.a.test", "mx.b.test"]


async def test_hosts_beyond_the_listeners_allowed_share_one_address() -> None:
    world = World()
    for name in ("a.test", "b.test", "c.test"):
        world.domain(name)
    async with serve(world, max_listeners=2) as running:
        addresses = [running.address(f"mx.{name}") for name in ("a.test", "b.test", "c.test", "a.test")]
        assert addresses[1:3] == ["127.0.0.1", "127.0.0.1"]
        assert addresses[0] == addresses[3]
        async with connect(running, "mx.c.test") as client:
            assert await client.deliver("ann@c.test") == [250, 250, 354, 250]
    assert world.ledger.messages[0].host == "mx.c.test"


async def test_what_fails_within_the_block_reaches_its_caller_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with serve(World()):
            raise KeyError("mine")


async def test_a_host_may_answer_on_ipv6() -> None:
    world = World()
    world.domain("a.test").ipv6()
    async with serve(world) as running:
        assert "::1" in running.sandbox.locate(world.host("mx.a.test"))
        try:
            stream = await trio.open_tcp_stream("::1", running.smtp_port)
        except OSError:
            pytest.skip("this system has no IPv6 on loopback")
        async with stream:
            assert bytes(await stream.receive_some()).startswith(b"220 ")
