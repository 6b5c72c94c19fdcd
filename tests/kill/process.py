"""One runner as a process: forked, listened to, killed at its moment.

The child executes the real command line. What it says on standard output and what the receiving side accepts
are the two clocks by which a moment is set; the third is time. No thread and no loop may run in the parent.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from bulkmail import cli
from bulkmail.journal import CampaignLock
from tests.kill.receiver import Receiver
from tests.kill.scenario import Moment, Victim

PATIENCE_S = 120.0  # for one run; the slowest takes a few seconds
LOOK_S = 0.001  # between looks whether the journal is there
JOURNAL = Path(".bulkmail", "killed.journal")
STDERR = "stderr.txt"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: by which signal, or with which exit code. `lost`: a worker of it was killed."""

    signal: int
    code: int
    lost: bool = False

    @property
    def killed(self) -> bool:
        return self.signal == signal.SIGKILL


def run(words: list[str], name: str, moment: Moment | None, receiver: Receiver, folder: Path) -> Ended:
    """`bulkmail WORDS`, under `name` in EHLO, killed at `moment` unless it ends before.

    Raises TimeoutError where it does neither; then every task of it has written to `stderr.txt` where it
    waits.
    """
    receiver.drain()
    events, written = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _become(words, name, written, folder / STDERR)
    os.close(written)
    try:
        what = _watch(pid, events, moment, receiver, folder / JOURNAL)
    finally:
        os.close(events)
        _, status = os.waitpid(pid, 0)
    if what == "late":
        raise TimeoutError(f"a run did not end within {PATIENCE_S:.0f} seconds")
    _all_gone(folder / JOURNAL)
    if os.WIFSIGNALED(status):
        return Ended(os.WTERMSIG(status), -1)
    return Ended(0, os.waitstatus_to_exitcode(status), lost=what == "lost")


def _all_gone(journal: Path) -> None:
    """Return when nobody holds the campaign any more: workers end after their parent. TimeoutError."""
    give_up = time.monotonic() + PATIENCE_S
    while CampaignLock.holder(journal) is not None:
        if time.monotonic() > give_up:
            raise TimeoutError(f"the campaign was held for {PATIENCE_S:.0f} seconds after the end of the run")
        time.sleep(LOOK_S)


def _kill(pid: int, victim: Victim, *, sending: bool) -> bool:
    """Kill all of the run, its parent alone, or a worker; True: the run goes on without that one."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if sending else []
    workers = [int(child) for child in children]
    if victim == "worker" and workers:
        os.kill(workers[0], signal.SIGKILL)
        return True
    for one in (pid, *(workers if victim == "all" else ())):
        with suppress(ProcessLookupError):  # a worker that has just been let go
            os.kill(one, signal.SIGKILL)
    return False


def _watch(pid: int, events: int, moment: Moment | None, receiver: Receiver, journal: Path) -> str:
    """Listen until the runner ends, or kill it at `moment`. "lost": a worker of it; "late": it had to be."""
    what = ""
    give_up = time.monotonic() + PATIENCE_S
    since = time.monotonic() if moment is not None and moment.event == "fork" else None
    warnings = list(moment.warnings) if moment is not None else []
    heard, accepted = b"", 0
    while True:
        now = time.monotonic()
        wake = give_up
        if moment is not None and since is not None:
            if warnings and now >= since + moment.delay_s / 2:
                os.kill(pid, signal.Signals[warnings.pop(0)])
            if now >= since + moment.delay_s:
                if not _kill(pid, moment.victim, sending=_event("started") in heard):
                    return what
                what, moment = "lost", None
                continue
            wake = since + moment.delay_s / (2 if warnings else 1)
        if now >= give_up:
            os.kill(pid, signal.SIGUSR1)
            time.sleep(1.0)  # to say where it hangs
            _kill(pid, "all", sending=True)
            return "late"
        if moment is not None and since is None and moment.event == "journal":
            since = now if journal.exists() else None
            wake = now + LOOK_S
        ready, _, _ = select.select([events, receiver.told], [], [], max(0.0, min(wake, give_up) - now))
        if events in ready:
            data = os.read(events, 65536)
            if not data:
                return what  # it has ended: nobody else writes there
            heard += data
        if receiver.told in ready:
            accepted += receiver.drain()
        if moment is not None and since is None and moment.event != "journal":
            happened = accepted if moment.event == "accepted" else heard.count(_event(moment.event))
            if happened >= moment.count:
                since = time.monotonic()


def _event(name: str) -> bytes:
    return f'"event": "{name}"'.encode()


def _become(words: list[str], name: str, out: int, errors: Path) -> None:
    """In the child: be the command line, and never return."""
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        if out > 2:
            os.close(out)
        os.environ |= {"EHLO": name, "BULKMAIL_TRACEBACK": "1"}
        signal.signal(signal.SIGUSR1, _say_where)
        code = cli.exit_code(words)
        sys.stdout.flush()
    except KeyboardInterrupt:  # before the command line has begun, or when it has ended
        code = 130
    finally:
        os._exit(code)


def _say_where(number: int, frame: object) -> None:
    """Every task with the lines it waits at, on standard error."""
    tasks = [trio.lowlevel.current_root_task()]
    for task in filter(None, tasks):
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        frames = [f"{f.f_code.co_filename.rpartition('/')[2]}:{line}" for f, line in task.iter_await_frames()]
        if "_router" not in task.name:  # dozens of them
            print(f"{task.name}: {' < '.join(reversed(frames))}", file=sys.stderr, flush=True)
