"""One parcel of the feed on its way to the workers: what waits, in slices, and what is out.

Several workers that share a site each have a few slices at a time, so that none runs dry while the next one
is on its way, and all of them end together; the size follows what is left. Plain values, no waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bulkmail.delivery.work import Parcel, Span
from bulkmail.dns.routes import Route

PILE = 2  # slices of one parcel that one worker has at a time
LEAST = 32  # transactions that are worth a second worker's connection
MOST = 2_000  # transactions in a slice


class Batch:
    """`parcel` is what the feed brought, `each` the recipients of a transaction."""

    def __init__(self, parcel: Parcel, route: Route, each: int) -> None:
        self.parcel = parcel
        self.route = route
        self.out: Counter[int] = Counter()  # slices, by worker
        self._each = each if parcel.shared else 1
        self._waiting = parcel
        self._open = 0

    @property
    def waiting(self) -> int:
        """Recipients nobody has."""
        return self._waiting.waiting

    @property
    def finished(self) -> bool:
        """Everybody in it has a fate."""
        return not self._waiting.waiting and not self._open

    def take(self, worker: int, sharing: int) -> tuple[Span, ...]:
        """The next slice, for `worker`, one of `sharing`; nothing where it has enough of them."""
        if not self.waiting or (sharing > 1 and self.out[worker] >= PILE):
            return ()
        transactions = -(-self.waiting // self._each)
        count = max(LEAST, min(MOST, transactions // (PILE * sharing)))
        whole = sharing == 1 or transactions <= LEAST
        self.out[worker] += 1
        self._open += 1
        return self._waiting.take(self.waiting if whole else count * self._each)

    def ended(self, worker: int) -> None:
        """Of one slice all is settled; that it is in the store is still to be seen (`seen`)."""
        self.out[worker] -= 1

    def seen(self) -> None:
        """One slice that has ended is in the store."""
        self._open -= 1

    def put_back(self, spans: Sequence[Span]) -> None:
        """First in line again: of a slice whose worker has died."""
        rest = self._waiting.take(self._waiting.waiting)
        self._waiting = Parcel(
            self.parcel.domain, [*spans, *rest], shared=self.parcel.shared, attempts=self.parcel.attempts
        )


class Slice(NamedTuple):
    """What one worker was given under one number."""

    worker: int
    batch: Batch
    spans: tuple[Span, ...]
