"""The steps of the protocol on the receiving side, at any of which it kills the runner, or warns it.

A step is a command that was read and not acted on yet, replies that are about to be sent, or that were sent
just now. When the receiving side goes on, whoever was killed is dead.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bulkmail.sandbox import Sandbox
from bulkmail.sandbox.answers import Event
from bulkmail.sandbox.flights import stage_of_event
from bulkmail.sandbox.smtp import Conversation
from bulkmail.smtp import State

Victim = Literal["all", "parent", "worker"]
Act = Literal["SIGKILL", "SIGTERM", "SIGINT", "SIGINT twice"]


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to the runner at the `at`th step of a run."""

    at: int
    act: Act = "SIGKILL"
    victim: Victim = "all"

    def __str__(self) -> str:
        whom = f", {self.victim} of it" if self.act == "SIGKILL" else ""
        return f"{self.act} at step {self.at}{whom}"


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill(pid: int, victim: Victim) -> bool:
    """Kill all of a run, its parent alone, or a worker. True: the run goes on without that one."""
    workers = children(pid)
    if victim == "worker" and workers:
        dead, lost = workers[:1], True
    else:
        dead, lost = [pid, *(workers if victim == "all" else ())], False
    for one in dead:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    for one in dead:
        while _lives(one):
            time.sleep(0)
    return lost


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Steps:
    """Counts them, and acts at the one it was told."""

    def __init__(self) -> None:
        self.count = 0
        self.done: dict[str, Any] = {}  # what it did: `ns`, `where`, `lost`
        self._pid = 0
        self._step: Step | None = None

    def arm(self, pid: int, step: Step | None) -> None:
        self.count, self.done = 0, {}
        self._pid, self._step = pid, step

    def taken(self, where: str) -> None:
        self.count += 1
        step = self._step
        if step is None or step.at != self.count:
            return
        self.done = {"ns": time.monotonic_ns(), "where": where, "lost": False}
        if step.act == "SIGKILL":
            self.done["lost"] = kill(self._pid, step.victim)
            return
        for _ in range(2 if step.act == "SIGINT twice" else 1):
            with suppress(ProcessLookupError):
                # Ctrl-C reaches the workers, too
                os.killpg(self._pid, signal.Signals[step.act.split()[0]])
            time.sleep(0.002)  # two at once are one


def watch(steps: Steps) -> None:
    """Every conversation of this process takes them from now on."""

    class Watched(Conversation):
        async def _answer(self, event: Event) -> None:
            in_content = self._protocol.state is State.CONTENT
            steps.taken(stage_of_event(event, in_content=in_content) or "nonsense")
            await super()._answer(event)

        async def _flush(self) -> None:
            if not self._out:
                return
            steps.taken("replies to be sent")
            await super()._flush()
            steps.taken("replies sent")

    vars(sys.modules[Sandbox.__module__])["Conversation"] = Watched
