"""Worker processes: forked with everything loaded, gone when their parent is.

They are forked before there is a loop, a thread or an open database, and so inherit the composer with its
templates and keys, the configuration, and the descriptor of the campaign's lock, which is therefore free only
when the last of them is gone (FAULTS.md P5). Nothing is ever executed anew, so no secret is in a command line
or an environment.

A worker outlives its parent by as long as it takes to end what it has open, and by LINGER_S at most: it
sees its channel end, and is sent SIGHUP by the kernel, whatever its loop is at. Ctrl-C at a terminal reaches
all of the group, and a service manager's SIGTERM too; the parent decides what they mean: workers ignore both.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import NoReturn

import trio

from bulkmail.campaign.workers.channel import pair

LINGER_S = 30  # after the death of the parent; more than a worker gives what is open, and its farewells
PR_SET_PDEATHSIG = 1
BUG = 70  # EX_SOFTWARE
IGNORED = (signal.SIGINT, signal.SIGTERM)
UNKNOWN = "how is not known"  # of a process that somebody else has reaped

Work = Callable[[int, socket.socket], None]  # what a worker does: its index, its end of the channel


@dataclass(frozen=True, slots=True)
class Process:
    """One worker, seen by the parent. `channel_end` is ours."""

    index: int
    pid: int
    channel_end: socket.socket


def fork(count: int, work: Work) -> tuple[Process, ...]:
    """Start `count` processes that each do `work(index, channel_end)` and exit: 0, or BUG if it raises.

    There must be no other thread, and no database open. Raises OSError, with nothing started.
    """
    parent = os.getpid()
    started: list[Process] = []
    sys.stdout.flush()
    sys.stderr.flush()
    # Ignored by whoever has started us it would still be so, and then no child can be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    held_back = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)  # none is lost, and none hits a newborn
    try:
        for index in range(count):
            ours, theirs = pair()
            pid = os.fork()
            if pid == 0:
                held = (ours, *(process.channel_end for process in started))
                _become(parent, held, partial(work, index, theirs))
            theirs.close()
            started.append(Process(index, pid, ours))
    except OSError:
        for process in started:
            kill(process)
        end_all(started)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
    return tuple(started)


def _become(parent: int, channel_ends: Sequence[socket.socket], work: Callable[[], None]) -> NoReturn:
    """In the child. `channel_ends` are the parent's: open here, they would hide its death from the others."""
    code = BUG
    try:
        for one in channel_ends:
            one.close()
        _die_with(parent)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)  # what is printed is the parent's to print
        os.close(nothing)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)  # the parent's open files and locks are not ours to tidy up


def _die_with(parent: int) -> None:
    """From now on the kernel tells us when the parent dies; LINGER_S later it ends us, whatever we are at."""

    def orphaned(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:  # else it is only the terminal that has gone, which is the parent's affair
            signal.alarm(LINGER_S)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, orphaned)
    if sys.platform == "linux":  # elsewhere the channel's end has to do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != parent:  # before we asked
        signal.alarm(LINGER_S)


def kill(process: Process) -> None:
    """At once. It must not have been reaped."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


async def reaped(process: Process) -> str:
    """Wait until it has ended. How it did, for people; "" where that was meant."""
    # Looked at before it is reaped: until then its id is nobody else's, and it can be killed.
    look = partial(os.waitid, os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with suppress(ChildProcessError):  # reaped already: `reap` says so
        await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    return reap(process)


def reap(process: Process) -> str:
    """Wait here. How it ended, for people; "" for success."""
    try:
        _, status = os.waitpid(process.pid, 0)
    except ChildProcessError:
        return UNKNOWN
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code else ""


def end_all(processes: Sequence[Process]) -> None:
    """Where there is no loop: let go of them, and wait until each has ended, or kill it after LINGER_S."""
    for process in processes:
        process.channel_end.close()
    give_up = time.monotonic() + LINGER_S
    for process in processes:
        with suppress(ChildProcessError):  # reaped already
            while os.waitpid(process.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > give_up:
                    kill(process)
                time.sleep(0.01)
