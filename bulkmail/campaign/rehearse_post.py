"""Who is written to in a rehearsal, and what became of them: the `Work` of a delivery, kept in memory.

People are numbers. A place is one domain with so many of them; who is deferred comes back when he is due, as
from a journal.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import trio

from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.work import Letter, Listed, Opened, Parcel, Recipient, Roll, Span, Verdict
from bulkmail.smtp import Mailbox, canonical

SENDER = Mailbox.parse("rehearsal@localhost.invalid")
CONTENT = canonical(b"Subject: a rehearsal\r\n\r\nNobody gets this.\r\n")


@dataclass(frozen=True, slots=True)
class Place:
    """One domain as it is rehearsed: so many recipients, `together` of whom may share a transaction.

    `hosts`: its exchangers with their preference. It stands for `weight` domains like it.
    """

    domain: str
    provider: str
    hosts: tuple[tuple[int, str], ...]
    recipients: int
    together: int = 1
    weight: float = 1.0


@dataclass(slots=True)
class Fared:
    """How the people of one provider fared. Times are virtual seconds from the beginning."""

    tried: list[float] = field(default_factory=list)  # of each message that was taken, or refused for good
    deferred: int = 0  # people, however often
    deferrals: int = 0
    states: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)  # of deferrals and bounces, with their class


@dataclass(frozen=True, slots=True)
class _Person:
    id: int
    address: str
    attempts: int
    since: float | None
    fields: Mapping[str, str] = field(default_factory=dict)


class Post:
    """`epoch`: what the machine's clock says at the beginning, at 0 of trio's."""

    def __init__(self, places: Sequence[Place], epoch: float) -> None:
        self.places = places
        self._epoch = epoch
        self._firsts: list[int] = []
        first = 1
        for place in places:
            self._firsts.append(first)
            first += place.recipients
        self.fared: dict[str, Fared] = {place.provider: Fared() for place in places}
        self.people = self.open = first - 1
        self._again: dict[int, tuple[int, float]] = {}  # attempts and the first of them, of who was deferred
        self._due: list[tuple[float, int]] = []
        self._fresh = self._parcels()
        self._changed = trio.Event()
        # in the real thing, one letter for all of a place where they share it, else one each
        self._letters = [Letter(SENDER, (CONTENT,), alone=place.together == 1) for place in places]

    def now(self) -> float:
        return self._epoch + trio.current_time()

    # --- for the dispatcher -----------------------------------------------------------------------------

    async def next(self) -> Parcel | None:
        """The next parcel, once there is one: those who are due first. None when everybody is settled."""
        await trio.lowlevel.checkpoint()
        while self.open:
            now = self.now()
            if self._due and self._due[0][0] <= now:
                return self._due_parcel(now)
            if (fresh := next(self._fresh, None)) is not None:
                return fresh
            self._changed = trio.Event()
            with trio.move_on_at(self._due[0][0] - self._epoch) if self._due else trio.CancelScope():
                await self._changed.wait()
        return None

    def _parcels(self) -> Iterator[Parcel]:
        """Who was never tried, in the order of the places; each group that gets the same by itself."""
        for place, first in zip(self.places, self._firsts, strict=True):
            end = first + place.recipients
            size = place.together if place.together > 1 else place.recipients
            for begin in range(first, end, size):
                span = (begin, min(begin + size, end) - 1)
                yield Parcel(place.domain, [span], shared=place.together > 1)

    def _due_parcel(self, now: float) -> Parcel:
        place = self._place(self._due[0][1])
        ids = []
        while self._due and self._due[0][0] <= now and self._place(self._due[0][1]) == place:
            ids.append(heapq.heappop(self._due)[1])
        ids.sort()
        spans = [(one, one) for one in ids]
        found = self.places[place]
        return Parcel(
            found.domain, spans, shared=found.together > 1, attempts=self._again.get(ids[0], (0, 0.0))[0]
        )

    def _place(self, person: int) -> int:
        return bisect_right(self._firsts, person) - 1

    # --- Work -------------------------------------------------------------------------------------------

    async def fetch(self, parts: Sequence[Sequence[Span]]) -> list[Roll]:
        await trio.lowlevel.checkpoint()
        return [
            Listed([self._person(number) for first, last in spans for number in range(first, last + 1)])
            for spans in parts
        ]

    def _person(self, number: int) -> _Person:
        attempts, since = self._again.get(number, (0, None))
        return _Person(number, f"p{number}@{self.places[self._place(number)].domain}", attempts, since)

    def withheld(self, rolls: Sequence[Roll]) -> AbstractSet[int]:
        return frozenset()

    async def letters(self, recipients: Sequence[Recipient]) -> Sequence[Letter | str]:
        await trio.lowlevel.checkpoint()
        return [self._letters[self._place(one.id)] for one in recipients]

    def note(
        self,
        verdicts: Sequence[Verdict] = (),
        *,
        opened: Sequence[Opened] = (),
        closed: Sequence[int] = (),
        people: Sequence[Roll] = (),
    ) -> None:
        for verdict in verdicts:
            self._note(verdict)
        if verdicts:
            self._changed.set()

    def _note(self, verdict: Verdict) -> None:
        fared = self.fared[self.places[self._place(verdict.first)].provider]
        count = verdict.last - verdict.first + 1
        disposition = verdict.disposition
        if disposition.fate is not Fate.DELIVERED:
            fared.replies[disposition.text] += count
        if verdict.due is not None and not verdict.expired:
            fared.deferrals += count
            for number in range(verdict.first, verdict.last + 1):
                fared.deferred += number not in self._again
                attempts, since = self._again.get(number, (0, verdict.at))
                self._again[number] = attempts + verdict.attempted, since
                heapq.heappush(self._due, (verdict.due, number))
            return
        self.open -= count
        fared.states["expired" if verdict.expired else disposition.fate.value] += count
        fared.tried += [verdict.at - self._epoch] * count

    async def synced(self) -> None:
        await trio.lowlevel.checkpoint()
