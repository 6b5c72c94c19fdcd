"""Where leases are kept to: the sites, the sessions and the pool of one process that sends.

While no other campaign is there everything is as it would be without leases. Then sessions are counted by
site, connections are not kept idle (they count at the server, and would have the places of others), and the
limits of everything at a provider are asked of `Leasing`, by the name that the world knows it by. Where a
campaign takes several of those for one, it holds all of them as soon as it sends to one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Set
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import reduce

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.division import least
from bulkmail.campaign.learning import Learning, learning
from bulkmail.campaign.leasing import Leasing
from bulkmail.campaign.place import journal_path
from bulkmail.campaign.terms import NO_BOUNDS, Terms, narrowest, within, written
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.shaping import Bounds, Limits
from bulkmail.journal import Leases, at_last

SCOPES = 20_000  # names of hosts and sites whose scope is remembered


class SendingGround:
    """See `leasing.Ground`. The rules of `plant` are what is divided; a worker has a part even alone."""

    def __init__(
        self,
        plant: Plant,
        dispatcher: Dispatcher,
        leases: Leases,
        *,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        assert plant.rules is not None
        self._sites, self._pool, self._rules = plant.sites, plant.pool, plant.rules
        self._plant = plant
        self._dispatcher = dispatcher
        self._spawn = spawn
        self._scopes: dict[str, tuple[str, ...]] = {}
        self._providers = plant.rules.providers
        self._there: dict[str, list[Destination]] = {}
        self._closing = 0  # times that idle connections are being closed
        self.leasing = Leasing(leases, self)
        self._attach()

    def _attach(self) -> None:
        """What the sites are told now is ours while no other campaign is there; from now on they ask us."""
        sites, pool, rules, limited = self._sites, self._pool, self._rules, self.leasing.limited
        alone_of, alone_provider, alone_domain = sites.limits_of, sites.provider_of, sites.domain_of

        run_by = sites.run_by

        def run_as(site: str) -> str:
            return run_by(site) if rules.provider(site) else rules.providers.seen_as(site)

        def limits_of(site: str) -> Limits:
            return limited(self.scope(site), rules.limits(site), alone_of(site))

        def provider_of(site: str) -> tuple[str, Bounds] | None:
            alone, whole = alone_provider(site), rules.provider(site)
            scopes = self.scopes_of(site) if self.leasing.sharing else ()
            if whole is None and not any(self.leasing.says(scope, _provider) for scope in scopes):
                return alone
            name, ours = alone or (sites.run_by(site), NO_BOUNDS)
            wholly = NO_BOUNDS if whole is None else whole[1]
            found = [limited(scope, wholly, ours, _provider) for scope in scopes]
            return name, reduce(least, found or [ours])

        def domain_of(site: str, domain: str) -> Bounds | None:
            alone, whole = alone_domain(site, domain), rules.domain(domain)
            if alone is None or whole is None:
                return alone
            return limited(self.scope(site), whole, alone, lambda terms: terms.domain(domain))

        def most(host: str) -> int:
            whole, alone = Limits(self._plant.limits.connections), Limits(pool.per_host)
            return limited(self.scope(host), whole, alone).connections

        sites.limits_of, sites.provider_of, sites.domain_of = limits_of, provider_of, domain_of
        sites.run_by = run_as  # who has no limits of his own for it may be given those of others
        pool.most = most

    def scope(self, name: str) -> str:
        """Of a site or a host: its provider, as the world knows it."""
        return self.scopes_of(name)[0]

    def scopes_of(self, name: str) -> tuple[str, ...]:
        """The same, and others for which the limits of its provider hold, too."""
        if self._providers is not self._rules.providers:  # the campaign was read again
            self._scopes.clear()
            self._providers = self._rules.providers
        scopes = self._scopes.get(name)
        if scopes is None:
            if len(self._scopes) >= SCOPES:
                self._scopes.clear()
            scopes = self._scopes[name] = self._providers.reaches(name)
        return scopes

    # --- what Leasing looks at -------------------------------------------------------------------------

    def scopes(self) -> set[str]:
        there: defaultdict[str, list[Destination]] = defaultdict(list)
        for destination in self._dispatcher.destinations.values():
            if destination.paused and not destination.seats.taken:
                continue  # for hours, it may be: others have its part
            for scope in self.scopes_of(destination.site.name):
                there[scope].append(destination)
        self._there = there
        return set(there)

    def keeps(self, scope: str) -> bool:
        return not self._closing and not any(one.seats.surplus for one in self._there.get(scope, ()))

    def is_empty(self, scope: str) -> bool:
        return not self._closing

    def booked_s(self, scope: str) -> float:
        now = trio.current_time()
        levels = {level for one in self._there.get(scope, ()) for level in (one.level, *one.level.seating)}
        buckets = [
            bucket
            for level in levels
            for bucket in (level.sending.each, level.sending.people, level.dialling.each)
            if bucket is not None
        ]
        return max((bucket.ahead(now) for bucket in buckets), default=0.0)

    def starves(self, scope: str) -> bool:
        now = trio.current_time()
        return any(not one.connections_limit(now) for one in self._there.get(scope, ()))

    def limit_again(self, scopes: Set[str] | None) -> None:
        sites, sharing = self._sites, self.leasing.sharing
        sites.divided, sites.pooled = bool(self._rules.domains) or sharing, not sharing
        destinations = tuple(self._dispatcher.destinations.values())
        for one in destinations:
            sites.keep(one.site)
        names = None
        if scopes is not None:
            names = [name for name in sites.names() if not scopes.isdisjoint(self.scopes_of(name))]
        sites.limit_again(names)
        for one in destinations:
            if scopes is None or not scopes.isdisjoint(self.scopes_of(one.site.name)):
                one.limited()
        self._closing += 1
        self._spawn(self._relimit)

    def terms(self, scopes: Collection[str]) -> dict[str, str]:
        rules = self._rules
        domains = {name: bounds for name in rules.domains if (bounds := rules.domain(name)) is not None}
        found = {}
        for scope in scopes:
            names = {one.site.name for one in self._there.get(scope, ())}
            told = [
                Terms(_shared(rules.limits(name)), (rules.provider(name) or ("", NO_BOUNDS))[1])
                for name in names
            ]
            found[scope] = written(replace(narrowest(told), domains=domains))
        return found

    def edition(self) -> object:
        return self._rules.providers

    async def _relimit(self) -> None:
        sharing = self.leasing.sharing
        try:
            await self._pool.relimit(lambda host: sharing)
        finally:
            self._closing -= 1


def _provider(terms: Terms) -> Bounds:
    return terms.provider


def _shared(limits: Limits) -> Bounds:
    return within(NO_BOUNDS, limits)


@contextmanager
def known(
    campaign: Campaign, *, sending: bool, writing: bool = True
) -> Iterator[tuple[Learning, Leases | None]]:
    """What one process of a campaign knows of sites, and what it shares with other campaigns: that is to be
    had before any connection, and is given back after the last one. None where it is a rehearsal, or where
    not `sending`. `writing`: see `learning`. StoreError."""
    with learning(campaign, writing=writing) as learned:
        if learned.file is None or not sending:
            yield learned, None
            return
        identity = str(journal_path(campaign).absolute())
        held = Leases(learned.file, identity, first=campaign.kind == "transactional")
        with at_last(held.close):  # nobody believes that we live when we do not
            yield learned, held


@asynccontextmanager
async def leasing(
    held: Leases | None, plant: Plant, dispatcher: Dispatcher, learned: Learning
) -> AsyncIterator[None]:
    """Keep to it, as long as the block lasts."""
    if held is None:
        yield
        return
    async with trio.open_nursery() as nursery:
        ground = SendingGround(plant, dispatcher, held, spawn=nursery.start_soon)
        sharers = ground.leasing.sharers
        learned.campaigns = lambda site: max(map(sharers, ground.scopes_of(site)))
        ground.leasing.look()
        nursery.start_soon(ground.leasing.run)
        yield
        nursery.cancel_scope.cancel()
