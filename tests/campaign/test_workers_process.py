"""Worker processes live as long as their parent and no longer; the lock is free when the last is gone."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from bulkmail.campaign.workers.channel import pair
from bulkmail.campaign.workers.process import UNKNOWN, Process, reap, reaped
from bulkmail.errors import CampaignLocked
from bulkmail.journal import CampaignLock

CHILD = Path(__file__).with_name("workers_child.py")


@dataclass
class Family:
    """`gone` returns when no process of it is left: the kernel wakes whoever waits for the lock."""

    parent: subprocess.Popen[str]
    workers: list[int]
    lock: Path

    def gone(self) -> None:
        with self.lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    @property
    def alive(self) -> list[bool]:
        return [Path(f"/proc/{pid}").exists() for pid in self.workers]


@contextmanager
def family(story: str, path: Path) -> Iterator[Family]:
    """A parent and two workers in a process group of their own; none is left behind."""
    command = [sys.executable, str(CHILD), story, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        found = Family(
            parent, [int(pid) for pid in parent.stdout.readline().split()], CampaignLock(path).path
        )
        try:
            yield found
        finally:
            parent.stdin.close()
            parent.kill()
            parent.wait()
            found.gone()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.journal"


def test_workers_end_when_the_parent_is_killed_alone_and_the_lock_is_free_then(path: Path) -> None:
    """P5."""
    with family("patient", path) as ours:
        with pytest.raises(CampaignLocked, match=f"pid {ours.parent.pid} "):
            CampaignLock(path).acquire()
        ours.parent.kill()
        ours.gone()
        with CampaignLock(path) as lock:
            assert lock.held


def test_a_worker_that_is_stuck_is_ended_by_the_kernel(path: Path) -> None:
    """P5: until then the lock is held, though the parent is gone."""
    with family("stuck", path) as ours:
        ours.parent.kill()
        ours.parent.wait()
        with pytest.raises(CampaignLocked):
            CampaignLock(path).acquire()
        ours.gone()
        with CampaignLock(path) as lock:
            assert lock.held


@pytest.mark.parametrize("story", ["patient", "ignored"])
def test_a_worker_that_is_killed_takes_nobody_with_it(story: str, path: Path) -> None:
    """P5; also where whoever started us has SIGCHLD ignored, and us with it."""
    with family(story, path) as ours:
        os.kill(ours.workers[0], signal.SIGKILL)
        assert ours.parent.stdout is not None
        assert ours.parent.stdout.readline() == "0 killed by SIGKILL\n"
        assert (ours.parent.poll(), ours.alive) == (None, [False, True])
        with pytest.raises(CampaignLocked):
            CampaignLock(path).acquire()


def test_a_signal_to_the_whole_group_is_the_parents_affair(path: Path) -> None:
    with family("group", path) as ours:
        assert ours.parent.stdout is not None
        assert ours.parent.stdout.read() == ""  # ended by the signal, which it had not been told to heed
        assert ours.parent.wait() == -signal.SIGINT
        ours.gone()


def test_workers_that_are_let_go_are_waited_for(path: Path) -> None:
    with family("let go", path) as ours:
        assert ours.parent.stdout is not None
        assert ours.parent.stdout.readline() == "all gone\n"
        assert ours.alive == [False, False]


def test_a_bug_in_a_worker_is_shown_and_ends_it_alone(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHILD), "broken", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "exit code 70\nexit code 70\n")
    assert "worker 0 has a bug" in done.stderr
    assert "worker 1 has a bug" in done.stderr


def test_of_a_process_that_somebody_else_has_reaped_it_is_known_that_it_is_gone() -> None:
    ours, theirs = pair()
    with ours, theirs, subprocess.Popen(["true"]) as gone:
        gone.wait()
        one = Process(0, gone.pid, ours)
        assert (trio.run(reaped, one), reap(one)) == (UNKNOWN, UNKNOWN)
