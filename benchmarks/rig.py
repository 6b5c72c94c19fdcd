"""What all benchmarks share: cores, processes that are measured, rounds, the machine, and tables.

Who sends runs on one core and the sink on another; what is compared runs in turn, round after round, so that
a slow minute of the machine hits all alike; a small run of each before that warms up and is not counted. Of
each figure the median is told, with the lowest and the highest. See senders.py for what is sent.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import select
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import sink

CHECKOUT = Path(__file__).resolve().parents[1]
LIBRARIES = ("trio", "cryptography", "apsw", "jinja2", "dnspython")
SAMPLE_S = 0.1  # between two looks at the memory of several processes
STOP_S = 10.0  # for a command to end when the benchmark is broken off

Result = TypeVar("Result")

# ---- cores ----


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def client_core() -> set[int]:
    return {cores()[0]}


def sink_core() -> set[int]:
    """The last one; where there is but one, both share it, and no rate is worth much."""
    return {cores()[-1]}


@contextmanager
def on(chosen: set[int] | None) -> Iterator[None]:
    """What is started in the block runs on these cores, from its first instruction on."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def sinking(**options: Any) -> Iterator[sink.Sink]:
    """A sink on its core; the options are those of `sink.running`."""
    with sink.running(**options) as mx:
        os.sched_setaffinity(mx.pid, sink_core())
        yield mx


# ---- processes ----


@dataclass(frozen=True)
class Used:
    """A command that has ended: its exit code, its standard output, and what it and its children took."""

    code: int
    lines: list[str]
    seconds: float
    cpu_s: float  # user and system, of everybody it waited for too
    peak_mb: float  # 10^6 octets; of several processes the sum, where shared pages count once
    processes: int  # the most that there were at once


def run(
    command: Sequence[str | Path],
    *,
    pinned: set[int] | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Used:
    """Run it to its end. What it says on standard error is passed on."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        began = time.perf_counter()
        with on(pinned):
            process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )
        try:
            peak, most = sampled(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            try:
                process.wait(STOP_S)
            finally:
                process.kill()
            raise
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        lines = out.read().splitlines()
    # The kernel's figure is exact, unless it is that of this process, from which the other was forked.
    if not peak or usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        peak = max(peak, usage.ru_maxrss * 1024)
    return Used(process.returncode, lines, seconds, usage.ru_utime + usage.ru_stime, peak / 1e6, most)


def sampled(pid: int) -> tuple[int, int]:
    """Waits for its end; the highest memory (octets) of it with its children, and the most processes."""
    peak, most = 0, 1
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(SAMPLE_S * 1e3):
            family = [pid, *descendants(pid)]
            most = max(most, len(family))
            peak = max(peak, *(octets(each, "status", "VmHWM:") for each in family))  # the highest, until now
            if len(family) > 1:
                peak = max(peak, sum(octets(each, "smaps_rollup", "Pss:") for each in family))
    finally:
        os.close(descriptor)
    return peak, most


def descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it has just ended
            continue
        for child in map(int, children):
            yield child
            yield from descendants(child)


def octets(pid: int, file: str, what: str) -> int:
    """A figure in kB of that file in /proc, as octets; 0 where the process has just ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


# ---- rounds ----


class Spread(NamedTuple):
    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found))


def rounds(
    contenders: Mapping[str, Callable[[], Result]],
    *,
    repeats: int = 5,
    warm_ups: Mapping[str, Callable[[], object]] | None = None,
    fewer: Mapping[str, int] | None = None,
    within_s: float = float("inf"),
) -> dict[str, list[Result]]:
    """Everybody in turn, so many times; who begins changes with each round.

    Before that, everybody's `warm_ups`, small ones, which do not count. `fewer`: who stays away from later
    rounds. A round that would end later than `within_s`, if it takes as long as the longest, does not begin;
    but one is always counted.
    """
    results: dict[str, list[Result]] = {name: [] for name in contenders}
    began, longest = time.monotonic(), 0.0
    for name, warm_up in (warm_ups or {}).items():
        print(f"{name}: warm-up", file=sys.stderr)
        warm_up()
    for number in range(repeats):
        last = time.monotonic()
        if number and last - began + longest > within_s:
            print(f"{number} of {repeats} rounds: there is no time for more", file=sys.stderr)
            break
        names = [name for name in contenders if number < (fewer or {}).get(name, repeats)]
        first = number % max(1, len(names))
        for name in (*names[first:], *names[:first]):
            print(f"{name}: {number + 1} of {repeats}", file=sys.stderr)
            results[name].append(contenders[name]())
        longest = max(longest, time.monotonic() - last)
    return results


# ---- what is told ----


def machine() -> dict[str, str]:
    """Where and with what this was measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": processor(),
        "cores": f"{len(cores())} (who sends on {cores()[0]}, the sink on {cores()[-1]})",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION.removeprefix("OpenSSL ").split()[0],
        "bulkmail": " ".join(filter(None, (metadata.version("bulkmail"), commit()))),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def commit() -> str:
    """Of the checkout, with a + where it was changed since; nothing where there is none."""
    git = ["git", "-C", str(CHECKOUT)]
    try:
        found = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "bulkmail"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip() + ("+" if changed else "")


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """In Markdown, readable as it stands; the columns are those of the first row."""
    if not rows:
        return ""
    columns = list(rows[0])
    cells = [columns, *([shown(row.get(column)) for column in columns] for row in rows)]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(columns))]
    numbers = [any(type(row.get(column)) in (int, float, Spread) for row in rows) for column in columns]

    def line(values: Iterable[str]) -> str:
        padded = (
            value.rjust(width) if number else value.ljust(width)
            for value, width, number in zip(values, widths, numbers, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    ruler = [
        "-" * (width - 1) + ":" if number else "-" * width
        for width, number in zip(widths, numbers, strict=True)
    ]
    return "\n".join([line(columns), line(ruler), *map(line, cells[1:])])


def shown(value: object) -> str:
    """Three digits are enough of a measured number; a spread is its median and, behind it, its ends."""
    if isinstance(value, Spread):
        if value.low == value.high:
            return shown(value.median)
        return f"{shown(value.median)} ({shown(value.low)}–{shown(value.high)})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def publish(
    name: str, rows: Sequence[Mapping[str, object]], *, only_json: bool = False, folder: Path | None = None
) -> None:
    """The table on standard error, JSON on standard output; a folder gets them as `name`.md and .json."""
    told = machine()
    text = f"{table(rows)}\n\n{', '.join(f'{key} {value}' for key, value in told.items())}\n"
    measured = json.dumps({"benchmark": name, "machine": told, "results": [plain(row) for row in rows]})
    if not only_json:
        print(f"{name}\n\n{text}", file=sys.stderr)
    print(measured)
    if folder is not None:
        (folder / f"{name}.md").write_text(f"## {name}\n\n{text}", "utf-8")
        (folder / f"{name}.json").write_text(measured + "\n", "utf-8")


def plain(row: Mapping[str, object]) -> dict[str, object]:
    return {key: value._asdict() if isinstance(value, Spread) else value for key, value in row.items()}
