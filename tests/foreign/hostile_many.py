"""Many rows that mean harm, through the real Postfix and the real Exim, as fast as they queue.

    python tests/foreign/hostile_many.py --rows 1000000 --seed N [--first BLOCK] [--through postfix exim]

The rows and what is held of them are those of test_hostile_rows.py, without those whom Postfix refuses. The
servers only queue (`hold`), in memory, and what they stored is read from the files of their queues. Each
block of rows is a campaign, sent to every server in turn; blocks take turns at DATA, DATA pipelined and BDAT.
What a block holds depends on seed and number alone: a run that was ended goes on with `--first`. Exit code 1,
with block and rows, at the first difference; 2 where it was ended before its time.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import trio

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from foreign_server import Delivered, ForeignServer, split_trace  # noqa: E402
from hostile_rows import DOMAINS, MARKS, Row, rows  # noqa: E402
from servers import SERVERS  # noqa: E402
from test_hostile_rows import WAYS, marks_in, only, refused, write_campaign  # noqa: E402

from bulkmail.campaign import config, prepare, runner  # noqa: E402
from bulkmail.journal import SETTLED  # noqa: E402
from bulkmail.sandbox import World, serve  # noqa: E402

BLOCK = 2_000  # rows
MEMORY = Path("/dev/shm")
LEFT = ("pending", "deferred", "in_doubt")
# No pace; and all of it in one process, in which `only` holds. It may be stopped for a while: give_up is far.
FAST = """\
  workers: 1
shaping: { default: { connections: 8, message_rate: 100000/s } }
"""


Part = tuple[str, str]  # server, way


class Ended(Exception):
    """A signal came: bulkmail itself heeds it, and leaves people pending."""


# --- what lies in a queue -----------------------------------------------------------------------------


def postfix_files(server: ForeignServer) -> Iterator[Path]:
    """Every file of every queue; the other folders hold sockets and locks."""
    for queue in ("incoming", "active", "bounce", "corrupt", "defer", "deferred", "hold", "maildrop"):
        yield from (path for path in (server.folder / "queue" / queue).rglob("*") if path.is_file())


def postfix_message(path: Path) -> Delivered:
    """A queue file is records: type, length (seven bits to an octet, the lowest first), data."""
    octets, at, recipients, content = path.read_bytes(), 0, [], bytearray()
    while at < len(octets):
        kind, at, length, shift = octets[at : at + 1], at + 1, 0, 0
        while True:
            length |= (octets[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if octets[at - 1] < 0x80:
                break
        data, at = octets[at : at + length], at + length
        assert len(data) == length, "cut"
        if kind == b"R":
            recipients.append(data.decode())
        elif kind in (b"N", b"L"):  # a line; a piece of one
            content += data + b"\n" * (kind == b"N")
        assert kind != b"p" or int(data) == 0, "goes on elsewhere"
    assert kind == b"E", "not complete"
    return Delivered(tuple(recipients), split_trace(bytes(content), (b"received",))[1])


def exim_files(server: ForeignServer) -> Iterator[Path]:
    yield from (path for path in (server.folder / "spool" / "input").rglob("*") if path.is_file())


HEADER = re.compile(rb"(\d{3,})(.) ", re.DOTALL)


def exim_message(path: Path) -> Delivered | None:
    """-H: envelope, an empty line, header fields each with its length in front. -D: a line, then the body."""
    if path.name.endswith("-D"):
        assert path.with_name(path.name[:-1] + "H").exists(), "a body alone"
        return None
    assert path.name.endswith("-H"), "not complete"
    stored = path.read_bytes()
    envelope, _, _ = stored.partition(b"\n\n")
    at, fields = len(envelope) + 2, bytearray()
    while at < len(stored):
        head = HEADER.match(stored, at)
        assert head is not None, stored[at : at + 80]
        end = head.end() + int(head[1])
        fields += stored[head.end() : end]
        assert head[2] != b"*", "replaced"
        at = end
    *_, tail = re.split(rb"\n(?=\d+\n[^\n]*@)", envelope)  # how many recipients, and they
    count, *recipients = tail.decode().split("\n")
    assert int(count) == len(recipients)
    body = path.with_name(path.name[:-1] + "D").read_bytes().partition(b"\n")[2]
    return Delivered(tuple(recipients), split_trace(bytes(fields) + b"\n" + body, (b"received",))[1])


QUEUES = {"postfix": (postfix_files, postfix_message), "exim": (exim_files, exim_message)}


def emptied(server: ForeignServer) -> list[Delivered]:
    """All that the server has queued. Its queue is empty then, and its log."""
    files, read = QUEUES[server.name]
    paths = list(files(server))
    found = [message for path in paths if (message := read(path)) is not None]
    for path in paths:
        path.unlink()
    if server.log.exists():
        os.truncate(server.log, 0)
    return found


# --- a block ------------------------------------------------------------------------------------------


def goes_elsewhere(name: str, row: Row) -> bool:
    """Whom Postfix refuses is left out: after some of these bulkmail leaves the site alone, longer each time.

    That they bounce is held in test_hostile_rows.py.
    """
    return row.meant is not None and refused(name, row)


async def run_block(server: ForeignServer, seed: int, number: int, size: int, way: str) -> tuple[int, int]:
    """How many rows and messages. Raises AssertionError, with the rows, at anything that was not meant."""
    people = [row for row in rows(seed, number * size, size) if not goes_elsewhere(server.name, row)]
    meant = {row.mark: row for row in people if row.meant is not None}
    world = World()
    for domain in DOMAINS:
        world.domain(domain).host(server.hostname)
    world.host(server.hostname).at(server.address)
    with tempfile.TemporaryDirectory(prefix="bulkmail-hostile-", dir=MEMORY) as folder:
        async with serve(world) as sandbox:
            file = write_campaign(Path(folder), people, server.port, sandbox.dns)
            file.write_text(file.read_text().replace("give_up: 60s }", "give_up: 1h }") + FAST)
            campaign = config.load(file, environ=os.environ)
            with only(way), prepare.prepared(campaign, tell=lambda event: None) as ready:
                outcome = await runner.run(ready, tell=lambda event: None)
                left = {state: outcome.totals[state] for state in LEFT if outcome.totals[state]}
                if left:
                    raise Ended(f"the run left {left}: was there a signal?")
                fates = {
                    state: marks_in(one.address for one in ready.store.export(state)) for state in SETTLED
                }
                composed = {
                    own: ready.composer.letter(one.address, one.fields, id=one.id).content
                    for one in ready.store.fetch([(1, len(meant))])
                    for own in marks_in([one.address])
                }
    found = emptied(server)
    for state in SETTLED:
        same(f"fate {state}", fates[state] ^ (meant.keys() if state == "delivered" else set()))
    had = Counter[str]()
    for one in found:
        (recipient,) = one.recipients
        (own,) = MARKS.findall(recipient)
        assert recipient.rpartition("@")[2] == meant[own].meant[1], (own, recipient)  # type: ignore[index]
        had[own] += 1
        assert one.content == composed[own], ("other octets", own, recipient, one.content, composed[own])
        assert set(MARKS.findall(one.content.decode())) == {own}, ("marks", own, one.content)
    same("exactly one message each", set((had - Counter(meant.keys())).elements()))
    same("no message", meant.keys() - had.keys())
    return len(people), len(found)


def same(what: str, marks: set[str]) -> None:
    assert not marks, (what, sorted(marks)[:10])


# --- the command --------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


async def many(given: argparse.Namespace, sent: Counter[Part], stored: Counter[Part]) -> int:
    ends = time.monotonic() + given.minutes * 60
    with tempfile.TemporaryDirectory(prefix="bulkmail-hostile-log-") as keep:
        async with AsyncExitStack() as stack:
            port, host = free_port(), f"127.98.{os.getpid() % 250 + 1}"
            options = {"hostname": "mx.a.test", "hold": True, "under": MEMORY}
            servers = [
                await stack.enter_async_context(
                    SERVERS[name](Path(keep), f"{host}.{at}", port, list(DOMAINS), **options)
                )
                for at, name in enumerate(given.through, 1)
            ]
            for number in range(given.first, -(-given.rows // given.block_rows)):
                way = list(WAYS)[number % len(WAYS)]
                for server in servers:
                    began = time.monotonic()
                    try:
                        put, count = await run_block(server, given.seed, number, given.block_rows, way)
                    except Exception as error:
                        print(f"block {number} through {server.name}, {way}: {error!r}", flush=True)
                        return 2 if isinstance(error, Ended) else 1
                    sent[server.name, way] += put
                    stored[server.name, way] += count
                    took = time.monotonic() - began
                    print(
                        f"block {number} {server.name} {way}: {put} rows, {count} messages, {took:.1f} s",
                        flush=True,
                    )
                if time.monotonic() > ends:
                    break
    return 0


async def until_told(given: argparse.Namespace) -> int:
    """SIGTERM and SIGINT end the servers and remove their folders, too."""
    print(f"seed {given.seed}, from block {given.first}, blocks of {given.block_rows} rows", flush=True)
    sent, stored, code = Counter[Part](), Counter[Part](), 2
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        nursery.start_soon(wait)
        code = await many(given, sent, stored)
        nursery.cancel_scope.cancel()
    for (name, way), count in sorted(sent.items()):
        print(f"{name}, {way}: {count:,} rows, {stored[name, way]:,} messages, octet for octet")
    said = {
        0: "nothing forged",
        1: "and then a difference",
        2: "ended before its time, nothing forged so far",
    }
    print(f"{sum(sent.values()):,} rows, {sum(stored.values()):,} messages: {said[code]}", flush=True)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--through", nargs="+", choices=sorted(QUEUES), default=["postfix", "exim"])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="BLOCK", help="go on with this block")
    parser.add_argument("--block-rows", type=int, default=BLOCK, metavar="ROWS", help="rows of a block")
    parser.add_argument("--minutes", type=float, default=1e6, help="end after the block in which they end")
    return trio.run(until_told, parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
