"""MX, A, AAAA and TXT from configurable name servers, with one query in flight per name and a bounded memory.

How it thinks: an answer is a value, also when it is "no" or "nobody answered" (FAILED), so nothing here
raises for the network's sake. What does come out is LocalResourceError, when this machine cannot ask (T6): it
is no answer, so it is not remembered, and the caller asks again when he has paused.

Whoever asks first does the asking in its own task; others who want the same name wait for it. If the first is
cancelled or cannot ask, one of those who wait takes over: no nursery and no task needed.

Several servers are not asked at once: the one that answered last is asked first, the next one when it fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import trio

from bulkmail.dns.cache import Cache
from bulkmail.dns.exchange import NoReply, ask
from bulkmail.dns.response import LONGEST_CHAIN, LONGEST_S, Reading, Status, parse_name
from bulkmail.dns.shortage import in_words
from bulkmail.dns.wire import AAAA, MX, TXT, A
from bulkmail.errors import LocalResourceError

__all__ = ["Answer", "Resolver", "Status", "system_nameservers"]

# Seconds for each try. A lost datagram costs little, a server that is slow or away for a moment has its time.
TRIES = (2.0, 3.0, 10.0)
# No try is longer where others are answered meanwhile: the silence is about this name then.
LIVELY_S = 5.0
# A failure is remembered just long enough that a burst for one name costs one round of questions.
FAILURE_S = 5.0


class Answer(NamedTuple):
    """What is known of one name and type until `expires` (on the resolver's clock).

    `records`: for MX pairs (preference, host), sorted, the host lower-case without final dot and "" for the
    root (null MX); for A and AAAA the addresses as text; for TXT the octets of each, sorted. FOUND with no
    records: there are some, all unusable. `reason` says for people why it FAILED.
    """

    status: Status
    records: tuple[object, ...]
    expires: float
    reason: str = ""


@dataclass(slots=True)
class _Flight:
    """A question under way. Landed without answer: whoever asked was cancelled or could not ask."""

    landed: trio.Event = field(default_factory=trio.Event)
    answer: Answer | None = None


class Resolver:
    """Stub resolver over the recursive (or authoritative) servers given as (address, port).

    `tries`: in seconds, how long to wait each time that one question is put, whichever server it is put to.
    Answers that are in the cache are returned without a checkpoint. Every look-up raises LocalResourceError
    when this machine ran out of something.
    """

    def __init__(
        self,
        nameservers: Sequence[tuple[str, int]],
        *,
        tries: Sequence[float] = TRIES,
        cache_size: int = 10_000,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        if not nameservers:
            raise ValueError("a resolver needs at least one name server")
        self._servers = tuple(nameservers)
        self._tries = tuple(tries)
        self._now = now
        self._cache: Cache[tuple[str, int], Answer] = Cache(cache_size, now)
        self._flights: dict[tuple[str, int], _Flight] = {}
        self._first = 0  # index of the server that answered last
        self._answered = 0  # how often any did
        self.queries = 0  # questions put to servers so far, tries not counted

    async def mx(self, domain: str) -> Answer:
        return await self._answer(domain, MX)

    async def a(self, host: str) -> Answer:
        return await self._answer(host, A)

    async def aaaa(self, host: str) -> Answer:
        return await self._answer(host, AAAA)

    async def txt(self, name: str) -> Answer:
        return await self._answer(name, TXT)

    async def aclose(self) -> None:
        """Forget everything. No socket outlives the question it was opened for."""
        self._cache.clear()
        await trio.lowlevel.checkpoint()

    async def _answer(self, name: str, rdtype: int) -> Answer:
        key = (name.lower().removesuffix("."), rdtype)
        while True:
            if (known := self._cache.get(key)) is not None:
                return known
            if (flight := self._flights.get(key)) is None:
                break
            await flight.landed.wait()
            # Given over directly, because an answer with TTL 0 is never in the cache.
            if flight.answer is not None:
                return flight.answer
        flight = self._flights[key] = _Flight()
        try:
            flight.answer = await self._look_up(key[0], rdtype)
            self._cache.put(key, flight.answer)
            return flight.answer
        finally:
            del self._flights[key]
            flight.landed.set()

    async def _look_up(self, name: str, rdtype: int) -> Answer:
        self.queries += 1
        try:
            qname = parse_name(name)
        except ValueError as error:
            return Answer(Status.NXDOMAIN, (), math.inf, f"not a domain name: {error}")
        except OSError as error:  # not even the code that knows odd names could be loaded
            raise LocalResourceError(f"cannot ask for names: {in_words(error)}") from error
        ttl_s = LONGEST_S
        for _ in range(LONGEST_CHAIN):
            try:
                reading = await self._ask(qname, rdtype)
            except NoReply as failure:
                return Answer(Status.FAILED, (), self._now() + FAILURE_S, str(failure))
            ttl_s = min(ttl_s, reading.ttl_s)
            if reading.follow is None:
                return Answer(reading.status, reading.records, self._now() + ttl_s, reading.reason)
            qname = reading.follow
        return Answer(Status.FAILED, (), self._now() + FAILURE_S, "a CNAME chain without end")

    async def _ask(self, name: bytes, rdtype: int) -> Reading:
        """Ask the servers in turn until one answers. Raises the last one's NoReply."""
        first, before = self._first, self._answered
        failure = NoReply("there is no time to ask")
        for turn, timeout_s in enumerate(self._tries):
            server = (first + turn) % len(self._servers)
            if self._answered > before:
                timeout_s = min(timeout_s, LIVELY_S)
            try:
                reading = await ask(self._servers[server], name, rdtype, timeout_s=timeout_s)
            except NoReply as silence:
                failure = silence
                continue
            self._first = server
            self._answered += 1
            return reading
        raise failure


def system_nameservers(path: str | Path = "/etc/resolv.conf") -> tuple[tuple[str, int], ...]:
    """The name servers of this machine, as in resolv.conf(5): without any, the one on this machine."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    words = (line.split() for line in text.splitlines())
    found = tuple((word[1], 53) for word in words if len(word) > 1 and word[0] == "nameserver")
    return found or (("127.0.0.1", 53),)
