"""The parcels of one site in which somebody waits, by the source that they leave from, and who works on them.

Where there are no sources to choose from there is one queue, that of None. Bookkeeping only.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from itertools import chain

from bulkmail.delivery.work import Parcel, Taken
from bulkmail.transport.approach import Source

SLICE = 256  # personal recipients a session takes at a time: few enough to share, many enough for one fetch
HELD = 16 * 1024  # of them for all sessions of a run: of a thousand, each takes sixteen
SHARED_SLICE = 32  # whole transactions of those who share them
SHARED_HELD = 64 * 1024  # recipients of these for all sessions: only their addresses are held


class Queue:
    """`waiting`: recipients in all of them."""

    __slots__ = ("_begun", "_parcels", "_sessions", "waiting")

    def __init__(self) -> None:
        self._parcels: dict[Source | None, deque[Parcel]] = {}
        self._sessions: Counter[Source] | None = None  # by source, where there are any
        self._begun: Counter[Source] = Counter()  # of them until now
        self.waiting = 0

    def __iter__(self) -> Iterator[Parcel]:
        return chain.from_iterable(self._parcels.values())

    def of(self, source: Source | None) -> deque[Parcel]:
        """Those that leave from `source`, the next one first; who is taken out of them waits no more."""
        queue = self._parcels.get(source)
        if queue is None:
            queue = self._parcels[source] = deque()
        return queue

    def add(self, parcel: Parcel) -> None:
        """It is the last one."""
        self.of(parcel.source).append(parcel)
        if parcel.source is not None and self._sessions is None:
            self._sessions = Counter()
        self.waiting += parcel.waiting

    def take(self, source: Source | None, each: int, sharers: int, crowd: int) -> list[Taken]:
        """The next recipients from `source`, of as many parcels as a slice takes.

        `each`: those of a shared transaction; `sharers`: slices that may be had of all who wait; `crowd`:
        sessions that hold what is held of a run.
        """
        taken: list[Taken] = []
        parcels = self.of(source)
        room = 1.0  # of a slice
        while parcels and room > 0:
            parcel = parcels[0]
            if parcel.waiting:
                most, size, held = (SHARED_SLICE, each, SHARED_HELD) if parcel.shared else (SLICE, 1, HELD)
                share = max(1, min(most, self.waiting // (size * sharers), held // (size * crowd)))
                count = min(parcel.waiting, size * max(1, int(room * share)))
                taken.append(parcel.take_known(count))
                self.waiting -= count
                room -= -(-count // size) / share
            if not parcel.waiting:
                parcels.popleft()
            elif parcel.attempts:
                parcels.rotate(-1)
        return taken

    def backlog(self, most: int, enough: int) -> int:
        """Transactions of at most `most` recipients that wait, counted no further than `enough`."""
        transactions = 0
        for parcel in self:
            transactions += -(-parcel.waiting // (most if parcel.shared else 1))
            if transactions >= enough:
                break
        return transactions

    def put_back(self, parcel: Parcel, count: int) -> None:
        """So many more wait in it, and it is the first one unless it is among them."""
        self.waiting += count
        if parcel not in (queue := self.of(parcel.source)):
            queue.appendleft(parcel)

    def drain(self) -> list[Parcel]:
        """Take out all of them."""
        parcels = list(self)
        self._parcels.clear()
        self.waiting = 0
        return parcels

    def take_out(self, source: Source) -> list[Parcel]:
        """All that leave from `source`."""
        parcels = list(self._parcels.pop(source, ()))
        self.waiting -= sum(parcel.waiting for parcel in parcels)
        return parcels

    # --- who works on them -------------------------------------------------------------------------

    def begin(self) -> Source | None:
        """What the next session is to leave from: of those with mail the one with the fewest, by weight.

        Among equals the one that had the fewest until now.
        """
        if (busy := self._sessions) is None:
            return None
        waiting = [source for source, parcels in self._parcels.items() if source is not None and parcels]
        begun = self._begun
        source = min(
            waiting, key=lambda one: ((busy[one] + 1) / one.weight, begun[one] / one.weight), default=None
        )
        if source is not None:
            busy[source] += 1
            begun[source] += 1
        return source

    def end(self, source: Source | None) -> None:
        """A session that left from it has ended."""
        if source is not None and self._sessions is not None:
            self._sessions[source] -= 1

    def starves(self, source: Source) -> bool:
        """Another source has mail, and no session."""
        busy: Mapping[Source, int] = self._sessions or {}
        return any(
            parcels and other is not None and other is not source and not busy.get(other)
            for other, parcels in self._parcels.items()
        )
