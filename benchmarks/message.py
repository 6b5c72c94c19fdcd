"""What a message costs before it is sent: `python benchmarks/message.py [--slice 0.5] [--json]`.

A newsletter of 10 kB HTML (newsletter.html: tables, inline styles, links) with six fields of the row, an
unsubscribe token and a text part made from it is rendered, built and signed: unsigned, with Ed25519 and with
RSA-2048; on one processor, and on two by threads in batches, as a campaign's ledger does it. Beside it runs
what nobody can be faster than, the bare RSA-2048 and Ed25519 signatures of the same library, and the same
newsletter made with the standard library's `email`, jinja2 and dkimpy.

Machines differ and are shared, so ratios are the result. All run in turn, a quarter of a second each;
ratios are taken within a round, and the median of the rounds is told with the spread. What one processor
does is counted by its own time, so that other programs on the machine take nothing from it; what two do can
only be told by the clock, and says little where they were not there ("processors"). Nothing is sent, so there
is no sink.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import cryptography
import trio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from newsletter import FIELDS, HTML, by_hand, ours, verified

from bulkmail.campaign.memory import settle_memory
from bulkmail.campaign.writers import Writers
from bulkmail.message.signing_key import SigningKey

TURN = 0.25  # seconds: long beside what it costs to begin with cold caches
BATCH, SESSIONS = 32, 16  # letters of this size that a session asks for at once, and sessions that ask
SIGNED = b"from:news@acme.example\r\n" * 40  # about as much header as a signature covers

Work = Callable[[int, int], list[bytes]]  # makes so many messages or signatures, from this number on

TWO = ", two processors"
# (what, over what, at least): where raw RSA-2048 does 3,900, they are 15,000 and 30,000
TARGETS = (
    ("RSA-2048", "raw RSA-2048", 0.85),
    ("RSA-2048" + TWO, "RSA-2048", 1.7),
    ("Ed25519", "raw RSA-2048", 15_000 / 3_900),
    ("unsigned", "raw RSA-2048", 30_000 / 3_900),
    ("raw RSA-2048" + TWO, "raw RSA-2048", None),  # what this machine can give at all
    ("RSA-2048" + TWO, "raw RSA-2048" + TWO, None),
    ("RSA-2048", "email + jinja2 + dkimpy", None),
)


class Slice(NamedTuple):
    pieces: int
    elapsed: float  # seconds of the clock
    cpu: float  # seconds of all processors

    def rate(self, name: str) -> float:
        """A second of the processor, or of the clock where there are two."""
        return self.pieces / (self.elapsed if name.endswith(TWO) else self.cpu)


def joined(one: Slice, other: Slice) -> Slice:
    return Slice(one.pieces + other.pieces, one.elapsed + other.elapsed, one.cpu + other.cpu)


def alone(work: Work, seconds: float, first: int = 0) -> Slice:
    """In this thread, for so long."""
    number, cpu, start = first, time.process_time(), time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        work(number, BATCH)
        number += BATCH
    return Slice(number - first, elapsed, time.process_time() - cpu)


def in_threads(work: Work, seconds: float) -> Slice:
    """In batches, in as many threads as there are processors: the way of campaign/ledger.py."""
    done = 0
    writers = Writers(len(os.sched_getaffinity(0)))

    async def session(end: float) -> None:
        nonlocal done
        while time.perf_counter() < end:
            first, done = done, done + BATCH
            await writers.run(lambda first: work(first, BATCH), first)

    async def sessions() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(SESSIONS):
                nursery.start_soon(session, time.perf_counter() + seconds)

    cpu, start = time.process_time(), time.perf_counter()
    trio.run(sessions)
    writers.close()
    return Slice(done, time.perf_counter() - start, time.process_time() - cpu)


@contextmanager
def on(processors: Sequence[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def round_of(works: Mapping[str, Work], peers: Mapping[str, Work], seconds: float) -> dict[str, Slice]:
    """Everything once, each for so long, in short turns."""
    available = sorted(os.sched_getaffinity(0))
    turns = max(1, round(seconds / TURN))
    total: dict[str, Slice] = defaultdict(lambda: Slice(0, 0.0, 0.0))
    with on(available[:1]):
        for turn in range(turns):
            for name, work in works.items():
                total[name] = joined(total[name], alone(work, TURN, turn * 10_000))
        for name, work in peers.items():
            total[name] = alone(work, seconds)
    if len(available) > 1:
        with on(available[:2]):
            for name in ("raw RSA-2048", "RSA-2048"):  # long enough that the end, when one waits, is nothing
                total[name + TWO] = in_threads(works[name], 2 * seconds)
    return dict(total)


def raw(pem: bytes) -> Work:
    """The bare signature: nothing can be faster. A key has a lock, so each thread has its own."""
    own = threading.local()

    def signer() -> Callable[[], bytes]:
        key = serialization.load_pem_private_key(pem, None)
        if isinstance(key, rsa.RSAPrivateKey):
            return partial(key.sign, SIGNED, padding.PKCS1v15(), hashes.SHA256())
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        return partial(key.sign, SIGNED[:32])

    def work(_: int, count: int) -> list[bytes]:
        try:
            sign: Callable[[], bytes] = own.sign
        except AttributeError:
            sign = own.sign = signer()
        return [sign() for _ in range(count)]

    return work


def measured(name: str, rounds: Sequence[Mapping[str, Slice]]) -> dict[str, object]:
    rates = [one[name].rate(name) for one in rounds]
    busy = statistics.median(one[name].cpu / one[name].elapsed for one in rounds)
    cpu_us = statistics.median(one[name].cpu / one[name].pieces * 1e6 for one in rounds)
    return {
        "what": name,
        "per_s": round(statistics.median(rates)),
        "spread": [round(min(rates)), round(max(rates))],
        "cpu_us": round(cpu_us, 1),
        "processors": round(busy, 2),
    }


def judged(rounds: Sequence[Mapping[str, Slice]]) -> Iterator[dict[str, object]]:
    for what, over, least in TARGETS:
        found: dict[str, object] = {"ratio": f"{what} / {over}", "at_least": least and round(least, 2)}
        if what not in rounds[0]:
            yield found | {"median": None, "spread": None, "holds": None}
            continue
        ratios = [one[what].rate(what) / one[over].rate(over) for one in rounds]
        median = statistics.median(ratios)
        yield found | {
            "median": round(median, 3),
            "spread": [round(min(ratios), 3), round(max(ratios), 3)],
            "holds": least and median >= least,
        }


VERDICTS = {True: "holds", False: "MISSED", None: ""}


def table(rates: Sequence[Mapping[str, Any]], ratios: Sequence[Mapping[str, Any]]) -> str:
    """For people."""
    lines = [f"{'':30}{'a second':>10}{'spread':>18}{'CPU µs':>11}{'processors':>12}"]
    for one in rates:
        low, high = one["spread"]
        spread = f"{low:,}–{high:,}"
        lines.append(
            f"{one['what']:30}{one['per_s']:>10,}{spread:>18}{one['cpu_us']:>11,}{one['processors']:>12}"
        )
    lines.append(f"\n{'':58}{'ratio':>8}{'spread':>18}{'wanted':>8}")
    for one in ratios:
        if one["median"] is None:
            lines.append(f"{one['ratio']:58}  not measured: there is one processor")
            continue
        spread = "–".join(map(str, one["spread"]))
        wanted = one["at_least"] or ""
        verdict = VERDICTS[one["holds"]]
        lines.append(f"{one['ratio']:58}{one['median']:>8}{spread:>18}{wanted:>8}  {verdict}".rstrip())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[0])
    parser.add_argument("--slice", type=float, default=0.5, help="seconds that each of them runs in a round")
    parser.add_argument("--repeats", type=int, default=7, help="rounds, after one to warm up; at least 5")
    parser.add_argument("--json", action="store_true", help="only the JSON, without the table")
    options = parser.parse_args()
    private = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pems = [key.private_bytes(*how) for key in private]
    keys = [SigningKey.load(pem.decode(), domain="acme.example", selector="s1") for pem in pems]
    works: dict[str, Work] = {
        "raw RSA-2048": raw(pems[0]),
        "RSA-2048": ours(keys[0]),
        "raw Ed25519": raw(pems[1]),
        "Ed25519": ours(keys[1]),
        "unsigned": ours(),
    }
    peers: dict[str, Work] = {"email + jinja2": by_hand(None), "email + jinja2 + dkimpy": by_hand(pems[0])}
    sizes = verified(works["RSA-2048"], keys[0]), verified(works["Ed25519"], keys[1])
    verified(peers["email + jinja2 + dkimpy"], keys[0])
    settle_memory()  # as a run does
    repeats = max(5, options.repeats)
    rounds = [round_of(works, peers, options.slice) for _ in range(repeats + 1)][1:]
    rates, ratios = [measured(name, rounds) for name in rounds[0]], list(judged(rounds))
    results = {
        "benchmark": "message",
        "newsletter": {"octets": sizes[0], "html_octets": len(HTML.encode()), "fields": len(FIELDS)},
        "machine": {
            "processors": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "cryptography": cryptography.__version__,
        },
        "rounds": repeats,
        "rates": rates,
        "ratios": ratios,
    }
    if not options.json:
        print(table(rates, ratios), file=sys.stderr)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
