"""Hosts that behave: smtplib and a plain client deliver to them over real sockets and real STARTTLS."""

from __future__ import annotations

import json
import smtplib
import ssl
from pathlib import Path

import pytest
import trio
from sandbox_client import connect, with_smtplib

from bulkmail.sandbox import World, serve
from bulkmail.sandbox.ledger import KEEPS, Keep

MESSAGE = b"Subject: x\r\n\r\n.leading dot\r\n\r\n..two\r\nend\r\n"


def kept_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.name != "ca.pem"]


async def test_smtplib_delivers_over_starttls_with_a_certificate_for_the_host() -> None:
    world = World()
    world.domain("a.test").refuse("bob")

    def work(client: smtplib.SMTP) -> None:
        client.starttls(context=ssl.create_default_context(cafile=path))
        refused.update(client.sendmail("a@out.test", ["ann@a.test", "bob@a.test"], MESSAGE))

    refused: dict[str, tuple[int, bytes]] = {}
    async with serve(world) as running:
        path = str(running.ca_pem_path)
        await with_smtplib(running, "mx.a.test", work)
    [received] = world.ledger.messages
    assert refused == {"bob@a.test": (550, b"5.1.1 No such user here")}
    assert (received.recipients, received.content, received.tls) == (("ann@a.test",), MESSAGE, True)
    assert world.ledger.sessions[0].sni == "mx.a.test"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("untrusted", "unable to get|self-signed|self signed"),
        ("wrong-name", "mismatch"),
        ("expired", "expired"),
    ],
)
async def test_a_bad_certificate_is_bad_in_one_way(kind: str, problem: str) -> None:
    """S5."""
    world = World()
    world.domain("a.test").tls(kind)

    def work(client: smtplib.SMTP) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match=problem):
            client.starttls(context=context)
        client.close()

    async with serve(world) as running:
        context = ssl.create_default_context(cafile=running.ca_pem_path)
        await with_smtplib(running, "mx.a.test", work)
    assert world.ledger.sessions[0].commands == ["EHLO out.test", "STARTTLS"]


async def test_ehlo_that_arrives_with_the_end_of_the_handshake_is_answered() -> None:
    world = World()
    world.domain("a.test")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("STARTTLS") == [220]
        context = ssl.create_default_context(cafile=running.ca_pem_path)
        tls = context.wrap_bio(incoming, outgoing, server_hostname="mx.a.test")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await client.stream.send_all(outgoing.read())
                incoming.write(await client.raw())
        tls.write(b"EHLO out.test\r\n")
        await client.stream.send_all(outgoing.read())  # our Finished and EHLO, in one segment
        while True:
            incoming.write(await client.raw())
            try:
                answer = tls.read()
                break
            except ssl.SSLWantReadError:  # session tickets
                pass
    assert answer.startswith(b"250-mx.a.test")


async def test_what_was_sent_in_one_flight_is_seen_as_one() -> None:
    world = World()
    world.domain("a.test")
    people = [f"r{i}@a.test" for i in range(100)]
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.deliver(*people)
        for person in people[:3]:
            await client.deliver(person)
    first, *others = world.ledger.sessions[0].flight_sizes("RCPT")
    assert (first, others) == (100, [1, 1, 1])
    assert world.ledger.copies["r0@a.test"] == 2


async def test_a_flight_in_many_pieces_is_one_as_long_as_no_reply_was_sent() -> None:
    world = World()
    world.domain("a.test").withhold(3)
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.ask("MAIL FROM:<a@out.test>")
        for i in range(3):
            await client.stream.send_all(b"RCPT TO:<r%d@a.test>\r\n" % i)
        assert [(await client.said()).code for _ in range(3)] == [250, 250, 250]
    assert world.ledger.sessions[0].flight_sizes("RCPT") == [3]


async def test_flights_within_tls_are_not_cut_into_records() -> None:
    world = World()
    world.domain("a.test")
    people = [f"{'r' * 50}{i}@a.test" for i in range(400)]  # 30 kB: two records
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.start_tls(running, "mx.a.test")
        await client.ask("EHLO out.test")
        await client.deliver(*people)
    assert world.ledger.sessions[0].flight_sizes("RCPT") == [400]


async def test_lockstep_is_seen_too() -> None:
    world = World()
    world.domain("a.test")
    async with serve(world) as running:
        await with_smtplib(
            running,
            "mx.a.test",
            lambda client: client.sendmail("a@x.test", ["a@a.test", "b@a.test"], MESSAGE),
        )
    assert world.ledger.sessions[0].flight_sizes("RCPT") == [1, 1]


async def test_peaks_count_what_the_client_holds_open() -> None:
    world = World()
    world.domain("a.test").host("mx1.a.test", 10).host("mx2.a.test", 10)
    async with serve(world) as running:
        async with (
            connect(running, "mx1.a.test"),
            connect(running, "mx1.a.test"),
            connect(running, "mx2.a.test"),
        ):
            pass
        for _ in range(5):
            async with connect(running, "mx1.a.test") as client:
                await client.ask("QUIT")
    assert world.ledger.peak_by_host == {"mx1.a.test": 2, "mx2.a.test": 1}
    assert world.ledger.peak_by_site[world.domain("a.test").site] == 3


async def test_a_closed_connection_is_no_part_of_a_peak() -> None:
    world = World()
    world.domain("a.test")
    async with serve(world) as running:
        for _ in range(20):
            async with connect(running, "mx.a.test"):
                pass  # closed without QUIT, and the next one opened at once
    assert world.ledger.peak_by_host == {"mx.a.test": 1}


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


@pytest.mark.parametrize("keep", KEEPS)
async def test_the_ledger_keeps_what_it_was_asked_to_keep(keep: Keep, tmp_path: Path) -> None:
    world = World(keep=keep)
    world.domain("a.test")
    async with serve(world, directory=tmp_path) as running, connect(running, "mx.a.test") as client:
        await client.deliver("ann@a.test", "bob@a.test", content=MESSAGE.replace(b"\r\n.", b"\r\n.."))
        on_disk = kept_in(tmp_path)  # the 250 has been read: it must be there
        written = [path.read_bytes() for path in on_disk]
    ledger = world.ledger
    assert (ledger.copies, ledger.transactions) == ({"ann@a.test": 1, "bob@a.test": 1}, 1)
    assert (len(ledger.messages), len(ledger.sessions)) == ((1, 1) if keep == "memory" else (0, 0))
    if keep == "maildir":
        envelope = b"Return-Path: <a@out.test>\r\nDelivered-To: ann@a.test\r\nDelivered-To: bob@a.test\r\n"
        assert written == [envelope + MESSAGE]
        assert on_disk[0].parent == tmp_path / "maildir" / "new"
    elif keep == "ledger":
        [line] = [json.loads(line) for line in written[0].splitlines()]
        assert (line["from"], line["to"], line["octets"]) == (
            "a@out.test",
            ["ann@a.test", "bob@a.test"],
            len(MESSAGE),
        )
        summary = json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[-1])
        assert summary["peak_by_host"] == {"mx.a.test": 1}
    else:
        assert written == []


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
