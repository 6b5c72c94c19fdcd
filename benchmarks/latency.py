"""A message for each through a round trip of 50 ms, over one connection: `python benchmarks/latency.py`.

With STARTTLS, one recipient a message; the road between is a proxy that delays (sink/delay.c). With CHUNKING
so many messages may be in flight, and the bound is that window for each round trip. Where only PIPELINING is
offered, one message's envelope rides behind the end of the one before, and the bound is one for each round
trip. A peer in lock-step (smtplib) needs four. Sizes are up to twenty seconds' worth.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import contest
import senders
from contest import Contest, Promise
from senders import Job, Sent

RTT_MS = 50.0
WINDOWS = (8, 32)
PIPELINING, LOCK_STEP = "bulkmail, PIPELINING alone", "smtplib, in lock-step"
SIZES = {8: 2_400, 32: 12_000, PIPELINING: 200, LOCK_STEP: 40}
QUICK = {8: 80, 32: 160, PIPELINING: 10, LOCK_STEP: 4}
OF_BOUND, CHUNKING_OVER, PIPELINING_OVER = 0.9, 25.0, 3.5


def name(window: int) -> str:
    return f"bulkmail, CHUNKING, {window} in flight"


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--rtt-ms", type=float, default=RTT_MS)
    given = contest.options(__doc__, parser)
    sizes: dict[Any, int] = QUICK if given.quick else SIZES
    latency = Contest("latency", given)

    def job(who: Any, **sink: Any) -> Job:
        return Job(
            scenario="personal",
            recipients=sizes[who],
            connections=1,
            rtt_ms=given.rtt_ms,
            sink={"unique": True, **sink},
        )

    for window in WINDOWS:
        more = {"shaping": {"default": {"messages_in_flight": window}}}
        latency.add(name(window), partial(senders.ours, job(window), more=more))
    latency.add(PIPELINING, partial(senders.ours, job(PIPELINING, chunking=False)))
    latency.add(LOCK_STEP, partial(senders.peer, "smtplib", job(LOCK_STEP)))
    latency.hold()
    columns = ("who", "messages/s", "CPU µs a message", "sink")
    rows = [contest.sent_row(who, sents) for who, sents in latency.results.items()]
    latency.tell(
        [{column: row[column] for column in columns} for row in rows], promises(latency, given.rtt_ms)
    )


def promises(latency: Contest, rtt_ms: float) -> list[Promise]:
    far = f"latency {rtt_ms:g} ms"
    listed = [
        Promise(
            f"{far}, over smtplib, which is in lock-step: {what}",
            latency.ratios(who, LOCK_STEP, rate),
            at_least=least,
            over="smtplib",
            note=latency.why(who, LOCK_STEP),
        )
        for what, who, least in (
            ("CHUNKING, 8 in flight", name(8), CHUNKING_OVER),
            ("CHUNKING, 32 in flight", name(32), CHUNKING_OVER),
            ("PIPELINING alone", PIPELINING, PIPELINING_OVER),
        )
    ]
    for who, window in (*((name(window), window) for window in WINDOWS), (PIPELINING, 1)):
        bound = window / rtt_ms * 1e3
        reached = latency.seen(who, lambda sent, bound=bound: rate(sent) / bound)  # type: ignore[misc]
        what = f"{far}, of what is in flight ÷ round trip: {window} ({bound:g} messages/s)"
        least = OF_BOUND if window > 1 else None
        listed.append(Promise(what, reached, at_least=least, note=latency.why(who)))
    return listed


def rate(sent: Sent) -> float:
    return sent.messages_per_s


if __name__ == "__main__":
    main()
