"""What the operator wants of a running campaign, done and answered: pause, resume, cancel.

A pause takes effect first and is then on disk, and only then is it answered: no MAIL follows the answer, and
no crash undoes it. What a pause of the operator's keeps waiting is kept, and goes on where it was. A pause
that nobody asked for (`by_itself`) ends the run: there may be nobody to say the word. So does a
cancellation, which is on disk first: what is open is finished, and then whoever is left is cancelled.
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
WRITTEN_S = 60.0  # by then an order is on disk

Event = Callable[..., None]  # its name, its fields


class Run(Protocol):
    """What orders do to a run. Nothing waits."""

    def hold(self) -> None: ...
    def go_on(self) -> None: ...
    def drain(self) -> None:
        """End, as by a signal."""

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
        control.unwant(journal)

    @asynccontextmanager
    async def _carrying_out(self) -> AsyncIterator[None]:
        """One order after the other, each to its end, though whoever gave it may have gone."""
        async with self._turn:
            with trio.CancelScope(deadline=trio.current_time() + WRITTEN_S, shield=True) as scope:
                yield
            if scope.cancelled_caught:
                raise StoreError(f"the journal did not take an order within {WRITTEN_S:g} seconds")

    async def _pause(self) -> dict[str, object]:
        async with self._carrying_out():
            was = self.paused
            if was is None and not self.cancelled:
                self._run.hold()
                totals = await self._journal.call(Store.totals)
                if standing.left(totals):
                    await self._paused(Pause("operator", now_told(), ""))
                else:
                    self._run.go_on()  # to its end
            return await self._answer("pause", already=was is not None)

    @property
    def may_send(self) -> bool:
        """Nobody has said otherwise."""
        return self.paused is None and not self.cancelled

    async def by_itself(self, pause: Pause) -> None:
        """The campaign says so; the run ends when what is open has ended."""
        if self.may_send:
            self._run.hold()
            async with self._turn:
                await self._paused(pause)
            self._run.drain()

    async def _paused(self, pause: Pause) -> None:
        self.paused = await self._journal.call(standing.pause, pause)
        self._tell("paused", by=pause.by, reason=pause.reason, evidence=list(pause.evidence))

    async def _resume(self) -> dict[str, object]:
        async with self._carrying_out():
            stood = await self._journal.call(standing.resume)
            self.paused = None
            if stood is not None:
                self._run.go_on()
                self._tell("resumed")
            return await self._answer("resume", already=stood is None)

    async def _cancel(self, reply: Reply) -> None:
        was = await self._begin_cancelling()
        if self.cancelled:
            await reply(await self._answer("cancel", already=was, done=False))
            await self._over.wait()
        await reply(await self._answer("cancel", already=was))

    async def _begin_cancelling(self) -> bool:
        """Whether it was cancelled before."""
        async with self._carrying_out():
            was = self.cancelled
            if not was and standing.left(await self._journal.call(Store.totals)):
                self._run.hold()
                await self._journal.call(standing.cancel)
                self.cancelled = True
                self._tell("cancelled")
                self._run.drain()
        return was

    async def _show(self, reply: Reply) -> None:
        """How the run does, every second, until it is over. Only who looks pays, all who look once."""
        while not self._over.is_set():
            async with self._looking:
                if self._seen is None or trio.current_time() - self._seen_at >= LOOK_S / 2:
                    self._seen, self._seen_at = await self._run.look(), trio.current_time()
            await reply({**await self._answer("top", already=False, done=False), **self._seen})
            with trio.move_on_after(LOOK_S):
                await self._over.wait()
        await reply(await self._answer("top", already=False))

    async def _answer(self, did: str, *, already: bool, done: bool = True) -> dict[str, object]:
        look = self._journal.read if did == "top" else self._journal.call
        totals = self._totals or await look(Store.totals)
        stands = self.paused
        return {
            "done": done,
            "did": did,
            "already": already,
            "running": True,
            "cancelled": self.cancelled,
            "paused": None if stands is None else stands._asdict(),
            "totals": dict(totals),
        }

    def over(self, totals: Mapping[str, int]) -> None:
        """The run has ended so."""
        self._totals = totals
        self._over.set()
