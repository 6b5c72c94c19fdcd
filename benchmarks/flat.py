"""What a message costs when there are more of them: `python benchmarks/flat.py`.

The personal messages of personal.py (STARTTLS, CHUNKING, ten connections) to ten thousand, a hundred
thousand and a million recipients. The cost of one is the time from the first RCPT to the last message
accepted, divided by how many there were; other columns are of the whole process, start and planning included.
"""

from __future__ import annotations

from functools import partial

import contest
import rig
import senders
from contest import Contest, Promise
from senders import Job, Sent

SIZES, QUICK = (10_000, 100_000, 1_000_000), (100, 200, 300)
AT_MOST = 1.10
ROUNDS = 3  # of two minutes each


def main() -> None:
    given = contest.options(__doc__)
    flat, sizes = Contest("flat", given), QUICK if given.quick else SIZES
    for size in sizes:
        job = Job(scenario="personal", recipients=size, sink={"unique": True})
        flat.add(f"{size:,}", partial(senders.ours, job), rounds=ROUNDS)
    flat.hold()
    rows = [
        {
            "recipients": name,
            "µs a message": rig.spread(map(cost_us, sents)),
            "CPU µs, whole process": rig.spread(
                sent.used.cpu_s / sent.counts.transactions * 1e6 for sent in sents
            ),
            "whole s": rig.spread(sent.used.seconds for sent in sents),
            "peak MB": max(sent.used.peak_mb for sent in sents),
            "sink": rig.spread(sent.sink_share for sent in sents).median,
        }
        for name, sents in flat.results.items()
    ]
    most = f"{sizes[-1]:,}"
    flat.tell(
        rows,
        [
            Promise(
                f"flat: the cost of a message to {most} recipients, over {size:,}",
                flat.ratios(most, f"{size:,}", cost_us),
                at_most=AT_MOST,
                note=flat.why(most, f"{size:,}"),
            )
            for size in sizes[:-1]
        ],
    )


def cost_us(sent: Sent) -> float:
    return sent.seconds / sent.counts.transactions * 1e6


if __name__ == "__main__":
    main()
