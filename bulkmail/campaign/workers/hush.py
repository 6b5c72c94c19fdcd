"""Whether all workers have said that they pause: nobody is told so before (`Pause`, `Paused`)."""

from __future__ import annotations

from collections.abc import Iterable

import trio

QUIET_S = 5.0  # for all of them to say so


class Hush:
    """Of one parent. A worker that has died says nothing any more, and is quiet."""

    def __init__(self) -> None:
        self._number = 0
        self._loud: set[int] = set()
        self._news = trio.Event()

    def asked(self, workers: Iterable[int]) -> int:
        """They are told to pause, with the number that this returns."""
        self._number += 1
        self._loud = set(workers)
        return self._number

    def heard(self, worker: int, number: int) -> None:
        """It answers. An answer to an older word says nothing of this one."""
        if number == self._number:
            self.gone(worker)

    def gone(self, worker: int) -> None:
        """It says nothing more."""
        self._loud.discard(worker)
        self._news.set()
        self._news = trio.Event()

    async def wait(self) -> bool:
        """Whether all are quiet by then."""
        with trio.move_on_after(QUIET_S):
            while self._loud:
                await self._news.wait()
        return not self._loud
