"""A thousand TLS connections at once: `python benchmarks/connections.py`.

One recipient a message, through a round trip of 50 ms, so that there is work for all of them; the same for
everybody (memory is what connections take), and personal (and what is in flight on them). The sink is asked
every few milliseconds how many are open: it has to have seen all of them at the same time. Told are the peak
memory of the process, and the time from its start until the first message was accepted.
"""

from __future__ import annotations

import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import contest
import rig
import senders
import sink
from contest import Contest, Promise
from senders import Job, Sent

CONNECTIONS, MESSAGES = 1_000, 40_000
QUICK = (20, 400)
RTT_MS = 50.0
OURS, SCENARIOS = "bulkmail", ("shared", "personal")
AT_MOST_MB, AT_MOST_S = 120.0, 1.5
LOOK_S = 0.02  # between two looks; the first message is at most this much earlier than told
FILES = 10_000  # that we, and who we start, may open


@dataclass(frozen=True)
class Crowd:
    sent: Sent
    most: int  # open at once
    first_message_s: float


def main() -> None:
    given = contest.options(__doc__)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, more), hard))
    wanted, messages = QUICK if given.quick else (CONNECTIONS, MESSAGES)
    job = Job(
        scenario="personal",
        recipients=messages,
        connections=wanted,
        per_transaction=1,
        rtt_ms=RTT_MS,
        sink={"unique": True},
    )
    crowd = Contest("connections", given)
    for scenario in SCENARIOS:
        crowd.add(f"{OURS}, {scenario}", partial(held, replace(job, scenario=scenario)))
    crowd.hold()
    rows = [
        {
            "what": name,
            "messages": found[0].sent.counts.transactions,
            "connections at once": rig.spread(each.most for each in found),
            "peak MB": rig.spread(each.sent.used.peak_mb for each in found),
            "first message s": rig.spread(each.first_message_s for each in found),
            "messages/s": rig.spread(each.sent.messages_per_s for each in found),
            "sink": rig.spread(each.sent.sink_share for each in found).median,
        }
        for name, found in crowd.results.items()
    ]
    crowd.tell(rows, [one for scenario in SCENARIOS for one in promises(crowd, scenario, wanted)])


def promises(crowd: Contest, scenario: str, wanted: int) -> list[Promise]:
    name, what = f"{OURS}, {scenario}", f"{wanted:,} TLS connections, {scenario}"
    note = crowd.why(name)
    return [
        Promise(
            f"{what}: open at once",
            crowd.seen(name, lambda each: each.most),
            at_least=wanted,
            unit="connections",
            note=note,
        ),
        Promise(
            f"{what}: peak memory",
            crowd.seen(name, lambda each: each.sent.used.peak_mb),
            at_most=AT_MOST_MB,
            unit="MB",
            note=note,
        ),
        Promise(
            f"{what}: first message after",
            crowd.seen(name, lambda each: each.first_message_s),
            at_most=AT_MOST_S,
            unit="s",
            note=note,
        ),
    ]


def held(job: Job) -> Crowd:
    """One run, looked at while it lasts."""
    with tempfile.TemporaryDirectory(prefix="connections-") as name, senders.reached(job) as (mx, host, port):
        command = senders.written(job, Path(name), f"smtp://{host}:{port}")
        with looked_at(mx) as seen:
            began = time.monotonic()
            used = rig.run(command, pinned=rig.client_core(), environment=senders.SECRETS)
        counts = mx.counts()
    finished = senders.ended(used, job)
    sent = senders.judged(OURS, job, used, began, counts, finished)
    return Crowd(sent, seen.most, (seen.first_message or time.monotonic()) - began)


@dataclass
class Seen:
    most: int = 0
    first_message: float | None = None


@contextmanager
def looked_at(mx: sink.Sink) -> Iterator[Seen]:
    """What the sink says meanwhile, every few milliseconds; asked from its core, not from the client's."""
    seen, end = Seen(), threading.Event()

    def look() -> None:
        while not end.wait(LOOK_S):
            counts = mx.counts()
            seen.most = max(seen.most, counts.open)
            if counts.transactions and seen.first_message is None:
                seen.first_message = time.monotonic()

    with rig.on(rig.sink_core()):  # which a thread inherits from who starts it
        thread = threading.Thread(target=look)
        thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()


if __name__ == "__main__":
    main()
