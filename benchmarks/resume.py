"""From the start of a resume to its next RCPT: `python benchmarks/resume.py`.

A run to ten million recipients is killed (SIGKILL, all its processes) as soon as the sink has accepted half
of them. What lies on the disk then is put back before each round, and `bulkmail run` is started again: told
is the time until its first RCPT reaches a fresh sink on the same port. Then it is killed as well, but for the
last time, when it goes on to its end: who is delivered or in doubt by the journal is everybody, and the sinks
together have no fewer than those delivered, and no more than both. Files are as warm as the kill left them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import contest
import rig
import senders
import sink
from contest import Contest, Promise
from senders import Job

ROWS, QUICK = 10_000_000, 300_000  # with less it may be done before it is seen to be half done
NEXT, AT_MOST_S = "next RCPT", 2.0
LOOK_S = 0.01
PATIENCE_S = 900.0  # to get to half
RCPT_WITHIN_S = 120.0
IN_DOUBT = 4  # the exit code of a run that settled, but for some in doubt


@dataclass(frozen=True)
class Killed:
    """A campaign that was killed half-way; `state` is what was left, kept aside."""

    command: list[str]
    folder: Path
    state: Path
    port: int
    accepted: int  # by the sink, until the kill

    def restore(self) -> None:
        shutil.rmtree(self.folder / ".bulkmail")
        shutil.copytree(self.state, self.folder / ".bulkmail")


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    given = contest.options(__doc__, parser)
    job = Job(scenario="shared", recipients=given.size(given.rows, QUICK))
    resumed = Contest("resume", given)
    with tempfile.TemporaryDirectory(prefix="resume-") as name:
        rows = list(held(resumed, job, Path(name)))
    found, note = resumed.seen(NEXT, float), resumed.why(NEXT)
    what = f"resume at half of {job.recipients:,}: the next RCPT after"
    resumed.tell(rows, [Promise(what, found, at_most=AT_MOST_S, unit="s", note=note)])


def held(resumed: Contest, job: Job, folder: Path) -> Iterator[dict[str, object]]:
    """The contest, and the row about it; where nothing comes of it, the reason is in `missing`."""
    try:
        killed = killed_half_way(job, folder)
        resumed.add(NEXT, partial(next_rcpt, killed))
        resumed.hold()
        if NEXT in resumed.results:
            killed.restore()
            rest = finished(killed, job)
            before = {"rows": job.recipients, "accepted before": killed.accepted}
            yield before | rest | {f"{NEXT} s": resumed.seen(NEXT, float)}
    except senders.Wrong as reason:
        resumed.results.clear()
        resumed.missing[NEXT] = str(reason)


def killed_half_way(job: Job, folder: Path) -> Killed:
    with rig.sinking() as mx:
        command = senders.written(job, folder, f"smtp://{mx.host}:{mx.port}")
        with started(command) as process:
            deadline = time.monotonic() + PATIENCE_S
            while (counts := mx.counts()).recipients < job.recipients // 2:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise senders.Wrong(f"ended or stood at {counts.recipients} of {job.recipients}")
                time.sleep(LOOK_S)
    if mx.counts().recipients >= job.recipients:
        raise senders.Wrong("it was done before it was killed: more --rows")
    state = folder / "state-kept"
    shutil.copytree(folder / ".bulkmail", state, ignore=shutil.ignore_patterns("*.control"))
    return Killed(command, folder, state, mx.port, mx.counts().recipients)


def next_rcpt(killed: Killed) -> float:
    """Seconds from the start."""
    killed.restore()
    with rig.sinking(port=killed.port) as mx:
        began = time.monotonic()
        with started(killed.command) as process:
            while (first := mx.counts().first_rcpt) is None:
                if process.poll() is not None or time.monotonic() - began > RCPT_WITHIN_S:
                    raise senders.Wrong(f"no RCPT; it ended with {process.returncode}")
                time.sleep(LOOK_S)
    return first - began


def finished(killed: Killed, job: Job) -> dict[str, Any]:
    """To its end, and everybody is accounted for. Raises Wrong."""
    with rig.sinking(port=killed.port) as mx:
        used = rig.run(killed.command, pinned=rig.client_core(), environment=senders.SECRETS)
        counts: sink.Counts = mx.counts()
    if used.code not in (0, IN_DOUBT):
        raise senders.Wrong(f"it ended with {used.code}: {used.lines[-1:]}")
    totals = json.loads(used.lines[-1])["totals"]
    delivered, doubt = totals["delivered"], totals["in_doubt"]
    accepted = killed.accepted + counts.recipients
    if delivered + doubt != job.recipients or not delivered <= accepted <= job.recipients:
        raise senders.Wrong(f"{accepted} were accepted; bulkmail says {totals}")
    return {"accepted after": counts.recipients, "in doubt": doubt}


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """That command with all its processes in a group, killed at the end of the block."""
    with rig.on(rig.client_core()):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **senders.SECRETS},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
