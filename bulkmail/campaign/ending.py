"""How a run ends before its work does: a signal, a second one, or the time that `--until` gave it.

The first signal drains, and so do the time and what keeps us from writing letters: no new MAIL, and what is
open has DRAIN_S to end. A second signal, or the end of the drain, stops at once (P1, P2). Only signals are
counted: the first one during the drain of `--until` is still the first.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable

import trio

DRAIN_S = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Stops a run. `everything` is cancelled at the end of the drain; `stop` begins it, at once and again.

    `tell` is given the signal's name, or None where the time is over.
    """

    def __init__(
        self, everything: trio.CancelScope, *, stop: Callable[[], None], tell: Callable[[str | None], None]
    ) -> None:
        self.interrupted = False  # by a second signal
        self._everything = everything
        self._stop = stop
        self._tell = tell

    async def on_signals(self, signals: AsyncIterator[int]) -> None:
        """Heed the signals of trio.open_signal_receiver(*SIGNALS)."""
        self._drain(signal.Signals(await anext(signals)).name)
        await anext(signals)
        self.interrupted = True
        self._everything.cancel()

    def hung_up(self, name: str) -> None:
        """Drain, though nobody can ask for more."""
        self._drain(name)

    def now(self) -> None:
        """Drain at once, for a reason that is told elsewhere."""
        self._stop()
        # the drain that began first is the one that counts
        self._everything.deadline = min(self._everything.deadline, trio.current_time() + DRAIN_S)

    async def after(self, seconds: float) -> None:
        """Drain after so many seconds."""
        await trio.sleep(seconds)
        self._drain(None)

    def _drain(self, name: str | None) -> None:
        self._tell(name)
        self.now()
