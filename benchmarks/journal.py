"""What the journal's syncs cost: `python benchmarks/journal.py`.

The same run twice, in turn: with the state on a disk, where each sync waits for it, and in memory (/dev/shm),
where a sync costs nothing and everything else is the same. Nothing switches syncing off, because no option of
ours does. `shared` and `personal` with STARTTLS and ten connections; where temporary files are in memory,
TMPDIR has to say where there is a disk.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import contest
import rig
import senders
from contest import Contest, Promise
from peers.job import Missing
from senders import Job, Sent

MEMORY = Path("/dev/shm")
IN_MEMORY = ("tmpfs", "ramfs")
SIZES, QUICK = {"shared": 2_000_000, "personal": 60_000}, {"shared": 2_000, "personal": 200}
AT_MOST = {"shared": 10.0, "personal": 15.0}


def main() -> None:
    given = contest.options(__doc__)
    journal = Contest("journal", given)
    for scenario, size in (QUICK if given.quick else SIZES).items():
        job = Job(scenario=scenario, recipients=size, sink={"unique": True})
        small = replace(job, recipients=QUICK[scenario])
        journal.add(f"{scenario}, on a disk", partial(on_disk, job), warm_up=partial(on_disk, small))
        journal.add(f"{scenario}, in memory", partial(in_memory, job))
    journal.hold()
    rows = [contest.sent_row(name, sents) for name, sents in journal.results.items()]
    journal.tell(rows, [promise(journal, scenario, most) for scenario, most in AT_MOST.items()])


def promise(journal: Contest, scenario: str, most: float) -> Promise:
    disk, memory = f"{scenario}, on a disk", f"{scenario}, in memory"
    ratios = journal.ratios(disk, memory, lambda sent: sent.seconds)
    more = rig.Spread(*((ratio - 1) * 100 for ratio in ratios)) if ratios else None
    what = f"journal: {scenario}, what syncing adds to its time"
    return Promise(what, more, at_most=most, unit="%", note=journal.why(disk, memory))


def on_disk(job: Job) -> Sent:
    if filesystem(Path(tempfile.gettempdir())) in IN_MEMORY:
        raise Missing("temporary files are in memory: say with TMPDIR where there is a disk")
    return senders.ours(job)


def in_memory(job: Job) -> Sent:
    if not MEMORY.exists() or filesystem(MEMORY) not in IN_MEMORY:
        raise Missing(f"{MEMORY} is not in memory here")
    with tempfile.TemporaryDirectory(prefix="bulkmail-bench-", dir=MEMORY) as state:
        return senders.ours(job, more={"state": str(Path(state) / "state")})


def filesystem(path: Path) -> str:
    """Its kind, as /proc/self/mounts has it: of the longest mount point above the path."""
    mounts = (line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines())
    above = {point: kind for point, kind in mounts if path.resolve().is_relative_to(point)}
    return above[max(above, key=len)] if above else os.name


if __name__ == "__main__":
    main()
