"""What delivery is given to work with: whom to deliver to, how to render, how to record.

`delivery` knows neither templates nor SQLite. The runner hands it a `Work`; the tests hand it another.
Recipients are dense ids; a range of ids is a span, inclusive at both ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, overload

from bulkmail.delivery.disposition import Disposition
from bulkmail.smtp import EndOfData, Mailbox
from bulkmail.transport.approach import Source

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


class Roll(Protocol):
    """Recipients in id order, of whom nothing is read until it is needed."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def addresses(self) -> Sequence[str]:
        """Canonical, in the same order."""

    @property
    def tried(self) -> bool:
        """Some of them were tried before: then `attempts` and `since` of each are to be looked at."""

    def pick(self, positions: Sequence[int], /) -> Roll:
        """Those at `positions`, which ascend."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Recipient]: ...
    @overload
    def __getitem__(self, index: int, /) -> Recipient: ...
    @overload
    def __getitem__(self, index: slice, /) -> Roll: ...


class Listed:
    """A Roll of recipients that were read already."""

    __slots__ = ("_people", "addresses", "ids", "tried")

    def __init__(self, people: Sequence[Recipient]) -> None:
        self._people = people
        self.ids: Sequence[int] = [one.id for one in people]
        self.addresses: Sequence[str] = [one.address for one in people]
        self.tried = any(one.attempts for one in people)

    def pick(self, positions: Sequence[int], /) -> Roll:
        return Listed([self._people[position] for position in positions])

    def __len__(self) -> int:
        return len(self._people)

    def __iter__(self) -> Iterator[Recipient]:
        return iter(self._people)

    @overload
    def __getitem__(self, index: int, /) -> Recipient: ...
    @overload
    def __getitem__(self, index: slice, /) -> Roll: ...
    def __getitem__(self, index: int | slice, /) -> Recipient | Roll:
        return Listed(self._people[index]) if isinstance(index, slice) else self._people[index]


@dataclass(slots=True)
class Letter:
    """What one transaction carries, and its reverse-path: of one recipient, or of all who share it.

    `pieces`: of its content, canonical lines, not dot-stuffed. They are put together when it goes on the
    wire, and not before: most of its octets are in pieces that other letters have too. `smtputf8`: its header
    has addresses that need SMTPUTF8 (RFC 6531). `alone`: nobody else may see it, whatever the parcel says; a
    token or address is in it (I9).
    """

    reverse_path: Mailbox | None  # None is the null reverse-path
    pieces: tuple[bytes, ...] = field(repr=False)
    smtputf8: bool = False
    alone: bool = False
    size: int = field(init=False)  # octets of content
    _end_of_data: EndOfData | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = len(b"".join(self.pieces))  # to put a hundred pieces together is faster than to add up

    @property
    def needs_smtputf8(self) -> bool:
        """Whoever it goes to."""
        path = self.reverse_path
        return self.smtputf8 or (path is not None and path.smtputf8)

    @property
    def content(self) -> bytes:
        """The whole, put together anew."""
        return b"".join(self.pieces)

    @property
    def end_of_data(self) -> EndOfData:
        """As DATA wants it; kept where it is the same for all who share the letter."""
        if self._end_of_data is not None:
            return self._end_of_data
        made = EndOfData.of(self.content)
        if not self.alone:
            self._end_of_data = made
        return made


class Where(NamedTuple):
    """The connection that an attempt used, as the accounting tells it."""

    host: str = ""
    address: str = ""
    source: str = ""
    tls: str = ""


class Verdict(NamedTuple):
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


class Opened(NamedTuple):
    """An end of data about to be sent: on disk before its first octet."""

    key: int
    spans: tuple[Span, ...]
    where: Where
    at: float


class Work(Protocol):
    """How to load, render and record. Every method may raise StoreError."""

    async def fetch(self, parts: Sequence[Sequence[Span]]) -> list[Roll]:
        """The recipients of each part, in id order."""

    def withheld(self, rolls: Sequence[Roll]) -> AbstractSet[int]:
        """Ids of those the suppression store has learned of since the plan. Cheap: asked before each MAIL."""

    async def letters(self, recipients: Sequence[Recipient]) -> Sequence[Letter | str]:
        """One each, in order; the same object for all where it is shared.

        A `str` says, for people, why this row has none. ConfigError says that there is none for a cause that
        is no row's: nobody is settled by it, and no letter is asked for after it. It may take milliseconds a
        letter, of a processor: whatever waits meanwhile is not held up. Nothing is recorded, so what was
        asked for may be dropped.
        """

    def note(
        self,
        verdicts: Sequence[Verdict] = (),
        *,
        opened: Sequence[Opened] = (),
        closed: Sequence[int] = (),
        people: Sequence[Roll] = (),
    ) -> None:
        """Write it down, in order. It is on disk once a `synced` that was called later has returned.

        `people` are those the verdicts speak of, for the accounting.
        """

    async def synced(self) -> None:
        """What was noted until now is on disk: one sync serves all who wait."""


class Parcel:
    """Recipients of one domain that nobody has taken yet, as spans; the unit a destination is given.

    Sessions take slices off its front and put back what they could not try. A parcel is finished when it
    is empty and nothing of it is out: `out` counts recipients taken and not yet settled one way or another.
    `attempts`: how often its recipients were tried before, where they come back from a deferral. `known`: all
    of them, where they are few and were read with many others; for whoever takes them all at once.
    `interval`: the number by which all of it can be read again, where that is so. `site`: where it is queued.
    `source`: what it is to leave from; None: whatever the kernel chooses.
    """

    def __init__(
        self,
        domain: str,
        spans: Iterable[Span],
        *,
        shared: bool,
        attempts: int = 0,
        interval: int | None = None,
    ) -> None:
        self.domain = domain
        self.interval = interval
        self.site = ""
        self.source: Source | None = None
        self.shared = shared
        self.attempts = attempts
        self._spans = list(spans)[::-1]  # the next ones last
        self.waiting = sum(last - first + 1 for first, last in self._spans)
        self.out = 0
        self.known: Roll | None = None

    @property
    def finished(self) -> bool:
        return not self.waiting and not self.out

    @property
    def spans(self) -> tuple[Span, ...]:
        """Of those who wait."""
        return tuple(self._spans[::-1])

    def take_known(self, most: int) -> Taken:
        """`take`, with the recipients where they are known."""
        known, self.known = self.known, None
        if known is None or most < self.waiting:
            return Taken(self, self.take(most))
        return Taken(self, self.take(most), known)

    def take(self, most: int) -> tuple[Span, ...]:
        """At most `most` recipients off the front, as spans in id order."""
        taken: list[Span] = []
        room = most
        while room and self._spans:
            first, last = self._spans.pop()
            count = min(room, last - first + 1)
            taken.append((first, first + count - 1))
            if first + count <= last:
                self._spans.append((first + count, last))
            room -= count
        self.waiting -= most - room
        self.out += most - room
        return tuple(taken)

    def put_back(self, ids: Sequence[int]) -> None:
        """Return recipients who were taken and are to be tried by somebody else, or later in this run."""
        self._spans += reversed(spans_of(ids))
        self.waiting += len(ids)
        self.out -= len(ids)


class Taken(NamedTuple):
    """What a session has taken of a parcel."""

    parcel: Parcel
    spans: tuple[Span, ...]
    roll: Roll | None = None  # those in the spans, where they were read before


def spans_of(ids: Iterable[int]) -> tuple[Span, ...]:
    """Ascending ids as the fewest spans that hold them."""
    if isinstance(ids, range) and ids and ids.step == 1:
        return ((ids[0], ids[-1]),)
    spans: list[Span] = []
    for number in ids:
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return tuple(spans)
