"""Which egress source a recipient's message leaves from: by weight, and the same one each time.

A greylist knows its triplets by the source, and a provider its senders; so a recipient who is tried again
comes from where he came from before. Nothing is remembered for that: recipients are numbered in blocks, and
the blocks of a domain are dealt out along a cycle in which each source stands as often as its weight says, as
evenly as can be. Every process and every run deals alike, and while a source is left out only its own blocks
go elsewhere: to the next one of the cycle.

A source is left out at one site after the site has blocked it, and everywhere while this machine does not
have its address. Plain values and plain functions of a given monotonic `now`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import gcd
from typing import NamedTuple, Protocol
from zlib import crc32

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.evidence import is_proof
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.work import Parcel, Span
from bulkmail.dns.routes import Route
from bulkmail.transport.approach import Source
from bulkmail.transport.stage import Stage

BLOCK = 64  # recipients, neighbours in the plan, that leave from one source
BLOCKED_S = 3600.0  # for which a source that a site has blocked is left out there
BLOCKED_MOST_S = 86_400.0  # … whatever the site says: who is off its list by tomorrow is asked for again
LOST_S = 300.0  # for which one is left out whose address this machine has not
EVERYWHERE = ""  # as the name of a site
MARKS = 10_000  # (source, site) that are remembered
SUSPECT = 3  # recipients in a row who were refused, as it seems for the source


class Warmth(Protocol):
    """What a source may send to a provider today, where it is new there. `host`: one of it, or a site."""

    def spent(self, source: Source, host: str) -> Disposition | None:
        """Why nothing more may leave from it today; None where something may."""

    def is_warm(self, source: Source, host: str) -> bool:
        """No quota holds for it."""

    async def provide(self, source: Source, host: str, wanted: int) -> None:
        """See to it that so many may be claimed, where the quota of today suffices. Raises StoreError."""

    def claim(self, source: Source, host: str, most: int) -> int:
        """So many recipients, at most `most`, may be sent to now, of those provided for; they are counted."""

    def unclaim(self, source: Source, host: str, count: int) -> None:
        """So many of them were not sent to after all."""

    def close(self) -> None:
        """Nobody is sending any more."""


class Mark(NamedTuple):
    until: float
    why: Disposition


class Sources:
    """At least one, all of them different. `overflow`: who finds a quota spent takes a source without one."""

    def __init__(
        self, sources: Sequence[Source], *, warmth: Warmth | None = None, overflow: bool = False
    ) -> None:
        self.all = tuple(sources)
        self.warmth = warmth
        self._overflow = overflow
        self._cycle = cycle(self.all)
        self._left_out: dict[tuple[Source, str], Mark] = {}
        self._suspected: dict[tuple[Source, str], int] = {}
        self.on_block: Callable[[str, Source, float], None] = lambda site, source, seconds: None

    def close(self) -> None:
        """Nothing leaves any more."""
        if self.warmth is not None:
            self.warmth.close()

    def in_turn(self, domain: str, number: int) -> Iterator[Source]:
        """The source of the recipient `number`, then who stands in for it, each once."""
        start = crc32(domain.encode()) + number // BLOCK
        first = self._cycle[start % len(self._cycle)]
        yield first
        seen = {first}
        for step in range(1, len(self._cycle)):
            source = self._cycle[(start + step) % len(self._cycle)]
            if source not in seen:
                seen.add(source)
                yield source

    def choose(self, domain: str, number: int, route: Route, now: float) -> Source | Disposition:
        """The source of the recipient `number` on this way, or why there is none now."""
        why: Disposition | None = None
        overflows = False
        for source in self.in_turn(domain, number):
            if not reaches(source, route):
                continue
            held = self.left_out(source, route.site, now)
            if held is None and self.warmth is not None:
                held = self.warmth.spent(source, route.site)
                if held is not None and not self._overflow:
                    return held
                if held is None and overflows and not self.warmth.is_warm(source, route.site):
                    continue
                overflows = overflows or held is not None
            if held is None:
                return source
            why = why or held
        return why or _out_of_reach(route)

    def deal(self, parcel: Parcel, route: Route, now: float) -> list[tuple[Source | Disposition, list[Span]]]:
        """The recipients who wait in `parcel`, by where they leave from, or why they cannot."""
        dealt: dict[object, tuple[Source | Disposition, list[Span]]] = {}
        chosen: dict[int, Source | Disposition] = {}
        for first, last in parcel.spans:
            while first <= last:
                end = min(last, first | (BLOCK - 1))
                place = first // BLOCK % len(self._cycle)
                if (to := chosen.get(place)) is None:
                    to = chosen[place] = self.choose(parcel.domain, first, route, now)
                spans = dealt.setdefault(to if isinstance(to, Source) else id(to), (to, []))[1]
                if spans and spans[-1][1] == first - 1:
                    spans[-1] = (spans[-1][0], end)
                else:
                    spans.append((first, end))
                first = end + 1
        return list(dealt.values())

    # --- left out ----------------------------------------------------------------------------------

    def held(self, source: Source, site: str, now: float) -> Disposition | None:
        """Why nothing leaves from it for this site now, or None."""
        why = self.left_out(source, site, now)
        return self.warmth.spent(source, site) if why is None and self.warmth is not None else why

    def left_out(self, source: Source, site: str, now: float) -> Disposition | None:
        """Why it is left out at this site now, or None."""
        if self._left_out:
            for where in (site, EVERYWHERE):
                mark = self._left_out.get((source, where))
                if mark is not None and now < mark.until:
                    return mark.why
        return None

    def block(self, source: Source, route: Route, why: Disposition, now: float) -> float | None:
        """A site refuses all that comes from `source`: for how many seconds it is left out there.

        None, and it is not, where no other could stand in for it, or the site has refused another one a
        while ago: then it is the site as a whole that wants nothing of us, and a third would fare the same.
        """
        others = [one for one in self.all if one is not source and reaches(one, route)]
        if all(self.held(one, route.site, now) is not None for one in others):
            return None
        if any(self._is_blocked(one, route.site, now) for one in others):
            return None
        seconds = min(max(BLOCKED_S, why.wait_s or 0.0), BLOCKED_MOST_S)
        self._leave_out(source, route.site, why._replace(fate=Fate.DEFERRED, scope=Scope.SITE), now + seconds)
        self.on_block(route.site, source, seconds)
        return seconds

    def blocked_by(self, fates: Sequence[Disposition], source: Source, site: str) -> Disposition | None:
        """What says that the site wants nothing from `source`, of what a transaction from there brought.

        What is said of a recipient may be meant of him: then it takes some in a row.
        """
        refused = [fate for fate in fates if fate.consequence is Consequence.SUSPEND]
        if not refused:
            return None
        if (proof := next(filter(is_proof, refused), None)) is not None:
            return proof
        if len(refused) < len(fates):
            return None
        count = self._suspected.pop((source, site), 0) + len(refused)
        if count < SUSPECT:
            self._suspected[source, site] = count
            if len(self._suspected) > MARKS:
                del self._suspected[next(iter(self._suspected))]
            return None
        return refused[0]

    def welcome(self, source: Source, site: str) -> None:
        """Something was taken."""
        if self._suspected:
            self._suspected.pop((source, site), None)

    def _is_blocked(self, source: Source, site: str, now: float) -> bool:
        mark = self._left_out.get((source, site))
        return mark is not None and now < mark.until

    def leave_out(self, site: str, left_s: Mapping[str, float], now: float) -> None:
        """An earlier run has met that a site blocks these of our addresses, each for so many seconds more.

        Not where those are all that there are now: then one has to see.
        """
        ours = [source for source in self.all if source.address in left_s]
        if len(ours) == len(self.all):
            return
        for source in ours:
            note = f"the site has blocked {source}: it is left out there for now"
            why = Disposition(
                Fate.DEFERRED, Scope.SITE, Stage.CONNECT, note=note, meaning=Meaning.BLOCKED, untried=True
            )
            self._leave_out(source, site, why, now + left_s[source.address])

    def lose(self, source: Source, now: float, until: float) -> Disposition | None:
        """This machine has not its address: why it is left out now, everywhere; None where that is known.

        `until`, UTC epoch seconds: nobody is charged for it, and who has no other source waits.
        """
        mark = self._left_out.get((source, EVERYWHERE))
        if mark is not None and now < mark.until:
            return None
        note = f"this machine has no address {source} any more: it is left out for now"
        why = Disposition(Fate.POSTPONED, Scope.SITE, Stage.CONNECT, note=note, until=until)
        self._leave_out(source, EVERYWHERE, why, now + LOST_S)
        return why

    def _leave_out(self, source: Source, site: str, why: Disposition, until: float) -> None:
        self._left_out.pop((source, site), None)
        self._left_out[source, site] = Mark(until, why)
        if len(self._left_out) > MARKS:
            del self._left_out[next(iter(self._left_out))]


def cycle(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Each as often as its weight says, as evenly as can be (smooth weighted round robin)."""
    whole = gcd(*(source.weight for source in sources))
    weights = [source.weight // whole for source in sources]
    total = sum(weights)
    credit = [0] * len(sources)
    found = []
    for _ in range(total):
        credit = [one + weight for one, weight in zip(credit, weights, strict=True)]
        at = max(range(len(sources)), key=lambda at: credit[at])
        credit[at] -= total
        found.append(sources[at])
    return tuple(found)


def reaches(source: Source, route: Route) -> bool:
    """Some host of the route has an address of its family."""
    return not source.address or any(source.fits(a) for host in route.hosts for a in host.addresses)


def _out_of_reach(route: Route) -> Disposition:
    """None of the sources is of a family that the hosts have."""
    family = "IPv6" if any(":" in a for host in route.hosts for a in host.addresses) else "IPv4"
    note = f"{route.hosts[0].name} has {family} addresses only, and no source of this machine is of {family}"
    return Disposition(Fate.DEFERRED, Scope.SITE, Stage.CONNECT, note=note, enhanced="4.4.1")


def once(count: int, finished: Callable[[], None]) -> Callable[[], None]:
    """To be called `count` times; the last of them calls `finished`."""
    left = count

    def one_less() -> None:
        nonlocal left
        left -= 1
        if not left:
            finished()

    return one_less
