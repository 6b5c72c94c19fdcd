"""What delivery is given to work with: whom to deliver to, how to render, how to record.

`delivery` knows neither templates nor SQLite. The runner hands it a `Work`; the tests hand it another.
Recipients are dense ids; a range of ids is a span, inclusive at both ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bulkmail.delivery.disposition import Disposition
from bulkmail.smtp import Mailbox

Span = tuple[int, int]


class Recipient(Protocol):
    """One row of the plan, loaded for delivery. `attempts` and `since` (UTC epoch) speak of earlier ones."""

    @property
    def id(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, str]: ...
    @property
    def attempts(self) -> int: ...
    @property
    def since(self) -> float | None: ...


Fated = tuple[Recipient, Disposition]


@dataclass(frozen=True, slots=True)
class Letter:
    """What one transaction carries, and its reverse-path: of one recipient, or of all who share it.

    `alone`: nobody else may see it, whatever the parcel says; a token or an address is in it (I9).
    """

    reverse_path: Mailbox | None  # None is the null reverse-path
    content: bytes = field(repr=False)  # the stuffed end of data
    smtputf8: bool = False  # its header has addresses that need SMTPUTF8 (RFC 6531)
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Where:
    """The connection that an attempt used, as the accounting tells it."""

    host: str = ""
    address: str = ""
    source: str = ""
    tls: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One contiguous span of recipients with the same fate in one attempt.

    `due` (UTC epoch) is set where deferred; `expired` where the policy gave up. `attempted` is False for
    those who were never on the wire themselves: their site could not be reached.
    """

    first: int
    last: int
    disposition: Disposition
    at: float
    where: Where
    due: float | None = None
    expired: bool = False
    attempted: bool = True


@dataclass(frozen=True, slots=True)
class Opened:
    """An end of data about to be sent: on disk before its first octet."""

    key: int
    spans: tuple[Span, ...]
    where: Where
    at: float


class Work(Protocol):
    """How to load, render and record. Every method but `letters` may raise StoreError."""

    async def fetch(self, spans: Sequence[Span]) -> Sequence[Recipient]:
        """The recipients of `spans`, in id order."""

    def withheld(self, recipients: Sequence[Recipient]) -> Collection[int]:
        """Ids of those the suppression store has learned of since the plan. Cheap: asked before each MAIL."""

    async def letters(self, recipients: Sequence[Recipient]) -> Sequence[Letter | str]:
        """One each, in order; the same object for all where it is shared.

        A `str` says, for people, why this row has none. ConfigError says that there is none for a cause that
        is no row's: nobody is settled by it, and no letter is asked for after it. It may take milliseconds a
        letter, of a processor: whatever waits meanwhile is not held up. Nothing is recorded, so what was
        asked for may be dropped.
        """

    async def record(
        self,
        verdicts: Sequence[Verdict] = (),
        *,
        opened: Opened | None = None,
        closed: int | None = None,
        recipients: Sequence[Recipient] = (),
    ) -> None:
        """Durable when it returns. `recipients` are those the verdicts speak of, for the accounting."""


class Parcel:
    """Recipients of one domain that nobody has taken yet, as spans; the unit a destination is given.

    Sessions take slices off its front and put back what they could not try. A parcel is finished when it
    is empty and nothing of it is out: `out` counts recipients taken and not yet settled one way or another.
    `attempts`: how often its recipients were tried before, where they come back from a deferral.
    """

    def __init__(
        self,
        domain: str,
        spans: Iterable[Span],
        *,
        shared: bool,
        attempts: int = 0,
    ) -> None:
        self.domain = domain
        self.shared = shared
        self.attempts = attempts
        self._spans: deque[Span] = deque(spans)
        self.waiting = sum(last - first + 1 for first, last in self._spans)
        self.out = 0

    @property
    def finished(self) -> bool:
        return not self.waiting and not self.out

    def take(self, most: int) -> tuple[Span, ...]:
        """At most `most` recipients off the front, as spans in id order."""
        taken: list[Span] = []
        room = most
        while room and self._spans:
            first, last = self._spans.popleft()
            count = min(room, last - first + 1)
            taken.append((first, first + count - 1))
            if first + count <= last:
                self._spans.appendleft((first + count, last))
            room -= count
        self.waiting -= most - room
        self.out += most - room
        return tuple(taken)

    def put_back(self, ids: Sequence[int]) -> None:
        """Return recipients who were taken and are to be tried by somebody else, or later in this run."""
        self._spans.extendleft(reversed(spans_of(ids)))
        self.waiting += len(ids)
        self.out -= len(ids)


def spans_of(ids: Iterable[int]) -> tuple[Span, ...]:
    """Ascending ids as the fewest spans that hold them."""
    spans: list[Span] = []
    for number in ids:
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return tuple(spans)
