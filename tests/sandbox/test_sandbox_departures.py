"""Hosts that misbehave, each in the way it was told to."""

from __future__ import annotations

import ssl

import pytest
import trio
from sandbox_client import connect

from bulkmail.errors import RemoteProtocolError
from bulkmail.sandbox import World, serve

BODY = b"Subject: x\r\n\r\nhello\r\n"


def one() -> World:
    world = World()
    world.domain("a.test")
    return world


@pytest.mark.parametrize(
    "raw", [b"354 go\r\n", b"HTTP/1.1 400 no\r\n\r\n", bytes(range(256)) + b"\n", b"2200 x\r\n"]
)
async def test_a_greeting_may_be_anything(raw: bytes) -> None:
    """G3."""
    world = one()
    world.domain("a.test").greeting(raw)
    async with serve(world) as running, connect(running, "mx.a.test", raw=True) as client:
        await client.stream.send_all(b"EHLO out.test\r\n")
        found = b""
        while len(found) < len(raw):
            found += await client.raw()
        assert found == raw


async def test_a_refusing_greeting_is_heard_so_often() -> None:
    """G1."""
    world = one()
    world.domain("a.test").greeting(b"554 not now", times=1)
    async with serve(world) as running:
        async with connect(running, "mx.a.test", raw=True) as client:
            assert (await client.said()).code == 554
            assert await client.ask("EHLO out.test", "QUIT") == [503, 221]
        async with connect(running, "mx.a.test", raw=True) as client:
            assert (await client.said()).code == 220


async def test_a_host_may_know_only_helo() -> None:
    """G4."""
    world = one()
    world.domain("a.test").reply("EHLO", b"502 5.5.1 what?")
    async with serve(world) as running, connect(running, "mx.a.test", raw=True) as client:
        await client.said()
        assert await client.ask("EHLO out.test", "HELO out.test", "MAIL FROM:<>") == [502, 250, 250]


@pytest.mark.parametrize("kind", ["line", "lines"])
async def test_a_reply_may_have_no_end(kind: str) -> None:
    """G5."""
    world = one()
    world.domain("a.test").endless("MAIL", kind)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        with pytest.raises(RemoteProtocolError):
            await client.ask("MAIL FROM:<>")


async def test_a_reply_may_have_two_codes() -> None:
    """G5."""
    world = one()
    world.domain("a.test").reply("MAIL", b"250-one\r\n550 two")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        with pytest.raises(RemoteProtocolError):
            await client.ask("MAIL FROM:<>")


async def test_one_reply_too_many_stands_behind_its_stage() -> None:
    """G8."""
    world = one()
    world.domain("a.test").extra("RCPT", b"250 surprise", times=1)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>", "RCPT TO:<x@a.test>") == [250, 250]
        assert (await client.said()).text == "250 surprise"


async def test_one_reply_too_few() -> None:
    """G8."""
    world = one()
    world.domain("a.test").silent("RCPT", times=1)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.stream.send_all(b"MAIL FROM:<>\r\nRCPT TO:<x@a.test>\r\nRCPT TO:<y@a.test>\r\nDATA\r\n")
        assert [(await client.said()).code for _ in range(3)] == [250, 250, 354]
        await client.stream.send_all(BODY + b".\r\n")
        assert (await client.said()).code == 250
    assert world.ledger.messages[0].recipients == ("x@a.test", "y@a.test")


async def test_a_host_that_never_greets_keeps_the_connection() -> None:
    """T3."""
    world = one()
    world.domain("a.test").stall("GREETING")
    async with serve(world) as running, connect(running, "mx.a.test", raw=True) as client:
        await client.stream.send_all(b"EHLO out.test\r\n")
        await client.stream.send_eof()  # type: ignore[attr-defined]
        assert await client.rest() == b""
    assert world.ledger.sessions[0].commands == []


async def test_a_slow_host_says_octet_by_octet() -> None:
    """T4."""
    world = one()
    world.domain("a.test").slow(0.001)
    async with serve(world) as running, connect(running, "mx.a.test", raw=True) as client:
        pieces = []
        while b"\n" not in b"".join(pieces):
            pieces.append(await client.raw())
    assert b"".join(pieces) == b"220 mx.a.test ESMTP bulkmail sandbox\r\n"
    assert len(pieces) > 1


async def test_a_deaf_host_reads_no_content() -> None:
    """T5."""
    world = one()
    world.domain("a.test").stop_reading("DATA")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>", "RCPT TO:<x@a.test>", "DATA") == [250, 250, 354]
        with trio.move_on_after(1) as patience:
            await client.stream.send_all(b"x" * 64_000_000)  # more than any socket buffers
        assert patience.cancelled_caught


async def test_nobody_listens() -> None:
    """T1."""
    world = one()
    world.domain("a.test").refuse_connections()
    async with serve(world) as running:
        with trio.socket.socket() as sock, pytest.raises(ConnectionRefusedError):
            await sock.connect((running.address("mx.a.test"), running.smtp_port))


async def test_dead_addresses_stand_before_the_live_one() -> None:
    """T1."""
    world = one()
    world.domain("a.test").set(dead_addresses=2)
    async with serve(world) as running:
        addresses = running.sandbox.locate(world.host("mx.a.test"))
        answered = []
        for address in addresses:
            try:
                async with await trio.open_tcp_stream(address, running.smtp_port) as stream:
                    answered.append(bytes(await stream.receive_some())[:3])
            except OSError:
                answered.append(b"")
    assert answered == [b"", b"", b"220"]


async def test_a_connection_may_be_reset_at_once() -> None:
    """T1."""
    world = one()
    world.domain("a.test").drop("CONNECT", reset=True)
    async with serve(world) as running, connect(running, "mx.a.test", raw=True) as client:
        with pytest.raises(trio.BrokenResourceError):
            await client.raw()


@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"])
async def test_a_connection_is_dropped_where_a_reply_was_due(stage: str) -> None:
    world = one()
    world.domain("a.test").drop(stage)
    verbs = {
        "EHLO": "EHLO x",
        "MAIL": "MAIL FROM:<>",
        "RCPT": "RCPT TO:<x@a.test>",
        "DATA": "DATA",
        "QUIT": "QUIT",
    }
    async with serve(world) as running, connect(running, "mx.a.test", raw=True) as client:
        if stage == "GREETING":
            assert await client.rest() == b""
            return
        await client.said()
        for name, verb in verbs.items():
            await client.stream.send_all(f"{verb}\r\n".encode())
            if name == stage or (stage == "QUIT" and name == "DATA"):
                break
            await client.said()
        if stage == "QUIT":
            await client.said()
            await client.stream.send_all(BODY + b".\r\n")
            await client.said()
            await client.stream.send_all(b"QUIT\r\n")
        assert await client.rest() == b""


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_connection_is_dropped_after_the_dot(accepted: bool) -> None:
    """X8."""
    world = one()
    world.domain("a.test").drop("END_OF_DATA", accepted=accepted, times=1)
    async with serve(world) as running:
        async with connect(running, "mx.a.test") as client:
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await client.deliver("x@a.test")
        assert world.ledger.copies == ({"x@a.test": 1} if accepted else {})
        async with connect(running, "mx.a.test") as client:
            assert await client.deliver("x@a.test") == [250, 250, 354, 250]


async def test_a_host_refuses_in_mid_body_and_drops() -> None:
    """X7."""
    world = one()
    world.domain("a.test").drop("BODY", reply=b"552 5.3.4 too big")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("MAIL FROM:<>", "RCPT TO:<x@a.test>", "DATA") == [250, 250, 354]
        await client.stream.send_all(b"the first of many lines\r\n")
        assert (await client.said()).text == "552 5.3.4 too big"
        assert await client.rest() == b""
    assert not world.ledger.messages


@pytest.mark.parametrize("code", [421, 550])
async def test_a_refusal_may_be_the_last_word(code: int) -> None:
    """X4."""
    world = one()
    world.domain("a.test").reply("RCPT", f"{code} bye".encode(), after=1, close=True)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.stream.send_all(b"MAIL FROM:<>\r\n" + b"RCPT TO:<x@a.test>\r\n" * 3)
        assert [(await client.said()).code for _ in range(3)] == [250, 250, code]
        assert await client.rest() == b""


async def test_starttls_may_be_missing_or_refused() -> None:
    """S1."""
    world = one()
    world.domain("a.test").tls("none")
    world.domain("b.test").tls("refused")
    async with serve(world) as running:
        async with connect(running, "mx.a.test") as client:
            assert await client.ask("STARTTLS") == [502]
        async with connect(running, "mx.b.test") as client:
            assert await client.ask("STARTTLS", "MAIL FROM:<>") == [454, 250]


async def test_words_may_follow_the_220_in_clear_text() -> None:
    """S2."""
    world = one()
    world.domain("a.test").tls("extra")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.stream.send_all(b"STARTTLS\r\n")
        assert await client.raw() == b"220 2.0.0 Ready to start TLS\r\n250 2.0.0 said in clear text\r\n"


async def test_the_handshake_may_fail() -> None:
    """S4."""
    world = one()
    world.domain("a.test").tls("broken")
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        with pytest.raises(trio.BrokenResourceError) as failed:
            await client.start_tls(running, "mx.a.test")
        assert isinstance(failed.value.__cause__, ssl.SSLError)


async def test_a_tarpit_answers_late_and_in_order() -> None:
    world = one()
    world.domain("a.test").tarpit(0.001)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.deliver("x@a.test") == [250, 250, 354, 250]


async def test_a_black_hole_never_answers() -> None:
    """T1."""
    world = one()
    world.domain("a.test").black_hole()
    async with serve(world) as running:
        address = running.address("mx.a.test")
        with trio.move_on_after(0.3) as patience, trio.socket.socket() as sock:
            await sock.connect((address, running.smtp_port))
    if address != "127.0.0.1":
        assert patience.cancelled_caught


def test_a_stage_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean RCPT"):
        World().domain("a.test").drop("RCTP")
