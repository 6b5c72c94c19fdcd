"""A list of domains that do not exist: `python benchmarks/nowhere.py [--domains 100000]`.

Each has one recipient. The name server, a process on the other core, says NXDOMAIN to everything. Told is the
time from the event `started` to the end of the command, when every single one is bounced, with 5.1.2, in the
journal; and that of the whole command, planning included.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_longlong
from dataclasses import dataclass
from functools import partial
from multiprocessing import Process, RawValue
from pathlib import Path

import contest
import rig
import senders
from contest import Contest, Promise

DOMAINS, QUICK = 100_000, 500
AT_MOST_S = 120.0
OURS = "bulkmail"
RESPONSE, NXDOMAIN = 0x8180, 3


@dataclass(frozen=True)
class Settled:
    domains: int
    seconds: float
    used: rig.Used
    queries: int


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--domains", type=int, default=DOMAINS)
    given = contest.options(__doc__, parser)
    domains = given.size(given.domains, QUICK)
    held = Contest("nowhere", given)
    held.add(OURS, partial(run, domains), warm_up=partial(run, QUICK))
    held.hold()
    rows = [
        {
            "who": name,
            "domains": found[0].domains,
            "settled after s": rig.spread(each.seconds for each in found),
            "domains/s": rig.spread(each.domains / each.seconds for each in found),
            "whole s": rig.spread(each.used.seconds for each in found),
            "CPU ms each": rig.spread(each.used.cpu_s / each.domains * 1e3 for each in found),
            "queries each": rig.spread(each.queries / each.domains for each in found),
            "peak MB": max(each.used.peak_mb for each in found),
        }
        for name, found in held.results.items()
    ]
    what = f"{domains:,} domains that do not exist: settled after"
    reached = held.seen(OURS, lambda each: each.seconds)
    held.tell(rows, [Promise(what, reached, at_most=AT_MOST_S, unit="s", note=held.why(OURS))])


def run(domains: int) -> Settled:
    """Raises senders.Wrong unless all bounced, and nobody else."""
    with tempfile.TemporaryDirectory(prefix="nowhere-") as name, nowhere() as (resolver, asked):
        folder = Path(name)
        rows = (f"ann@d{n}.nowhere.test\n" for n in range(domains))
        (folder / "people.csv").write_text("email\n" + "".join(rows), "utf-8")
        (folder / "hello.txt").write_text("Hello,\n\nthis week at Acme\n", "utf-8")
        campaign = {
            "campaign": "nowhere",
            "from": "Acme News <news@acme.example>",
            "to": "Readers <news@acme.example>",
            "subject": "Hello",
            "recipients": "people.csv",
            "content": "hello.txt",
            "delivery": {"via": "mx", "ehlo": "bench.acme.example", "resolvers": [resolver]},
        }
        (folder / "campaign.yaml").write_text(json.dumps(campaign, indent=1), "utf-8")
        command = [sys.executable, "-m", "bulkmail", "run", folder / "campaign.yaml"]
        used = rig.run([*command, "--new", "--yes", "--json"], pinned=rig.client_core())
        finished = json.loads(used.lines[-1]) if used.lines else {}
        totals = finished.get("totals", {})
        if used.code or not totals["source"] == totals["bounced"] == domains:
            raise senders.Wrong(f"it ended with {used.code}: {finished}")
        return Settled(domains, finished["seconds"], used, asked.value)


@contextmanager
def nowhere() -> Iterator[tuple[str, c_longlong]]:
    """A name server that knows no name, and how often it was asked."""
    asked = RawValue(c_longlong, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server = Process(target=deny, args=(sock, asked), daemon=True)
        server.start()
        try:
            yield f"127.0.0.1:{sock.getsockname()[1]}", asked
        finally:
            server.kill()
            server.join()


def deny(sock: socket.socket, asked: c_longlong) -> None:
    os.sched_setaffinity(0, rig.sink_core())
    while True:
        query, client = sock.recvfrom(4096)
        asked.value += 1
        end = query.index(b"\0", 12) + 5  # of the question
        flags = (RESPONSE | NXDOMAIN).to_bytes(2, "big")
        sock.sendto(query[:2] + flags + b"\0\1\0\0\0\0\0\0" + query[12:end], client)


if __name__ == "__main__":
    main()
