"""The whole of delivery over real sockets, with a `Work` that keeps everything in memory.

People are numbered from 1 and live in a.test, unless `domain_of` says where else. What delivery asks for is
kept in order, so that a test can say what was asked before it was needed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain

import trio

from bulkmail import sandbox
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.work import Letter, Listed, Opened, Parcel, Recipient, Roll, Span, Verdict
from bulkmail.dns.resolver import Resolver
from bulkmail.dns.routes import Routes
from bulkmail.smtp import Mailbox, canonical
from bulkmail.transport.approach import Approach, Source, TlsPolicy
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    address: str
    fields: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    since: float | None = None


def person(number: int, domain: str = "a.test") -> Person:
    return Person(number, f"p{number}@{domain}")


def letter_of(one: Recipient, *, octets: int = 0, smtputf8: bool = False) -> Letter:
    """His name is in it and in its reverse-path."""
    content = canonical(f"To: {one.address}\r\n\r\nHello {one.id}\r\n".encode() + b"x" * octets + b"\r\n")
    return Letter(Mailbox.parse(f"bounces+{one.id}@acme.test"), (content,), smtputf8)


class Post:
    """`write` makes a letter or says why there is none; `until` is awaited while letters are written."""

    def __init__(self, write: Callable[[Recipient], Letter | str] = letter_of) -> None:
        self.write = write
        self.until: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
        self.asked: list[list[int]] = []
        self.suppressed: set[int] = set()
        self.verdicts: dict[int, str] = {}
        self.notes: dict[int, str] = {}
        self.opened: list[tuple[Span, ...]] = []
        self.open: dict[int, tuple[Span, ...]] = {}  # intents that were not closed
        self.synced_to = 0  # of `opened`
        self.domain_of: Callable[[int], str] = lambda number: "a.test"

    async def fetch(self, parts: Sequence[Sequence[Span]]) -> list[Roll]:
        return [
            Listed(
                [
                    person(each, self.domain_of(each))
                    for first, last in spans
                    for each in range(first, last + 1)
                ]
            )
            for spans in parts
        ]

    def withheld(self, rolls: Sequence[Roll]) -> AbstractSet[int]:
        return self.suppressed.intersection(chain.from_iterable(roll.ids for roll in rolls))

    async def letters(self, recipients: Sequence[Recipient]) -> Sequence[Letter | str]:
        self.asked.append([one.id for one in recipients])
        await self.until()
        return [self.write(one) for one in recipients]

    def note(
        self,
        verdicts: Sequence[Verdict] = (),
        *,
        opened: Sequence[Opened] = (),
        closed: Sequence[int] = (),
        people: Sequence[Roll] = (),
    ) -> None:
        for key in closed:
            del self.open[key]
        for one in opened:
            self.opened.append(one.spans)
            assert one.key not in self.open, f"the intent {one.key} is open"
            self.open[one.key] = one.spans
        for verdict in verdicts:
            for number in range(verdict.first, verdict.last + 1):
                assert number not in self.verdicts, f"{number} has two fates"
                self.verdicts[number] = verdict.disposition.fate.value
                self.notes[number] = verdict.disposition.text

    async def synced(self) -> None:
        await trio.lowlevel.checkpoint()
        self.synced_to = len(self.opened)


class Office:
    """Delivers to people `1` … `count`, as often as asked, over one pool."""

    def __init__(self, post: Post, pool: Pool, routes: Routes, ledger: sandbox.Ledger) -> None:
        self.post = post
        self.ledger = ledger
        self._pool = pool
        self._routes = routes

    def dispatcher(self, **limits: float) -> Dispatcher:
        return Dispatcher(
            Plant(
                work=self.post,
                pool=self._pool,
                routes=self._routes,
                limits=Limits(**({"connections": 1, "message_rate": 1e6, "connection_rate": 1e6} | limits)),
                retry=Retry(1.0, 1.0, 1.0, 3600.0),
                slots=Slots(10),
                now=time.time,
            )
        )

    async def deliver(
        self, count: int, dispatcher: Dispatcher | None = None, *, shared: bool = False
    ) -> None:
        parcels = [Parcel("a.test", [(1, count)], shared=shared)]

        async def source() -> Parcel | None:
            await trio.lowlevel.checkpoint()
            return parcels.pop() if parcels else None

        await (dispatcher or self.dispatcher()).run(source)

    @property
    def envelopes(self) -> list[tuple[str, tuple[str, ...], bytes]]:
        """What arrived: reverse-path, forward-paths, the line of the content that says to whom."""
        return [
            (one.reverse_path, one.recipients, one.content.split(b"\r\n")[0]) for one in self.ledger.messages
        ]


@asynccontextmanager
async def office(world: sandbox.World, post: Post) -> AsyncIterator[Office]:
    async with sandbox.serve(world) as running:
        approach = Approach(port=running.smtp_port, ehlo="out.test", tls=TlsPolicy.NONE)
        resolver = Resolver((running.dns,))
        pool = Pool(Dialer(approach, dead=DeadAddresses()), per_host=10, messages=1_000)
        try:
            yield Office(post, pool, Routes(resolver, allow_private=True), world.ledger)
        finally:
            await pool.aclose()
            await resolver.aclose()


class Counted:
    """A `Warmth` with a quota that suffices. `count`: recipients of today, by its account."""

    def __init__(self) -> None:
        self.count = 0

    def close(self) -> None:
        pass

    def spent(self, source: Source, host: str) -> None:
        return None

    def is_warm(self, source: Source, host: str) -> bool:
        return False

    async def provide(self, source: Source, host: str, wanted: int) -> None:
        await trio.lowlevel.checkpoint()

    def claim(self, source: Source, host: str, most: int) -> int:
        self.count += most
        return most

    def unclaim(self, source: Source, host: str, count: int) -> None:
        self.count -= count
