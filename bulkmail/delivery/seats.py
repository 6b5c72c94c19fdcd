"""The seats of one destination's sessions, where there are others beside it (see Level)."""

from __future__ import annotations

from collections.abc import Callable

import trio

from bulkmail.delivery.level import Level


class Seats:
    """One for each session, on every level around `level`. `called`: there may be one again."""

    __slots__ = ("_called", "_level", "_queued", "_seated", "taken")

    def __init__(self, level: Level, called: Callable[[], None]) -> None:
        self._level = level
        self._called = called
        self._seated = level.seating  # where they are counted
        self._queued: Level | None = None  # where one is waited for
        self.taken = 0

    @property
    def waited_for(self) -> bool:
        """We are in a queue for one."""
        return self._queued is not None

    def take(self, now: float) -> bool:
        """One; or wait for it, and be called."""
        self.reseat()
        for level in self._seated:
            if not level.has_room(now):
                level.queue(self)
                self._queued = level
                return False
        self.take_anyhow()
        return True

    def take_anyhow(self) -> None:
        """For who opens no connection."""
        self.taken += 1
        for level in self._seated:
            level.sessions += 1

    def free(self) -> None:
        """One; whoever waits for it is called."""
        self.reseat()
        self.taken -= 1
        for level in self._seated:
            level.sessions -= 1
        for level in self._seated:
            level.admit()

    def called(self) -> None:
        """Taken out of the queue by the level."""
        self._queued = None
        self._called()

    def leave_queue(self) -> None:
        if self._queued is not None:
            self._queued.dequeue(self)
            self._queued = None

    def reseat(self) -> None:
        """Whoever limits us may be somebody else by now."""
        if (levels := self._level.seating) is not self._seated:
            for level in self._seated:
                level.sessions -= self.taken
            for level in levels:
                level.sessions += self.taken
            self._seated = levels

    # --- what follows for a session --------------------------------------------------------------------

    @property
    def shared(self) -> bool:
        """There are others beside us."""
        return bool(self._seated)

    @property
    def asked_for(self) -> bool:
        """Others wait for a seat, so who needs another connection goes to the end of the queue."""
        return any(level.is_waited_for for level in self._seated)

    @property
    def too_many(self) -> bool:
        """There are more sessions than there may be by now."""
        now = trio.current_time()
        mosts = [(level.sessions, level.most(now)) for level in self._seated]
        return any(most is not None and sessions > most for sessions, most in mosts)

    @property
    def surplus(self) -> bool:
        """There are too many, where they are counted at all."""
        return bool(self._seated) and self.too_many

    @property
    def elsewhere(self) -> bool:
        """An idle connection would take the place of one to another host."""
        return any(level.many_sites and level.counts_connections for level in self._seated)
