"""Stopped at every `await` of a delivery, one after the other: the pool is clean, and the account is right.

Each case delivers to a handful of people again and again, and each time everything is cancelled, or drained,
one step further on, until a delivery comes to its end. After each: no connection is kept that is not idle, no
place at a host is lost and no socket left open; whoever is delivered, or in doubt, has one copy, nobody else
has any; and a second run brings those who are left exactly one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
from post_office import Counted, Post, letter_of
from stepping import Stepper
from three_ways import shared_letter
from ways import only

from bulkmail import sandbox
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.sources import Sources
from bulkmail.delivery.work import Parcel, Span
from bulkmail.dns.resolver import Resolver
from bulkmail.dns.routes import Routes
from bulkmail.transport.approach import Approach, Credentials, Source, TlsPolicy
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool
from bulkmail.transport.race import connect_tcp
from bulkmail.transport.stream import TcpStream

PATIENCE_S = 60.0
REFUSED, LATER = UNWANTED = 3, 5  # whom the hosts refuse, and whom they put off
HOSTS = ("mx.a.test", "two.a.test")
LOOPBACK = "127.0.0.1"
MUCH = 600_000  # octets, which a kernel with little room does not take at once


@dataclass(frozen=True)
class Case:
    way: str | None = None  # None: as the session decides
    tls: bool = False
    shared: int = 0  # so many to a transaction
    connections: int = 1
    per_host: int = 10
    messages: int = 100  # on a connection
    people: int = 7
    octets: int = 0  # of content
    user: bool = False  # log in, inside TLS from the first octet
    rate: float | None = None  # messages a second
    warming: bool = False  # what leaves is counted first
    world: Callable[[sandbox.Domain], object] = lambda _: None

    @property
    def numbers(self) -> range:
        return range(1, self.people + 1)


def _one_that_leaves(domain: sandbox.Domain) -> None:
    domain.host(HOSTS[0], 5).host(HOSTS[1], 10).hosts[0].reply("RCPT", b"421 4.3.2 bye", after=2)


def _relay(domain: sandbox.Domain) -> None:
    domain.set(implicit_tls=True).users({"user": "password"})


CASES = {
    "plain": Case("plain"),
    "riding": Case("riding"),
    "whole": Case("whole"),
    "plain, TLS": Case("plain", tls=True),
    "riding, TLS": Case("riding", tls=True),
    "whole, TLS": Case("whole", tls=True),
    "whole, shared": Case("whole", tls=True, shared=3),
    "riding, shared": Case("riding", shared=3),
    "as it comes, few messages to a connection": Case(tls=True, messages=2),
    "one place for two sessions": Case("riding", connections=2, per_host=1, messages=3),
    "a race of addresses": Case("plain", world=lambda domain: domain.set(dead_addresses=2)),
    "TLS that does not work": Case("plain", tls=True, world=lambda domain: domain.tls("broken")),
    "another host in the middle": Case(tls=True, world=_one_that_leaves),
    "in turns, so many messages a second": Case("riding", connections=2, rate=500.0),
    "from a new source, plain": Case("plain", shared=3, warming=True),
    "from a new source, riding": Case("riding", connections=2, warming=True),
    "from a new source, whole": Case("whole", warming=True),
    "a relay that wants a password": Case("plain", user=True, world=_relay),
    "plain, much to write": Case("plain", people=3, octets=MUCH),
    "riding, much to write": Case("riding", tls=True, people=3, octets=MUCH),
    "whole, much to write": Case("whole", people=3, octets=MUCH),
}


async def with_little_room(address: str, port: int) -> TcpStream:
    stream = await connect_tcp(address, port)
    stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    return stream


def towards(port: int) -> int:
    """Sockets of this process that are connected to `port`."""
    found = 0
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # gone, or it listens
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    peer = copy.getpeername()
                    found += len(peer) > 1 and peer[1] == port
    return found


@dataclass
class Delivery:
    """To people 1, 2, 3 …, of whom some may have been delivered to before."""

    case: Case
    approach: Approach
    routes: Routes
    post: Post = field(init=False)
    pool: Pool = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    warmth: Counted = field(init=False)

    def __post_init__(self) -> None:
        case = self.case
        self.post = Post(shared_letter if case.shared else partial(letter_of, octets=case.octets))
        connect = with_little_room if case.octets else None
        dialer = Dialer(self.approach, dead=DeadAddresses(), connect=connect)
        self.pool = Pool(dialer, per_host=case.per_host, messages=case.messages)
        self.warmth = Counted()

    async def run(self, spans: list[Span]) -> None:
        limits = Limits(
            connections=self.case.connections,
            recipients_per_transaction=self.case.shared or 1,
            messages_per_connection=self.case.messages,
            message_rate=self.case.rate,
        )
        sources = Sources([Source(LOOPBACK, "out.test")], warmth=self.warmth) if self.case.warming else None
        plant = Plant(
            work=self.post,
            pool=self.pool,
            routes=self.routes,
            limits=limits,
            retry=Retry(1.0, 1.0, 1.0, 3600.0),
            slots=Slots(10),
            now=time.time,
            sources=sources,
        )
        parcels = [Parcel("a.test", spans, shared=bool(self.case.shared))]

        async def source() -> Parcel | None:
            await trio.lowlevel.checkpoint()
            return parcels.pop() if parcels else None

        self.dispatcher = Dispatcher(plant)
        await self.dispatcher.run(source)

    def check_pool(self) -> None:
        """Only what is idle is kept, and nothing else is counted."""
        kept = list(self.pool._idle)
        assert all(connection.usable and connection.quiet for connection in kept)
        assert sum(self.pool.open_at(host) for host in HOSTS) == self.pool.idle == len(kept)
        assert not self.pool._waiting._at

    @property
    def states(self) -> dict[int, str]:
        """As the journal has it when the next run starts: whoever is left of an open intent is in doubt."""
        doubted = {
            number: "in_doubt"
            for spans in self.post.open.values()
            for first, last in spans
            for number in range(first, last + 1)
        }
        return dict.fromkeys(self.case.numbers, "pending") | doubted | self.post.verdicts


class Ground:
    """Hosts that serve a.test, delivered to again and again."""

    def __init__(self, case: Case, running: sandbox.Running, resolver: Resolver) -> None:
        self.case, self.running = case, running
        self.routes = Routes(resolver, allow_private=True)
        tls = TlsPolicy.OPPORTUNISTIC if case.tls else TlsPolicy.NONE
        self.approach = Approach(  # once, for it loads all the authorities there are
            port=running.smtp_port,
            ehlo="out.test",
            tls=tls,
            implicit_tls=case.user,
            credentials=Credentials("user", "password") if case.user else None,
            insecure_auth=True,
        )

    async def copies(self) -> list[int]:
        """By the account of the hosts, once they have read all that was sent to them."""
        ledger = self.running.world.ledger
        while not all(session.ended for session in ledger.sessions):
            await trio.lowlevel.checkpoint()
        return [ledger.copies[f"p{number}@a.test"] for number in self.case.numbers]

    def forget(self) -> None:
        ledger = self.running.world.ledger
        ledger.copies.clear()
        ledger.sessions.clear()
        ledger.messages.clear()
        self.running.world.tally.clear()

    async def stopped_at(self, step: int, *, at_once: bool) -> bool:
        """Deliver, and stop it behind that step. False if it came to its end before."""
        self.forget()
        delivery = Delivery(self.case, self.approach, self.routes)
        scope = trio.CancelScope()
        stop = scope.cancel if at_once else lambda: delivery.dispatcher.stop()
        with scope, Stepper(step, stop) as stepper:
            await delivery.run([(1, self.case.people)])
        assert step > 1 or {*delivery.states.values()} == {"pending"}
        if not at_once:
            assert (delivery.post.open, "in_doubt" in delivery.states.values()) == ({}, False)
        if self.case.warming:  # never less than may have left; where it came to an end by itself, just that
            left = sum(state != "pending" for state in delivery.states.values())
            assert delivery.warmth.count >= left if at_once else delivery.warmth.count == left
        await self.check(delivery)
        states = delivery.states
        # a second run: of those in doubt the hosts' account says the truth
        again = Delivery(self.case, self.approach, self.routes)
        copies = await self.copies()
        lost = [
            n
            for n, state in states.items()
            if state == "pending" or (state == "in_doubt" and not copies[n - 1])
        ]
        again.post.verdicts = {number: state for number, state in states.items() if number not in lost}
        if lost:
            await again.run([(number, number) for number in lost])
        await self.check(again)
        assert (await self.copies(), again.post.open) == ([n not in UNWANTED for n in self.case.numbers], {})
        return stepper.met

    async def check(self, delivery: Delivery) -> None:
        delivery.check_pool()
        assert towards(self.running.smtp_port) == delivery.pool.idle
        await delivery.pool.aclose()
        assert towards(self.running.smtp_port) == 0
        states = delivery.states
        for (number, state), copies in zip(states.items(), await self.copies(), strict=True):
            assert copies in self.expected(number, state), f"{number} is {state}: {copies} copies"

    def expected(self, number: int, state: str) -> tuple[int, ...]:
        if state == "in_doubt":
            # The hosts read on what the kernel has of ours, unless they are writing when we go away.
            return (0,) if number in UNWANTED else (0, 1) if self.case.octets else (1,)
        return (state == "delivered",)


async def everywhere(case: Case, at: Callable[[Ground, int], Awaitable[bool]]) -> None:
    """At each step of the case, until `at` says that a delivery has come to its end before that."""
    world = sandbox.World()
    domain = world.domain("a.test").refuse(f"p{REFUSED}").refuse(f"p{LATER}", b"450 4.2.1 later")
    case.world(domain)
    with trio.fail_after(PATIENCE_S):
        async with sandbox.serve(world) as running:
            resolver = Resolver((running.dns,))
            ground = Ground(case, running, resolver)
            with only(case.way, 3) if case.way else contextlib.nullcontext():
                step = 1
                while await at(ground, step):
                    step += 1
            await resolver.aclose()


@pytest.mark.parametrize("name", CASES)
async def test_wherever_a_delivery_is_cancelled_the_pool_is_clean_and_the_account_right(name: str) -> None:
    """P2."""
    await everywhere(CASES[name], partial(Ground.stopped_at, at_once=True))


@pytest.mark.parametrize("name", CASES)
async def test_wherever_a_delivery_is_drained_what_is_open_ends_and_nobody_is_in_doubt(name: str) -> None:
    """P1."""
    await everywhere(CASES[name], partial(Ground.stopped_at, at_once=False))
