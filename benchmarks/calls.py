"""System calls for each message: `python benchmarks/calls.py`.

Counted by the kernel (`perf stat`), where it lets us, else by strace, of all threads, from the start of the
process to its end. Two sizes are sent, and the difference is divided by the messages between them: what start
and end take is in both. With STARTTLS over ten connections, one recipient a message, to a sink with CHUNKING
(eight in flight) and to one where only DATA is left.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import contest
import rig
import senders
from contest import Contest, Promise
from peers.job import Missing
from senders import Job

SIZES, QUICK = (20_000, 60_000), (100, 300)
# what is sent, the options of the sink, at most
PROMISED: tuple[tuple[str, dict[str, bool], float], ...] = (
    ("DATA", {"unique": True, "chunking": False}, 2.5),
    ("eight in flight", {"unique": True}, 0.6),
)
EVENT = "raw_syscalls:sys_enter"
COUNTED = {
    "perf": re.compile(rf"^(\d+),.*{EVENT}", re.MULTILINE),
    "strace": re.compile(r"^100\.00 +\S+ +\S+ +(\d+) .*total$", re.MULTILINE),
}


@dataclass(frozen=True)
class Counted:
    per_message: float
    whole: int  # of the larger run
    sink_share: float
    by: str


def main() -> None:
    given = contest.options(__doc__)
    calls = Contest("calls", given)
    job = Job(scenario="personal", recipients=0)
    for name, sink, _ in PROMISED:
        few, many = (replace(job, recipients=size, sink=sink) for size in (QUICK if given.quick else SIZES))
        calls.add(name, partial(counted, few, many))
    calls.hold()
    rows = [
        {
            "sent with": name,
            "system calls a message": rig.spread(each.per_message for each in found),
            "whole process": rig.spread(each.whole for each in found),
            "counted by": found[0].by,
            "sink": rig.spread(each.sink_share for each in found).median,
        }
        for name, found in calls.results.items()
    ]
    calls.tell(
        rows,
        [
            Promise(
                f"system calls a message: {name}",
                calls.seen(name, lambda each: each.per_message),
                at_most=most,
                unit="calls",
                note=calls.why(name),
            )
            for name, _, most in PROMISED
        ],
    )


def counted(few: Job, many: Job) -> Counted:
    by = counter()
    (low, _), (high, share) = one(few, by), one(many, by)
    return Counted((high - low) / (many.recipients - few.recipients), high, share, by)


def one(job: Job, by: str) -> tuple[int, float]:
    with tempfile.TemporaryDirectory(prefix="calls-") as folder:
        told = Path(folder) / "told"
        perf = ("perf", "stat", "-x,", "-e", EVENT, "-o", str(told))
        under = perf if by == "perf" else ("strace", "-f", "-c", "-o", str(told))
        sent = senders.ours(job, under=under)
        found = COUNTED[by].search(told.read_text())
    if found is None:
        raise senders.Wrong(f"{by} did not say how many there were")
    return int(found[1]), sent.sink_share


def counter() -> str:
    if shutil.which("perf"):
        tried = subprocess.run(["perf", "stat", "-x,", "-e", EVENT, "true"], capture_output=True, text=True)
        if tried.returncode == 0 and COUNTED["perf"].search(tried.stderr):
            return "perf"
    if shutil.which("strace"):
        return "strace"
    raise Missing("neither perf (with its tracepoints) nor strace is here")


if __name__ == "__main__":
    main()
