"""One run of the real command, watched from outside: its events, its clock, its processor time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bulkmail.bench.sandbox import Counted, Sandbox
from bulkmail.errors import BulkmailError

LONGEST_S = 120  # of delivery; then the run is stopped, and what it did until then counts
PATIENCE_S = 30.0  # for a run that was asked to end


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. `cpu_s`: of delivery, of all its processes; `latency_ms`: of replies to the end of data."""

    recipients: int  # delivered
    undelivered: int
    messages: int  # transactions
    start_s: float  # from the start of the process to the first transaction: the list is planned in it
    seconds: float  # from there on
    cpu_s: float
    peak_mb: float  # of its largest process
    latency_ms: Mapping[str, float] | None
    sandbox_share: float | None  # of a processor, that the sandbox took meanwhile


def run(campaign: Path, *, workers: str | None, sandbox: Sandbox | None) -> Sample:
    """Run it to its end. BulkmailError: it failed, delivered to nobody, or the sandbox counted otherwise."""
    command = [sys.executable, "-m", "bulkmail", "run", str(campaign), "--new", "--yes", "--json"]
    command += ["--until", f"{LONGEST_S}s", *(("--workers", workers) if workers else ())]
    errors = campaign.with_name("errors")
    began = time.monotonic()
    start_s = cpu_before = 0.0
    before: Counted | None = None
    last: dict[str, Any] = {}
    held = ""  # why the sink was left alone, the last time
    with errors.open("wb") as stderr, _started(command, stderr) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = json.loads(line)
            if last["event"] == "started":
                start_s, cpu_before = time.monotonic() - began, cpu_of(process.pid)
                before = sandbox.counted() if sandbox is not None else None
            elif last["event"] == "site":
                held = f": {last['reason']}"
        after = sandbox.counted() if sandbox is not None else None
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if last.get("event") != "finished" or process.returncode not in (0, 4, 5):
        raise BulkmailError(f"the run failed: {last.get('reason') or _why(errors)}")
    if not last["totals"]["delivered"]:
        raise BulkmailError(f"nobody was delivered to{held}")
    sample = Sample(
        recipients=last["totals"]["delivered"],
        undelivered=last["totals"]["source"] - last["totals"]["delivered"],
        messages=last["transactions"],
        start_s=start_s,
        seconds=last["seconds"],
        cpu_s=usage.ru_utime + usage.ru_stime - cpu_before,
        peak_mb=usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024),
        latency_ms=last.get("latency_ms"),
        sandbox_share=(after.cpu_s - before.cpu_s) / last["seconds"] if before and after else None,
    )
    if after is not None:
        _agree(sample, after)
    return sample


def cpu_of(pid: int) -> float:
    """Processor seconds of a living process and its children that have ended; 0 where nobody tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _agree(sample: Sample, counted: Counted) -> None:
    """What arrived is counted before a rate is told."""
    if not counted.recipients == counted.copies == sample.recipients:
        raise BulkmailError(
            f"the journal has {sample.recipients:,} delivered, the sandbox {counted.recipients:,} copies "
            f"for {counted.copies:,} recipients"
        )


@contextmanager
def _started(command: list[str], stderr: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    """Behind the block the process is gone: asked first, so that what it has open comes to an end."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _why(errors: Path) -> str:
    told = errors.read_text("utf-8", "replace").strip().splitlines()
    return told[-1] if told else "it did not say why"
