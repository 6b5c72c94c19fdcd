"""What the operator wants of a running campaign, done and answered: pause, resume, cancel.

A pause takes effect first and is then on disk, and only then is it answered: no MAIL follows the answer, and
no crash undoes it. What a pause of the operator's keeps waiting is kept, and goes on where it was. A pause
that nobody asked for (`by_itself`) ends the run: there may be nobody to say the word. So does a
cancellation: what is open is finished, and then whoever is left is cancelled. An order that the journal does
not take in time is not carried out: that is the answer, and the run goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import trio

from bulkmail.campaign import control, standing
from bulkmail.campaign.listening import Reply
from bulkmail.campaign.standing import Pause, now_told
from bulkmail.errors import StoreError
from bulkmail.journal import Journal, Store

LOOK_S = 1.0
WRITTEN_S = 20.0  # by then an order is on disk, or refused; who asks is patient for control.ANSWERED_S

Event = Callable[..., None]  # its name, its fields


class Late(StoreError):
    """The journal was busy for too long: the order is not carried out."""


class Run(Protocol):
    """What orders do to a run."""

    stopping: bool  # it ends, whatever is said now

    def hold(self) -> None: ...
    def go_on(self) -> None: ...
    def drain(self) -> None:
        """End, as by a signal."""

    async def quiet(self) -> bool:
        """Whether no MAIL follows the last `hold` any more; waits for that, within a bound."""

    async def look(self) -> Mapping[str, object]:
        """How it does now."""


class Orders:
    """Of one run; `tell` is given events. StoreError from all that waits."""

    def __init__(self, run: Run, journal: Journal, tell: Event) -> None:
        self.paused: Pause | None = None
        self.cancelled = False
        self._run = run
        self._journal = journal
        self._tell = tell
        self._turn = trio.Lock()
        self._over = trio.Event()
        self._looking = trio.Lock()
        self._seen: Mapping[str, object] | None = None
        self._seen_at = 0.0
        self._totals: Mapping[str, int] = {}

    async def heed(self, request: Mapping[str, object], reply: Reply) -> None:
        """Carry out one request, and answer it."""
        word = request.get("do")
        try:
            await self._heed(word, reply)
        except Late as late:
            await reply({"done": True, "error": str(late)})

    async def _heed(self, word: object, reply: Reply) -> None:
        if word == "pause":
            await reply(await self._pause())
        elif word == "resume":
            await reply(await self._resume())
        elif word == "cancel":
            await self._cancel(reply)
        elif word == "top":
            await self._show(reply)
        else:
            await reply({"done": True, "error": f"this run knows no {word!r}; it may be of another version"})

    async def take_up(self, journal: Path) -> None:
        """What was wanted of this run before it listened. To be called before anybody is sent to."""
        word = control.wanted(journal)
        if word == "pause":
            await self._pause()
        elif word == "cancel":
            await self._begin_cancelling()
        control.unwant(journal, word)

    @asynccontextmanager
    async def _carrying_out(self) -> AsyncIterator[None]:
        """One order after the other, each to its end, though whoever gave it may have gone. Late."""
        with trio.CancelScope(deadline=trio.current_time() + WRITTEN_S) as scope:
            async with self._turn:
                scope.shield = True
                try:
                    yield
                finally:
                    if self.may_send and not self._run.stopping:
                        self._run.go_on()  # it was not carried out, or there was nothing to do
        if scope.cancelled_caught:
            raise Late(f"the journal was busy for {WRITTEN_S:g} seconds: nothing was changed; try again")

    async def _pause(self) -> dict[str, object]:
        async with self._carrying_out():
            was = self.paused
            if was is None and not self.cancelled:
                self._run.hold()
                totals, stands = await self._journal.call(_pause, Pause("operator", now_told(), ""))
                self._paused(stands)
            else:
                totals = await self._journal.call(Store.totals)
            answer = self._answer("pause", totals, already=was is not None)
        return answer | {"quiet": await self._run.quiet()}

    @property
    def may_send(self) -> bool:
        """Nobody has said otherwise."""
        return self.paused is None and not self.cancelled

    async def by_itself(self, pause: Pause) -> None:
        """The campaign says so; the run ends when what is open has ended."""
        if self.may_send:
            self._run.hold()
            async with self._turn:
                if self.may_send:  # an order may have come first
                    self._run.hold()
                    self._paused(await self._journal.call(standing.pause, pause))
                    self._run.drain()

    def _paused(self, pause: Pause | None) -> None:
        self.paused = pause
        if pause is not None:
            self._tell("paused", by=pause.by, reason=pause.reason, evidence=list(pause.evidence))

    async def _resume(self) -> dict[str, object]:
        async with self._carrying_out():
            stood, totals = await self._journal.call(_resume)
            self.paused = None
            ending = self._run.stopping  # for good: it is for the next run to go on
            if stood is not None and not ending:
                self._tell("resumed")
            answer = self._answer("resume", totals, already=stood is None)
            return answer | {"running": not ending, "ending": ending}

    async def _cancel(self, reply: Reply) -> None:
        was, totals = await self._begin_cancelling()
        if self.cancelled:
            await reply(self._answer("cancel", totals, already=was, done=False))
            await self._over.wait()
            totals = self._totals
        await reply(self._answer("cancel", totals, already=was))

    async def _begin_cancelling(self) -> tuple[bool, Mapping[str, int]]:
        """Whether it was cancelled before, and how it stands."""
        async with self._carrying_out():
            was = self.cancelled
            if not was:
                self._run.hold()
            totals, self.cancelled = await self._journal.call(_cancel)
            if self.cancelled and not was:
                self._tell("cancelled")
                self._run.drain()
        return was, totals

    async def _show(self, reply: Reply) -> None:
        """How the run does, every second, until it is over. Only who looks pays, all who look once."""
        while not self._over.is_set():
            async with self._looking:
                if self._seen is None or trio.current_time() - self._seen_at >= LOOK_S / 2:
                    self._seen, self._seen_at = await self._run.look(), trio.current_time()
            totals = self._totals or await self._journal.read(Store.totals)
            await reply({**self._answer("top", totals, already=False, done=False), **self._seen})
            with trio.move_on_after(LOOK_S):
                await self._over.wait()
        await reply(self._answer("top", self._totals, already=False))

    def _answer(
        self, did: str, totals: Mapping[str, int], *, already: bool, done: bool = True
    ) -> dict[str, object]:
        stands = self.paused
        return {
            "done": done,
            "did": did,
            "already": already,
            "running": True,
            "cancelled": self.cancelled,
            "paused": None if stands is None else stands._asdict(),
            "totals": dict(self._totals or totals),
        }

    def over(self, totals: Mapping[str, int]) -> None:
        """The run has ended so."""
        self._totals = totals
        self._over.set()


# Each in one visit to the store: what it says is done when it has been there, and not before.


def _pause(store: Store, wanted: Pause) -> tuple[Mapping[str, int], Pause | None]:
    """The pause that stands; none where nobody is left to wait for its end."""
    totals = store.totals()
    return totals, standing.pause(store, wanted) if standing.left(totals) else None


def _resume(store: Store) -> tuple[Pause | None, Mapping[str, int]]:
    """Which pause stood."""
    return standing.resume(store), store.totals()


def _cancel(store: Store) -> tuple[Mapping[str, int], bool]:
    """Whether it is cancelled; not where nobody is left."""
    totals = store.totals()
    if standing.left(totals):
        standing.cancel(store)
    return totals, standing.cancelled(store) is not None
