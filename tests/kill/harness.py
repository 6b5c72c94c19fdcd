"""Kills the runner everywhere, resumes, and holds journal and receiving side to the law (J1, J2, J3).

    python -m tests.kill.harness --kills 10000 --results FILE     goes on where it was interrupted
    python -m tests.kill.harness calls/plain/0/17 …               these cases (cases.py says what they are)
    python -m tests.kill.harness --every calls/plain/0            all of them, until nothing more is hit

Each runner is forked from this process, which has imported everything and has neither threads nor a loop, so
that a runner costs milliseconds instead of half a second; it executes the real command line. What a run does
and when varies with the speed of the machine; the law holds whatever it was, so the verdict does not.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bulkmail.campaign import config
from bulkmail.campaign.compose import compose
from bulkmail.journal import Store
from tests.kill.audit import Broken
from tests.kill.cases import Case, case, drawn
from tests.kill.killing import Killing
from tests.kill.orders import Ordered
from tests.kill.process import STDERR
from tests.kill.scenario import small
from tests.kill.shim import with_shim
from tests.kill.tally import Tally

ON_USE = (  # what the command line imports only when it is used
    "bulkmail.campaign.prepare",
    "bulkmail.campaign.runner",
    "bulkmail.campaign.workers.crew",
    "bulkmail.campaign.workers.parent",
    "bulkmail.cli.resolve",
    "bulkmail.cli.run",
    "bulkmail.cli.screen",
    "bulkmail.sandbox.authority",
    "bulkmail.sandbox.serve",
)
PR_SET_PDEATHSIG = 1
STORY = 24  # lines of it that are told
# What would be on a disk is known to the shim: there is nothing to be learned from waiting for a real one.
PLACE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def warm() -> None:
    """Everything a runner imports is imported, once for all of them."""
    for module in ON_USE:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:  # the schema of campaign files is built when one is read
        os.environ.setdefault("EHLO", "warm.test")
        file = small("shared", "0").write(Path(folder), "127.0.0.1:53", 25)
        compose(config.load(file, environ=os.environ), date=datetime.now(UTC))
        Store.create(Path(folder, "journal"), {}).close()
    gc.collect()
    gc.freeze()  # so that a child's collector does not copy the parent's pages


def attempt(one: Case, *, keep: bool) -> tuple[Tally, bool, str]:
    """Its tally, whether the last blow fell, and how the law was broken ("" where it was not)."""
    folder = Path(tempfile.mkdtemp(prefix="bulkmail-kill-", dir=PLACE))
    tally = Tally()
    if one.order is not None:
        killing: Killing = Ordered(one.scenario, one.order, folder, tally)
    else:
        killing = Killing(one.scenario, one.blows, folder, tally, cut=one.cut)
    try:
        killing.run()
    except Broken as broken:
        return tally, killing.reached, _told(broken, one, killing)
    if not keep:
        shutil.rmtree(folder)
    return tally, killing.reached, ""


def _told(broken: Broken, one: Case, killing: Killing) -> str:
    scenario = killing.scenario
    lines = [
        f"THE LAW IS BROKEN: {broken}",
        f"  case {one.name}: {scenario.content} content, on_doubt {scenario.on_doubt}, "
        f"{scenario.workers} workers, {len(scenario.people)} recipients, {len(scenario.sites)} sites"
        + (f", cut {one.cut}" if one.cut else ""),
        *(f"  {line}" for line in killing.story[-STORY:]),
    ]
    errors = killing.folder / STDERR
    if errors.exists():
        lines += [f"  {line}" for line in errors.read_text(errors="replace").splitlines()[-30:]]
    lines.append(f"  journal and received mail: {killing.folder}")
    lines.append(f"  again: python -m tests.kill.harness {one.name}")
    return "\n".join(lines)


def add(to: Tally, more: Tally) -> None:
    for field in fields(Tally):
        one, other = getattr(to, field.name), getattr(more, field.name)
        if field.name == "most":
            setattr(to, field.name, max(one, other))
        else:
            setattr(to, field.name, one + other)


# --- many -------------------------------------------------------------------------------------------------


class Every(Iterator[str]):
    """The names of an enumeration, until so many in a row have hit nothing any more.

    How many calls a run makes varies a little with its speed, so that one miss is not the end of all.
    """

    def __init__(self, prefix: str, begin: int, step: int, most: int, misses: int) -> None:
        self._names = (f"{prefix}/{number}" for number in range(begin, most + 1, step))
        self._most = misses
        self._missed = 0

    def __next__(self) -> str:
        if self._missed >= self._most:
            raise StopIteration
        return next(self._names)

    def came_of_it(self, *, hit: bool) -> None:
        """Whether the last one has hit anything."""
        self._missed = 0 if hit else self._missed + 1


def go(
    names: Iterator[str], results: Path | None, *, keep: bool, stop: bool, until: int | None
) -> tuple[Tally, int]:
    """Try them in turn, and how many broke the law. What is in `results` is counted and not tried again."""
    total, failures = Tally(), 0
    known: dict[str, tuple[Tally, bool]] = {}
    if results is not None and results.exists():
        for line in results.read_text().splitlines():
            entry: dict[str, Any] = json.loads(line)
            name, hit = entry.pop("case"), entry.pop("hit", True)
            known[name] = _tally(entry), hit
    while (until is None or total.kills < until) and not (stop and failures):
        name = next(names, None)
        if name is None:
            break
        tally, hit, broken = (*known[name], "") if name in known else attempt(case(name), keep=keep)
        add(total, tally)
        if isinstance(names, Every):
            names.came_of_it(hit=hit)
        if broken:
            failures += 1
            print(broken, flush=True)
        elif results is not None and name not in known:
            with results.open("a") as file:
                file.write(json.dumps({"case": name, "hit": hit, **_plain(tally)}) + "\n")
    return total, failures


def _plain(tally: Tally) -> dict[str, Any]:
    return {field.name: getattr(tally, field.name) for field in fields(Tally)}


def _tally(entry: dict[str, Any]) -> Tally:
    counters = {key: Counter(entry[key]) for key in ("where", "struck", "exits")}
    return Tally(**{**entry, **counters, "most": tuple(entry["most"])})


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the runner everywhere and resume.")
    parser.add_argument("cases", nargs="*", help="names of cases")
    parser.add_argument(
        "--every", action="append", default=[], metavar="PREFIX", help="such as calls/plain/0"
    )
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every N-th of them, from the K-th")
    parser.add_argument("--most", type=int, default=100_000, help="the last one of an enumeration")
    parser.add_argument("--misses", type=int, default=1, help="in a row that end an enumeration")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, help="so many, of cases of all kinds")
    parser.add_argument("--results", type=Path, help="where what is done is kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--stop", action="store_true", help="at the first case that breaks the law")
    parser.add_argument("--keep", action="store_true", help="leave the campaigns' folders")
    options = parser.parse_args()
    with_shim()
    warm()
    began = time.monotonic()
    workers = [_fork(options, number) for number in range(options.jobs)]
    total, broken = Tally(), 0
    for pid, pipe in workers:
        with open(pipe, encoding="utf-8") as told:
            said = told.read()
        _, status = os.waitpid(pid, 0)
        if status or not said:
            broken += 1
            continue
        entry = json.loads(said)
        broken += entry.pop("broken")
        add(total, _tally(entry))
    seconds = round(time.monotonic() - began, 1)
    cpu = round(sum(os.times()[:4]), 1)
    print(json.dumps({**_plain(total), "broken": broken, "seconds": seconds, "cpu": cpu}), flush=True)
    return 1 if broken else 0


def _fork(options: argparse.Namespace, number: int) -> tuple[int, int]:
    """One of the processes that share the cases; what it has to tell comes out of the pipe."""
    heard, told = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(told)
        return pid, heard
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # it does not outlive the first one
        total, broken = _share(options, number)
        os.write(told, json.dumps({**_plain(total), "broken": broken}).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _share(options: argparse.Namespace, number: int) -> tuple[Tally, int]:
    """What the `number`th of the processes has to do."""
    part, parts = map(int, options.part.split("/"))
    first, step = part + number * parts, parts * options.jobs
    runs: list[Iterator[str]] = [
        Every(prefix, first, step, options.most, options.misses) for prefix in options.every
    ]
    runs.append(itertools.islice(options.cases, number, None, options.jobs))
    kills = None
    if options.kills is not None:
        kills = -(-options.kills // options.jobs)
        runs.append(itertools.islice(drawn(options.seed), number, None, options.jobs))
    total, broken = Tally(), 0
    for names in runs:
        tally, failed = go(names, options.results, keep=options.keep, stop=options.stop, until=kills)
        add(total, tally)
        broken += failed
    return total, broken


if __name__ == "__main__":
    sys.exit(main())
