"""Does a shared UDP socket per name server pay? `python benchmarks/dns_socket.py [--queries N]`

The same questions (one MX each, never in the cache) are asked in two ways: as bulkmail does it, with a socket
of its own for each, and over one socket with a task that reads for all. The server is another process that
copies the question and appends fixed records, so as not to be the bottleneck; its share of a core is printed.

(Not called dns.py: beside it, no benchmark could import dnspython.)
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import socket
import statistics
import struct
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import trio

from bulkmail.dns.exchange import ask
from bulkmail.dns.response import Reading, parse_name, read_response
from bulkmail.dns.wire import MX, Query, make_query

RECORDS = b"".join(
    struct.pack("!HHHIHH", 0xC00C, 15, 1, 300, 7, 10 * number) + b"\x02m%d\xc0\x0c" % number
    for number in (1, 2, 3)
)
HEADER = struct.Struct("!HHHHHH")


def serve(pipe: Connection) -> None:
    """Answer for ever: the question and three exchangers. Says its CPU seconds when asked over `pipe`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.05)
    pipe.send(sock.getsockname())
    while True:
        try:
            query, peer = sock.recvfrom(4096)
        except TimeoutError:
            if pipe.poll():
                if pipe.recv() == "stop":
                    return
                pipe.send(cpu_s())
            continue
        end = query.index(b"\0", 12) + 5
        header = HEADER.pack(int.from_bytes(query[:2], "big"), 0x8180, 1, 3, 0, 0)
        sock.sendto(header + query[12:end] + RECORDS, peer)


class SharedSocket:
    """The alternative: one connected socket, ids tell the questions apart, one task reads for all."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: dict[int, tuple[Query, trio.Event, list[Reading]]] = {}

    async def read(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            wire = self._sock.recv(65_535)
            if waiting := self._waiting.get(int.from_bytes(wire[:2], "big")):
                query, event, box = waiting
                box.append(read_response(wire, query))
                event.set()

    async def ask(self, name: bytes) -> Reading:
        query = make_query(name, MX, edns=True)
        while query.id in self._waiting:
            query = make_query(name, MX, edns=True)
        event, box = trio.Event(), list[Reading]()
        self._waiting[query.id] = query, event, box
        try:
            with trio.fail_after(5):
                self._sock.send(query.wire)
                await event.wait()
        finally:
            del self._waiting[query.id]
        return box[0]


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def drive(ask_one: Callable[[bytes], Awaitable[Reading]], queries: int, callers: int) -> None:
    names = iter([parse_name(f"domain-{number}.example") for number in range(queries)])

    async def caller() -> None:
        for name in names:
            reading = await ask_one(name)
            assert len(reading.records) == 3

    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(caller)


async def own(server: tuple[str, int], queries: int, callers: int) -> None:
    await drive(lambda name: ask(server, name, MX, timeout_s=5), queries, callers)


async def shared(server: tuple[str, int], queries: int, callers: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.connect(server)
        one = SharedSocket(sock)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.read)
            await drive(one.ask, queries, callers)
            nursery.cancel_scope.cancel()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--queries", type=int, default=2000)
    options.add_argument("--callers", type=int, default=50)
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=serve, args=(theirs,), daemon=True)
    child.start()
    server = ours.recv()

    def sink_cpu_s() -> float:
        ours.send("cpu")
        return float(ours.recv())

    cost: dict[str, list[float]] = {"own": [], "shared": []}
    rate: dict[str, list[float]] = {"own": [], "shared": []}
    share: list[float] = []
    for repeat in range(given.repeats + 1):  # the first is the warm-up
        for kind, run in (("own", own), ("shared", shared)):
            sink, cpu, start = sink_cpu_s(), cpu_s(), time.perf_counter()
            trio.run(run, server, given.queries, given.callers)
            seconds, cpu = time.perf_counter() - start, cpu_s() - cpu
            if repeat:
                rate[kind].append(given.queries / seconds)
                cost[kind].append(cpu / given.queries * 1e6)
                share.append((sink_cpu_s() - sink) / seconds)
    ours.send("stop")
    child.join()
    print(
        f"{given.queries} MX queries, {given.callers} callers, median of {given.repeats} (lowest to highest)"
    )
    for kind in ("own", "shared"):
        costs, median_rate = cost[kind], statistics.median(rate[kind])
        spread = f"{statistics.median(costs):.0f} µs CPU a query ({min(costs):.0f} to {max(costs):.0f})"
        print(f"{kind + ' socket':14} {median_rate:7.0f} queries/s   {spread}")
    saved = 1 - statistics.median(cost["shared"]) / statistics.median(cost["own"])
    print(f"a shared socket saves {saved:.0%} of the CPU")
    print(f"the server used at most {max(share):.0%} of a core")


if __name__ == "__main__":
    main()
