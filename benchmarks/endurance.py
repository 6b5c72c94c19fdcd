"""A long run: `python benchmarks/endurance.py --minutes 60`. Does anything leak, is anybody unaccounted for?

Campaign follows campaign, each with all faults that the sandbox knows at once (`misery.py`), in turn through
one process that lives as long as the run (the library, in one event loop, now and then with a Ctrl-C, and
resumed), and through `bulkmail run` in processes of its own, with one worker or two, killed by SIGKILL at
some moment and resumed. After each the receiving side's ledger is compared with the journal, recipient by
recipient: exactly one copy for who is delivered, at most one for who is in doubt, none for anybody else.

After each campaign the long-lived process says what it has: memory (RSS, and USS, which is its own alone),
descriptors, tasks, threads, objects that Python's collector knows. The verdict is about these after the
warm-up: the median of the last third against that of the first third. Exit code 0: nothing leaks and
everybody is accounted for; 1: not so, and the table says what.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import misery
import rig

WARM_UP = 0.2  # of the campaigns in one process, at least
WARM_UPS = 3
GROWTH, GROWTH_MB = 1.05, 3.0  # of memory from the first third to the last; less of both is no leak
OBJECTS = 1.05
SEND_S = 180.0  # for one run
MARATHON = Path(__file__).with_name("marathon.py")


@dataclass
class Course:
    """What was seen until now."""

    campaigns: int = 0
    by_command: int = 0
    runs: int = 0
    kills: int = 0
    signals: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    per_recipient: list[float] = field(default_factory=list)  # octets of journal
    seen: list[dict[str, int]] = field(default_factory=list)  # what the long-lived process had
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--campaigns", type=int, help="so many at most")
    parser.add_argument("--command-every", type=int, default=3, help="campaigns go through the command line")
    parser.add_argument("--scale", type=float, default=1.0, help="of a campaign's size")
    parser.add_argument("--json", action="store_true", help="only the JSON, without the table")
    parser.add_argument("--output", type=Path, help="a folder for the table and the JSON")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    course, began = Course(), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(MARATHON)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        while time.monotonic() - began < given.minutes * 60 and course.campaigns != given.campaigns:
            one(course, process, given)
            if course.wrong:
                break
    finally:
        process.kill()
        process.communicate()
    return tell(course, given, time.monotonic() - began)


def one(course: Course, process: subprocess.Popen[str], given: argparse.Namespace) -> None:
    """The next campaign, from its list to its account. Where that is wrong its folder is kept."""
    number, seed, every = course.campaigns, given.seed, given.command_every
    folder = Path(tempfile.mkdtemp(prefix=f"endurance-{number}-"))
    campaign = misery.drawn(seed, number, folder, scale=given.scale)
    rng = random.Random(f"{seed}/{number}/operator")
    try:
        with misery.served(campaign) as (resolver, port):
            misery.write(campaign, resolver, port, seed)
            if number % every == every - 1:
                course.by_command += 1
                by_command(course, campaign, rng)
            else:
                in_process(course, process, campaign, rng)
        found = misery.accounted(campaign)
    except (misery.Unaccounted, RuntimeError, OSError, subprocess.TimeoutExpired) as reason:
        course.wrong.append(f"campaign {number} (seed {seed}), {folder}: {type(reason).__name__}: {reason}")
        print(course.wrong[-1], file=sys.stderr)
        return
    course.campaigns += 1
    course.per_recipient.append(found.pop("journal octets") / found["recipients"])
    course.totals.update(found)
    now = f", {course.seen[-1]}" if course.seen else ""
    print(f"campaign {number}: {found['recipients']} recipients{now}", file=sys.stderr)
    shutil.rmtree(folder)


def in_process(
    course: Course, process: subprocess.Popen[str], campaign: misery.Campaign, rng: random.Random
) -> None:
    """Through the process that lives on. Raises RuntimeError."""
    assert process.stdin is not None
    assert process.stdout is not None
    after_s = [rng.uniform(0.05, 6.0) for _ in range(rng.choice((0, 0, 1, 2)))]
    print(json.dumps({"file": str(campaign.file), "signals": after_s}), file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the long-lived process ended with {process.wait()}")
    said = json.loads(line)
    course.runs += said.pop("runs")
    course.signals += said.pop("signals")
    course.seen.append(said)


def by_command(course: Course, campaign: misery.Campaign, rng: random.Random) -> None:
    """Through `bulkmail run`, killed once or twice or not at all, and resumed. Raises RuntimeError."""
    command = [sys.executable, "-m", "bulkmail", "run", str(campaign.file), "--new", "--yes", "--json"]
    command += ["--workers", str(campaign.workers)]
    for left in range(rng.choice((0, 1, 2)), -1, -1):
        course.runs += 1
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                process.wait(rng.uniform(0.5, 6.0) if left else SEND_S)
                break
            except subprocess.TimeoutExpired:
                if not left:
                    raise
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        course.kills += 1
        while any(member(process.pid)):  # workers, who have the campaign's lock
            time.sleep(0.01)
    if process.returncode not in (0, 4):
        raise RuntimeError(f"`bulkmail run` ended with {process.returncode}")


def member(group: int) -> Sequence[bool]:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return ()
    return (True,)


# ---- the verdict ----


def tell(course: Course, given: argparse.Namespace, seconds: float) -> int:
    warm = course.seen[max(WARM_UPS, int(len(course.seen) * WARM_UP)) :]
    third = len(warm) // 3
    rows: list[dict[str, object]] = []
    for what, leaks in (
        ("rss", by_memory),
        ("uss", by_memory),
        ("descriptors", by_count),
        ("tasks", by_count),
        ("threads", by_count),
        ("objects", by_objects),
    ):
        if not third:
            break
        first = statistics.median(each[what] for each in warm[:third])
        last = statistics.median(each[what] for each in warm[-third:])
        most = max(each[what] for each in warm)
        leak = leaks(first, last)
        rows.append({"what": what, "first third": first, "last third": last, "most": most, "leaks": leak})
        if leak:
            course.wrong.append(f"{what}: {first:g} in the first third, {last:g} in the last")
    summary: dict[str, Any] = {
        "minutes": round(seconds / 60, 1),
        "campaigns": course.campaigns,
        "of them by command": course.by_command,
        "runs": course.runs,
        "SIGKILL": course.kills,
        "Ctrl-C": course.signals,
        **course.totals,
        "journal octets a recipient": round(statistics.median(course.per_recipient or [0])),
        "most": round(max(course.per_recipient, default=0)),
        "warm-up campaigns": len(course.seen) - len(warm),
    }
    verdict = "; ".join(course.wrong) or ("too few campaigns for a trend" if not third else "no leaks")
    told = {"summary": summary, "trend": rows, "verdict": verdict, "machine": rig.machine()}
    text = f"{rig.table([summary])}\n\n{rig.table(rows)}\n\n{verdict}\n"
    if not given.json:
        print(f"endurance\n\n{text}", file=sys.stderr)
    print(json.dumps({"benchmark": "endurance", **told, "seen": course.seen}))
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / "endurance.md").write_text(f"## endurance\n\n{text}", "utf-8")
        (given.output / "endurance.json").write_text(json.dumps(told) + "\n", "utf-8")
    return 1 if course.wrong else 0


def by_memory(first: float, last: float) -> bool:
    return last > first * GROWTH and last - first > GROWTH_MB * 1e6


def by_count(first: float, last: float) -> bool:
    return last > first


def by_objects(first: float, last: float) -> bool:
    return last > first * OBJECTS


if __name__ == "__main__":
    sys.exit(main())
