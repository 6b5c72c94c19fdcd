"""Stops a run at the n-th place where one of its sessions gives way: every `await` of a transaction, in turn.

An instrument of trio's counts the steps of the sessions and of the tasks that they start (addresses that
race, reading while writing). When the n-th of them has been made, the session stands at an `await`, and
there the cancellation meets it; in a part that is shielded, at the next one that is not.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from trio.lowlevel import Task

from bulkmail.delivery.session import session

NAME = f"{session.__module__}.{session.__qualname__}"


def of_a_session(task: Task) -> bool:
    up: Task | None = task
    while up is not None and up.name != NAME:
        up = up.parent_nursery.parent_task if up.parent_nursery is not None else None
    return up is not None


class Stepper(trio.abc.Instrument):
    """`stop` is called once, behind the `at`th step. `steps`: how many were made altogether."""

    def __init__(self, at: int, stop: Callable[[], object]) -> None:
        self._at, self._stop = at, stop
        self.steps = 0

    @property
    def met(self) -> bool:
        return self.steps >= self._at

    def after_task_step(self, task: Task) -> None:
        if of_a_session(task):
            self.steps += 1
            if self.steps == self._at:
                self._stop()

    def __enter__(self) -> Stepper:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)
