"""What the ledger knows: flights, peaks, and messages kept where they were asked to be kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sandbox_client import MESSAGE, connect, with_smtplib

from bulkmail.sandbox import World, serve
from bulkmail.sandbox.ledger import KEEPS, Keep


def kept_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.name != "ca.pem"]


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
