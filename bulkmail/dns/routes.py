"""From a domain to the hosts that take its mail (RFC 5321 section 5.1), or to the reason why there are none.

How it thinks: which hosts count is decided from the MX list alone, by plain functions, so that two domains
with the same list always belong to the same site, whatever their addresses do at the moment. Only then are
addresses looked up, in order of preference and no more of them than one attempt can use. What happens to each
host is one word (Fate), and the words together decide between "fail" and "defer": a single look-up that got
no answer makes it "defer", because we do not know (FAULTS.md D4).
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import random
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, cast

import trio

from bulkmail.dns.addresses import canonical_address, interleave, is_address, is_local_name, is_public
from bulkmail.dns.resolver import Answer, Resolver, Status

# With hundreds of MX whose names do not resolve, look-ups stop at this many times `max_hosts` (D8).
NAMES_PER_HOST = 4


class Host(NamedTuple):
    """A mail exchanger. `addresses`: IPv6 and IPv4 in turn, as text, at least one, capped."""

    preference: int
    name: str  # lower-case, no final dot; the address itself for an address literal
    addresses: tuple[str, ...]


class Route(NamedTuple):
    """`hosts` by preference, equal ones shuffled, never empty. `site`: the name of those who share them."""

    domain: str
    hosts: tuple[Host, ...]
    site: str


class NoRoute(NamedTuple):
    """`permanent`: fail, else defer. `enhanced` is an RFC 3463 code of that class; `reason` is for people."""

    domain: str
    permanent: bool
    enhanced: str
    reason: str


class Fate(enum.Enum):
    """What looking for the addresses of one host came to."""

    USABLE = "has an address"
    OWN = "is this host"
    PRIVATE = "has private or loopback addresses only"
    ABSENT = "does not resolve"
    UNKNOWN = "could not be looked up"


class _Found(NamedTuple):
    fate: Fate
    addresses: tuple[str, ...] = ()
    reason: str = ""


class Routes:
    """Routes for domains. `own_names` and `own_addresses` are this machine's, as MX hosts would be called.

    `max_hosts` for one route and `max_addresses` for each host bound what one attempt tries (D8). Without
    `ipv6` this machine has no way to IPv6 addresses, and asks for them only where there are no others.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        allow_private: bool,
        own_names: Collection[str] = (),
        own_addresses: Collection[str] = (),
        max_hosts: int = 5,
        max_addresses: int = 8,
        ipv6: bool = True,
        rng: random.Random | None = None,
    ) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._own_names = frozenset(name.lower().removesuffix(".") for name in own_names)
        self._own_addresses = frozenset(map(canonical_address, own_addresses))
        self._max_hosts = max_hosts
        self._max_addresses = max_addresses
        self._ipv6 = ipv6
        self._rng = rng or random.Random()

    async def route(self, domain: str) -> Route | NoRoute:
        """The way to `domain` (A-labels, or an address literal in brackets).

        Raises LocalResourceError when this machine ran out of something and could not ask: nothing is known
        of the domain then and nobody is to be charged; pause and call again (T6).
        """
        await trio.lowlevel.checkpoint_if_cancelled()  # the others have their turn while we wait for answers
        if domain.startswith("["):
            return self._literal(domain)
        answer = await self._resolver.mx(domain)
        match answer.status:
            case Status.FAILED:  # never fall back to A: the MX may be elsewhere
                return NoRoute(domain, False, "4.4.3", f"the MX look-up failed: {answer.reason}")
            case Status.NXDOMAIN:
                return NoRoute(domain, True, "5.1.2", "the domain does not exist (NXDOMAIN)")
            case Status.NODATA:
                exchangers = [(0, domain.lower().removesuffix("."))]
            case Status.FOUND:
                exchangers = cast("list[tuple[int, str]]", list(answer.records))
        if not exchangers:
            return NoRoute(domain, False, "4.4.4", f"none of the MX records can be used: {answer.reason}")
        # "." beside other exchangers is a mistake and means nothing (RFC 7505 section 3).
        # A host that is listed twice counts where it is best.
        best = {host: preference for preference, host in sorted(exchangers, reverse=True) if host}
        exchangers = [(preference, host) for host, preference in best.items()]
        if not exchangers:
            return NoRoute(domain, True, "5.1.10", "the domain does not accept mail (null MX)")
        before_us = before_own(exchangers, self._own_names)
        if not before_us:
            return _loops(domain)
        return await self._resolve(domain, before_us, implicit=answer.status is Status.NODATA)

    async def relay(self, host: str) -> Route | NoRoute:
        """The way to a relay that the user named: its A and AAAA, or the address it is; nothing refused.

        Raises what `route` raises.
        """
        await trio.lowlevel.checkpoint()
        name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
        try:
            return Route(host, (Host(0, name, (canonical_address(name),)),), name)
        except ValueError:
            found = await self._addresses(name, trusted=True)
        if found.fate is Fate.USABLE:
            return Route(host, (Host(0, name, found.addresses),), name)
        if found.fate is Fate.UNKNOWN:
            return NoRoute(host, False, "4.4.3", f"the look-up of {name} failed: {found.reason}")
        return NoRoute(host, True, "5.4.4", f"{name} has no address")

    def _literal(self, domain: str) -> Route | NoRoute:
        text = domain.strip("[]").lower().removeprefix("ipv6:")
        try:
            address = canonical_address(text)
        except ValueError:
            return NoRoute(domain, True, "5.1.2", "not an IP address")
        if address in self._own_addresses:
            return _loops(domain)
        if not self._allow_private and not is_public(address):
            return NoRoute(domain, True, "5.4.4", f"{address} is a private or loopback address")
        return Route(domain, (Host(0, address, (address,)),), address)

    async def _resolve(
        self, domain: str, exchangers: Sequence[tuple[int, str]], *, implicit: bool
    ) -> Route | NoRoute:
        shuffled = sorted(exchangers, key=lambda exchanger: (exchanger[0], self._rng.random()))
        hosts: list[Host] = []
        fates: dict[Fate, str] = {}  # with the last of that fate in words
        looked_at = shuffled[: self._max_hosts * NAMES_PER_HOST]
        for preference, name in looked_at:
            found = await self._addresses(name)
            fates[found.fate] = f"{name} {found.fate.value}" + (f" ({found.reason})" if found.reason else "")
            if found.fate is Fate.OWN:
                # Equal and worse ones would hand the mail back to us (RFC 5321 section 5.1).
                hosts = [host for host in hosts if host.preference < preference]
                break
            if found.fate is Fate.USABLE:
                hosts.append(Host(preference, name, found.addresses))
            if len(hosts) == self._max_hosts:
                break
        if hosts:
            return Route(domain, tuple(hosts), site_name(exchangers))
        if Fate.UNKNOWN in fates:
            return NoRoute(domain, False, "4.4.3", fates[Fate.UNKNOWN])
        if Fate.OWN in fates:
            return _loops(domain)
        if len(looked_at) < len(shuffled):
            return NoRoute(domain, False, "4.4.4", f"none of the first {len(looked_at)} MX hosts can be used")
        if Fate.PRIVATE in fates:
            return NoRoute(domain, True, "5.4.4", fates[Fate.PRIVATE])
        if implicit:
            return NoRoute(domain, True, "5.1.2", "the domain has neither MX nor address")
        return NoRoute(domain, True, "5.4.4", f"none of the MX hosts resolves: {fates[Fate.ABSENT]}")

    async def _addresses(self, name: str, *, trusted: bool = False) -> _Found:
        """Look for the addresses of `name`; `trusted` asks for no refusal of private or own ones."""
        if not trusted and not self._allow_private and is_local_name(name):
            return _Found(Fate.PRIVATE)
        if is_address(name):  # an MX that is an IP literal
            answers = [Answer(Status.FOUND, (canonical_address(name),), 0)]
            if not trusted and not self._allow_private:
                return _Found(Fate.PRIVATE, reason="an address where a host name belongs")
        else:
            answers = [await self._resolver.a(name)]
            if answers[0].status is not Status.NXDOMAIN and (self._ipv6 or not answers[0].records):
                answers.insert(0, await self._resolver.aaaa(name))
        addresses = cast("list[str]", [record for answer in answers for record in answer.records])
        if not addresses:
            failures = [answer.reason for answer in answers if answer.status is Status.FAILED]
            return _Found(Fate.UNKNOWN, reason=failures[0]) if failures else _Found(Fate.ABSENT)
        own = self._own_addresses  # mostly none, and then there is nothing to be compared
        if own and not trusted and not own.isdisjoint(map(canonical_address, addresses)):
            return _Found(Fate.OWN)
        if not trusted and not self._allow_private:
            addresses = [address for address in addresses if is_public(address)]
            if not addresses:
                return _Found(Fate.PRIVATE)
        self._rng.shuffle(addresses)
        return _Found(Fate.USABLE, tuple(interleave(addresses)[: self._max_addresses]))


def before_own(
    exchangers: Sequence[tuple[int, str]], own_names: Collection[str]
) -> Sequence[tuple[int, str]]:
    """Without our own host and every other of equal or worse preference (RFC 5321 section 5.1)."""
    ours = min((preference for preference, host in exchangers if host in own_names), default=None)
    return exchangers if ours is None else [one for one in exchangers if one[0] < ours]


def site_name(exchangers: Iterable[tuple[int, str]]) -> str:
    """The same for all domains with the same hosts in the same order of preference, different for others.

    One host alone gives the site its name. Several would make it long, and the first of them may lead other
    lists as well, so a digest of the rest follows: `aspmx.l.example~1f2e3d4c`. The preferences count only by
    their order: 10 and 20 are the same as 1 and 5. Case and order within one preference do not matter.
    """
    ranks = [
        sorted({host for _, host in equals})
        for _, equals in itertools.groupby(sorted(exchangers), key=lambda exchanger: exchanger[0])
    ]
    first = ranks[0][0]
    if len(ranks) == 1 and len(ranks[0]) == 1:
        return first
    digest = hashlib.blake2s("|".join(",".join(rank) for rank in ranks).encode(), digest_size=4)
    return f"{first}~{digest.hexdigest()}"


def _loops(domain: str) -> NoRoute:
    return NoRoute(domain, True, "5.4.6", "this host is the domain's best mail exchanger: mail would loop")
