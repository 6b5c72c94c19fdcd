"""One runner for one campaign, however runners and their children end."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bulkmail.errors import CampaignLocked
from bulkmail.journal import CampaignLock

HOLD = """
import sys
from pathlib import Path
from bulkmail.journal import CampaignLock
CampaignLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""

# The parent takes the lock and starts a worker that only waits for its standard input to end.
HOLD_BY_CHILD = """
import subprocess, sys
from pathlib import Path
from bulkmail.journal import CampaignLock
CampaignLock(Path(sys.argv[1])).acquire()
worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], close_fds=False)
print("held", flush=True)
worker.wait()
"""


@contextmanager
def runner(program: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_a_second_runner_is_refused_and_told_of_the_first(path: Path) -> None:
    """J4."""
    with (
        runner(HOLD, path) as first,
        pytest.raises(CampaignLocked, match=rf"pid {first.pid} on \S+ since 20"),
    ):
        CampaignLock(path).acquire()


def test_who_only_looks_in_the_instant_of_a_start_does_not_stop_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J4: although the file still names one who was killed."""
    one = CampaignLock(path)
    one.path.parent.mkdir(parents=True, exist_ok=True)
    one.path.write_text("pid 99999 on gone since 2020-01-01\n")
    with one.path.open() as looks:
        fcntl.flock(looks, fcntl.LOCK_SH | fcntl.LOCK_NB)
        monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(looks, fcntl.LOCK_UN))
        one.acquire()
    assert one.held
    one.release()


def test_the_lock_of_a_killed_runner_is_free(path: Path) -> None:
    """J4."""
    with runner(HOLD, path) as first:
        first.kill()
        first.wait()
        with CampaignLock(path) as lock:
            assert lock.held


def test_the_lock_is_free_only_when_the_last_worker_is_gone(path: Path) -> None:
    """P5."""
    with runner(HOLD_BY_CHILD, path) as parent:
        parent.kill()
        parent.wait()
        with pytest.raises(CampaignLocked):
            CampaignLock(path).acquire()
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.close()
        assert parent.stdout.read() == ""  # the worker has its end of this pipe, and closes it by exiting
        wait_for_the_worker(path)
        with CampaignLock(path) as lock:
            assert lock.held


def wait_for_the_worker(path: Path) -> None:
    """The kernel closes a process's descriptors one after the other; block on the lock until all are."""
    import fcntl

    with open(CampaignLock(path).path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def test_a_released_lock_is_free_and_names_nobody(path: Path) -> None:
    with CampaignLock(path):
        assert str(os.getpid()) in (CampaignLock.holder(path) or "")
    assert CampaignLock.holder(path) is None
    with CampaignLock(path) as lock:
        assert lock.path.stat().st_mode & 0o777 == 0o600


def test_one_process_does_not_run_a_campaign_twice(path: Path) -> None:
    """J4."""
    with CampaignLock(path), pytest.raises(CampaignLocked, match="another run holds this campaign: pid"):
        CampaignLock(path).acquire()


def test_nobody_holds_a_campaign_that_was_never_run(path: Path) -> None:
    assert CampaignLock.holder(path) is None
