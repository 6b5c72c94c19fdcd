"""Several campaigns at once on one machine: each sends within its part of what a provider takes.

Who is alone holds everything, and looks twice a second whether he still is: at a few octets of memory, no
more. As soon as there is somebody else, everybody writes down at which providers, or scopes, he sends
(`Leases`), and each scope is divided among those who are there (`division`):

* Who finds another division than before keeps at once to the smaller of both parts. When he does, really, so
  many connections fewer, with nobody on his way who was given a turn before, he says so. A division that is
  over before he could say so does not bind him.
* Who is to have more takes it when all others have said that they keep to the division that holds now. So
  does who is new, and had nothing.
* Where only processes of one campaign send, each has what it has when they are alone. So once the last other
  campaign has gone, and all of them have said that they keep to that, each may stop sharing by itself.
* Who has nobody left to send to at a scope gives it back, and its connections, idle ones too.
* What is divided is the least of what all campaigns there say of it (`terms`).
* Where there are fewer connections than senders, the first in line goes to its end after a while.

One who dies holds nothing: the kernel tells. One who hangs keeps what he has, for his connections stand.
The steps of one look are decided here, from what was read; `ground` is where the limits are kept to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import trio

from bulkmail.campaign.division import Divided, Part, divided, least, nothing, part_of
from bulkmail.campaign.terms import Terms, narrowest, read, within
from bulkmail.delivery.shaping import Bounds
from bulkmail.journal import Holder, Leases, dispensable

LOOK_S = 0.5  # between two looks of who is alone
SHARING_S = 0.25  # and where somebody else is there
DEATHS_S = 1.0  # between two looks whether the others live
JOINING = 200  # scopes in one look, for which everything else waits: of a long tail there may be thousands
TEXTS = 1_000  # different terms that are remembered as read
TURN_S = 10.0  # for which the first in line sends while somebody waits; less where the other weighs more


class Ground(Protocol):
    """Where limits are kept to: what `Leasing` looks at, and moves."""

    def scopes(self) -> set[str]:
        """Where anybody is waiting to be sent to, or is sent to now."""

    def keeps(self, scope: str) -> bool:
        """There are no more connections than the limits allow now; idle ones beyond are closed."""

    def booked_s(self, scope: str) -> float:
        """Seconds for which turns have been given out already."""

    def starves(self, scope: str) -> bool:
        """Somebody waits there, and may have no connection."""

    def is_empty(self, scope: str) -> bool:
        """No connection stands; idle ones are closed."""

    def limit_again(self, scopes: Set[str] | None) -> None:
        """The limits of these are others now; None: of all."""

    def terms(self, scopes: Collection[str]) -> dict[str, str]:
        """What the campaign says of its limits there, as it is written down."""

    def edition(self) -> object:
        """Another one where the campaign may say something else."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part, of what others leave of our limits."""

    part: Part
    terms: Terms


@dataclass(slots=True)
class _Held:
    """`parts`: the limits are the least of these; none of them: nothing yet. `ALONE`: as before we shared."""

    parts: tuple[Share | None, ...]
    changed: int = 0  # the division that we know of
    since: int = 0  # and the one that the last part came with, or 0: one that we said we keep to
    settled_at: float = 0.0  # when all turns are over that were given out before
    first_since: float | None = None  # when we began to be the first in line, with a part


ALONE: Final = None


class Leasing:
    """Of one sending process. Where the store cannot be used for a while, nobody has more than before."""

    def __init__(
        self,
        leases: Leases,
        ground: Ground,
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._leases = leases
        self._ground = ground
        self._clock = clock
        self._sharing = False
        self._held: dict[str, _Held] = {}
        self._deaths_at = -math.inf
        self._edition: object = None
        self._texts: dict[str, Terms] = {}
        self._pending = True  # something may have to be done though nobody has written anything

    # --- what is ours ----------------------------------------------------------------------------------

    @property
    def sharing(self) -> bool:
        """Other campaigns are there, or were a moment ago."""
        return self._sharing

    def limited(
        self,
        scope: str,
        whole: Divided,
        alone: Divided,
        of: Callable[[Terms], Bounds] = lambda terms: terms.site,
    ) -> Divided:
        """What is ours of these limits of a scope now. `alone`: what is, while no other campaign is there;
        `of`: what others say of it."""
        if not self._sharing:
            return alone
        held = self._held.get(scope)
        if held is None or not held.parts:
            return nothing(whole)
        found = [
            alone if one is ALONE else divided(within(whole, of(one.terms)), one.part) for one in held.parts
        ]
        ours = found[0]
        for other in found[1:]:
            ours = least(ours, other)
        return ours

    def sharers(self, scope: str) -> int:
        """Such parts as ours in the limits of a scope; 0: ours is what it is while we are alone."""
        held = self._held.get(scope)
        if held is None:
            return 0
        return max((one.part.whole for one in held.parts if one is not ALONE), default=0)

    def says(self, scope: str, of: Callable[[Terms], Bounds]) -> bool:
        """Some other campaign says something of it that binds us, too."""
        held = self._held.get(scope)
        return held is not None and any(one is not ALONE and of(one.terms).shared for one in held.parts)

    # --- looking ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await trio.sleep(SHARING_S if self._sharing else LOOK_S)

    def look(self) -> None:
        """One look, and what follows from it. Raises DiskRefused."""
        with dispensable():
            now = self._clock()
            if now - self._deaths_at >= DEATHS_S:
                self._deaths_at = now
                self._leases.bury(self._leases.senders())
            changed = self._leases.changed()  # also by what we have just written
            if changed or self._pending or (self._sharing and self._has_moved()):
                self._pending = True  # until the look has come to its end
                self._pending = self._look(now)

    def _has_moved(self) -> bool:
        """We send elsewhere now, or on other terms."""
        return self._ground.scopes() != self._held.keys() or self._ground.edition() is not self._edition

    def _look(self, now: float) -> bool:
        """Whether there is more to be done."""
        senders = self._leases.senders()
        (ours,) = [one for one in senders if one.id == self._leases.id]
        strangers = any(one.campaign != ours.campaign for one in senders)
        if not self._sharing:
            if not (ours.sharing or strangers):
                return False
            if not ours.sharing:
                using = self._ground.scopes()
                self._edition = self._ground.edition()
                self._leases.share(self._ground.terms(using))
                self._held = {scope: _Held((ALONE,)) for scope in using}
            self._sharing = True
            self._ground.limit_again(None)
        elif not strangers and self._leases.be_alone():
            self._sharing = False
            self._held.clear()
            self._ground.limit_again(None)
            return False
        return self._share(now, all(one.sharing for one in senders))

    def _share(self, now: float, nobody_alone: bool) -> bool:
        """A look where somebody else is there. `nobody_alone`: all have written down what they hold."""
        using = self._ground.scopes()
        idle = self._held.keys() - using
        leaving = [scope for scope in idle if self._ground.is_empty(scope)]
        joining = set(islice(using - self._held.keys(), JOINING))
        terms: dict[str, str] = {}
        if (edition := self._ground.edition()) is not self._edition:
            terms = self._ground.terms(self._held.keys() & using)
        if leaving or joining or terms:
            self._leases.change(join=self._ground.terms(joining), leave=leaving, terms=terms)
        self._edition = edition
        for scope in leaving:
            del self._held[scope]
        for scope in joining:
            self._held[scope] = _Held(())
        found = self._leases.held()
        moved = {scope for scope, there in found.items() if self._divide(scope, there, now, nobody_alone)}
        moved.update(leaving)
        if moved:
            self._ground.limit_again(moved)
        seen = {
            scope: (holders[0].changed, self._ground.starves(scope))
            for scope, holders in found.items()
            if self._has_news(scope, holders, now)
        }
        last = [scope for scope, holders in found.items() if self._had_its_turn(scope, holders, now)]
        if seen or last:
            self._leases.change(seen=seen, last=last)
        unsettled = any(one.seen != one.changed for holders in found.values() for one in holders)
        waited_for = any(len(holders) > 1 and _starving(holders) for holders in found.values())
        return bool(seen or last or unsettled or waited_for or idle)

    def _divide(self, scope: str, holders: Sequence[Holder], now: float, nobody_alone: bool) -> bool:
        """What the division of a scope leaves to us by now; whether that is another part than before."""
        held, changed, mine = self._held[scope], holders[0].changed, self._mine(holders)
        others = [one for one in holders if one.campaign != mine.campaign]
        part = ALONE
        if others:
            texts = {one.terms: None for one in others}
            part = Share(part_of(self._leases.id, holders), narrowest(map(self._read, texts)))
        before = held.parts
        if changed != held.changed:
            held.changed = changed
            if len(held.parts) > 1 and mine.seen < held.since:  # nobody has more because of that one
                held.parts, held.since = held.parts[:-1], 0
            if held.parts and held.parts[-1] != part:
                held.parts, held.since = (*held.parts, part), changed
                held.settled_at = now + self._ground.booked_s(scope)
        if nobody_alone and all(one.seen == changed for one in holders):
            held.parts = (part,)
        return held.parts != before

    def _has_news(self, scope: str, holders: Sequence[Holder], now: float) -> bool:
        """We keep to another division than we said; or what we said of being left without is different."""
        mine, held = self._mine(holders), self._held[scope]
        if mine.seen == mine.changed:
            return mine.starved != self._ground.starves(scope) and bool(held.parts)
        return not held.parts or (now >= held.settled_at and self._ground.keeps(scope))

    def _had_its_turn(self, scope: str, holders: Sequence[Holder], now: float) -> bool:
        """We are the first in line, somebody waits, and we had our time.

        Be it that we could not use it: where limits hold for several scopes together one has to be among the
        first in each of their lines.
        """
        held = self._held[scope]
        if holders[0].sender != self._leases.id or not _starving(holders):
            held.first_since = None
            return False
        if held.first_since is None:
            held.first_since = now
        part = part_of(self._leases.id, holders)
        return now - held.first_since >= TURN_S * part.weights[part.at] / max(part.weights)

    def _read(self, text: str) -> Terms:
        terms = self._texts.get(text)
        if terms is None:
            if len(self._texts) >= TEXTS:
                self._texts.clear()
            terms = self._texts[text] = read(text)
        return terms

    def _mine(self, holders: Sequence[Holder]) -> Holder:
        return next(one for one in holders if one.sender == self._leases.id)


def _starving(holders: Sequence[Holder]) -> bool:
    """All keep to the same division, and it leaves nothing to one of them."""
    return all(one.seen == one.changed for one in holders) and any(one.starved for one in holders)
