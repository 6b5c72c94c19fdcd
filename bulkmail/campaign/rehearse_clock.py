"""A clock for rehearsals: where all tasks wait, it is later at once.

trio asks its clock how long to sleep only when no task can run. So nothing else is needed, and nothing that
waits for something real may run under it: no thread and no socket.
"""

from __future__ import annotations

import math

import trio

LATE_S = 1e-6  # as every real sleep is: what is computed anew behind one must not round to just before it


class JumpingClock(trio.abc.Clock):
    """Begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline == math.inf:  # nobody waits for a time: what is waited for must come from elsewhere
            return deadline
        self._now = max(self._now, deadline + LATE_S)
        return 0.0
