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
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import trio

from bulkmail import cli
from bulkmail.journal import CampaignLock
from tests.kill.asker import Asker
from tests.kill.receiver import Receiver
from tests.kill.scenario import Moment
from tests.kill.shim import Control, How, Strike
from tests.kill.steps import Step, kill

PATIENCE_S = 120.0  # for one run; the slowest takes a few seconds
LOOK_S = 0.001  # between looks whether the journal is there
JOURNAL = Path(".bulkmail", "killed.journal")
STDERR = "stderr.txt"


@dataclass(frozen=True, slots=True)
class Two:
    """Another run of the campaign is started so long after the first."""

    delay_s: float


Blow = Moment | Strike | Step | Two


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: by which signal, or with which exit code. `lost`: a worker of it was killed."""

    signal: int
    code: int
    lost: bool = False

    @property
    def killed(self) -> bool:
        return self.signal == signal.SIGKILL


def run(
    words: list[str],
    name: str,
    blow: Blow | None,
    receiver: Receiver,
    folder: Path,
    control: Control | None = None,
    asker: Asker | None = None,
) -> Ended:
    """`bulkmail WORDS`, under `name` in EHLO, and what the `blow` does to it unless it ends before.

    `folder`: of the campaign; beside it is what it says. A Strike needs a `control` that was made for it.
    Raises TimeoutError where the run hangs; then every task of it has written to `stderr.txt` where it waits.
    """
    receiver.drain()
    started = start(words, name, folder, control)
    receiver.arm(started.pid, blow if isinstance(blow, Step) else None)
    started.go()
    moment = blow if isinstance(blow, Moment) else None
    try:
        what = _watch(started.pid, started.events, moment, receiver, folder / JOURNAL, asker)
    finally:
        status = started.over()
    if what == "late":
        raise TimeoutError(f"a run did not end within {PATIENCE_S:.0f} seconds")
    _all_gone(folder / JOURNAL)
    if os.WIFSIGNALED(status):
        return Ended(os.WTERMSIG(status), -1)
    lost = what == "lost"
    if isinstance(blow, Step):
        lost = bool(receiver.steps()[1].get("lost"))
    elif isinstance(blow, Strike):
        lost = control is not None and control.struck and blow.how in (How.BEFORE, How.AFTER, How.TORN)
    return Ended(0, os.waitstatus_to_exitcode(status), lost)


def two(
    words: list[str], names: tuple[str, str], delay_s: float, folder: Path
) -> list[tuple[int, Ended, str]]:
    """Two runs of one campaign: of each its process id, how it ended and what it said on standard error."""
    started = [start(words, name, folder, errors=folder.parent / f"{name}.txt") for name in names]
    for one in started:
        one.go()
        time.sleep(delay_s)
    found = []
    for one, name in zip(started, names, strict=True):
        while os.read(one.events, 65536):
            pass
        status = one.over()
        said = (folder.parent / f"{name}.txt").read_text(errors="replace")
        found.append((one.pid, Ended(0, os.waitstatus_to_exitcode(status)), said))
    return found


def run_alone(words: list[str], name: str, folder: Path) -> int:
    """The exit code of a verb that nothing befalls, while a run goes on."""
    started = start(words, name, folder, errors=folder.parent / "verb.txt")
    started.go()
    while os.read(started.events, 65536):
        pass
    return os.waitstatus_to_exitcode(started.over())


class Started:
    """A runner that waits for the word to go."""

    def __init__(self, pid: int, events: int, word: int) -> None:
        self.pid = pid
        self.events = events  # what it says on standard output; ends with it
        self._word = word

    def go(self) -> None:
        os.write(self._word, b".")
        os.close(self._word)

    def over(self) -> int:
        """Its status, when it has ended."""
        os.close(self.events)
        return os.waitpid(self.pid, 0)[1]


def start(
    words: list[str], name: str, folder: Path, control: Control | None = None, *, errors: Path | None = None
) -> Started:
    """Fork a runner, which does nothing yet."""
    events, written = os.pipe()
    heard, word = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(word)
        os.close(events)
        _become(words, name, written, errors or folder.parent / STDERR, heard, control)
    os.close(written)
    os.close(heard)
    return Started(pid, events, word)


def _all_gone(journal: Path) -> None:
    """Return when nobody holds the campaign any more: workers end after their parent. TimeoutError."""
    give_up = time.monotonic() + PATIENCE_S
    while CampaignLock.holder(journal) is not None:
        if time.monotonic() > give_up:
            raise TimeoutError(f"the campaign was held for {PATIENCE_S:.0f} seconds after the end of the run")
        time.sleep(LOOK_S)


def _watch(
    pid: int, events: int, moment: Moment | None, receiver: Receiver, journal: Path, asker: Asker | None
) -> str:
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
                # before the start a child is no worker
                if not kill(pid, moment.victim if _event("started") in heard else "parent"):
                    return what
                what, moment = "lost", None
                continue
            wake = since + moment.delay_s / (2 if warnings else 1)
        if now >= give_up:
            os.kill(pid, signal.SIGUSR1)
            time.sleep(1.0)  # to say where it hangs
            kill(pid, "all")
            return "late"
        if moment is not None and since is None and moment.event == "journal":
            since = now if journal.exists() else None
            wake = now + LOOK_S
        heeded = asker.listens_to if asker is not None else []
        ready, _, _ = select.select(
            [events, receiver.told, *heeded], [], [], max(0.0, min(wake, give_up) - now)
        )
        if asker is not None and any(one in ready for one in heeded):
            asker.hear()
        if events in ready:
            data = os.read(events, 65536)
            if not data:
                return what  # it has ended: nobody else writes there
            heard += data
        if receiver.told in ready:
            accepted += receiver.drain()
            if asker is not None:
                asker.accepted(accepted)
        if moment is not None and since is None and moment.event != "journal":
            happened = accepted if moment.event == "accepted" else heard.count(_event(moment.event))
            if happened >= moment.count:
                since = time.monotonic()


def _event(name: str) -> bytes:
    return f'"event": "{name}"'.encode()


def _become(
    words: list[str], name: str, out: int, errors: Path, heard: int, control: Control | None
) -> NoReturn:
    """In the child: be the command line, and never return."""
    code = 70
    try:
        os.setpgid(0, 0)  # so that it can be killed with its workers, and nobody else
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        if out > 2:
            os.close(out)
        os.environ |= {"EHLO": name, "BULKMAIL_TRACEBACK": "1"}
        signal.signal(signal.SIGUSR1, _say_where)
        os.read(heard, 1)
        os.close(heard)
        if control is not None:
            control.arm()
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
