"""What relaying through a mail server has in common: start it, fill its queue, let it go, see it done.

Everything is submitted first, and only then may the server deliver: `seconds` and `cpu_s` are of the delivery
alone, the kindest way to count. `submit_s` says what filling the queue took. The server's own log tells when
everybody was delivered; a deferral or a bounce there is an error.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .by_hand import letters, writer
from .job import Job, Sent
from .material import REVERSE_PATH, address

PER_SUBMISSION = 1000  # recipients of one submitted message, where all get the same: what servers take
SUBMITTERS = 8
GREETS_WITHIN_S = 30.0
IDLE_S = 60.0  # without another delivery: then it is stuck
PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder that every user may enter, because servers drop their privileges."""
    folder = Path(tempfile.mkdtemp(prefix="bulkmail-peer-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[object], environment: dict[str, str], port: int) -> Iterator[int]:
    """Run the server until the block ends, which begins when it listens; the block gets its process id.

    Orphans of the server become our children, so that their CPU is counted and none is left behind.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment,
        )
        try:
            deadline = time.monotonic() + GREETS_WITHIN_S
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise RuntimeError(f"does not start: {said.read().decode(errors='replace').strip()}")
                time.sleep(0.02)
            yield process.pid
        finally:
            process.terminate()
            process.wait()
            _end_descendants()


def submit(job: Job, port: int) -> float:
    """Fill the queue by SMTP; the seconds that took. It is unsigned: the server signs, if it can."""
    per_message = PER_SUBMISSION if job.scenario == "shared" else 1
    letter = letters(job) if job.scenario == "shared" else writer(None)
    starts = iter(range(0, job.recipients, per_message))

    def session() -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="peer.example") as client:
            for first in starts:
                last = min(first + per_message, job.recipients)
                to = [address(number) for number in range(first, last)]
                if client.sendmail(REVERSE_PATH, to, letter(first), ["BODY=8BITMIME"]):
                    raise RuntimeError("a recipient was refused at submission")

    began = time.perf_counter()
    with ThreadPoolExecutor(SUBMITTERS) as threads:
        for session_ in [threads.submit(session) for _ in range(SUBMITTERS)]:
            session_.result()
    return time.perf_counter() - began


def deliver(job: Job, log: Path, release: Callable[[], None], read: Callable[[str], tuple[int, str]]) -> Sent:
    """Let the server go and wait until `log` says that everybody was delivered.

    `read` counts deliveries in a piece of the log, whole lines, and names the first that was none.
    """
    start = log.stat().st_size if log.exists() else 0
    delivered, rest = 0, ""
    cpu, began = _cpu_s(), time.perf_counter()
    release()
    last = began
    while delivered < job.recipients:
        time.sleep(0.02)
        _reap()
        if log.exists():
            with log.open(errors="replace", newline="") as file:
                file.seek(start)
                piece = file.read()
                start = file.tell()
            lines, newline, rest = (rest + piece).rpartition("\n")
            count, failed = read(lines + newline)
            if failed:
                raise RuntimeError(f"not delivered: {failed.strip()}")
            delivered += count
            last = time.perf_counter() if count else last
        if time.perf_counter() - last > IDLE_S:
            raise RuntimeError(f"stopped after {delivered} of {job.recipients} recipients")
    return Sent(job.messages, delivered, last - began, _cpu_s() - cpu, {})


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _processes() -> dict[int, tuple[int, float]]:
    """Parent and CPU seconds (with those of its reaped children) of every process, by its id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / TICKS
    return found


def _descendants(processes: dict[int, tuple[int, float]]) -> set[int]:
    known, size = {os.getpid()}, 0
    while len(known) > size:
        size = len(known)
        known |= {number for number, (parent, _) in processes.items() if parent in known}
    return known - {os.getpid()}


def _cpu_s() -> float:
    """CPU seconds of all that we started until now, without our own."""
    ended = os.times()
    processes = _processes()
    alive = sum(processes[number][1] for number in _descendants(processes))
    return ended.children_user + ended.children_system + alive


def _reap() -> None:
    """Collect what has ended, so that thousands of orphans do not wait for it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _end_descendants() -> None:
    """End what the server left running, by id, until there is nothing."""
    while left := _descendants(_processes()):
        for number in left:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        _reap()
        time.sleep(0.01)
