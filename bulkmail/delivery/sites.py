"""The sites of one process: each record outlives the destinations that work with it.

Bounded: who was asked for longest ago is forgotten first. Providers and domains that have limits of their own
are as many as somebody has written down.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable

from bulkmail.delivery.level import Level
from bulkmail.delivery.paced import UNKNOWN, Allowed, Pacing, Together
from bulkmail.delivery.provider import suffix_of
from bulkmail.delivery.shaping import Bounds, Limits
from bulkmail.delivery.site import NOTHING, Learned, Site

SITES = 5_000  # of which something is remembered


class Sites:
    """The sites of one process, and what they stand in.

    `limits_of` is asked by the name of a site; `provider_of`, too, for its provider and what all sites of it
    keep to together, if that is anything; `domain_of` by the names of a site and of a domain whether that has
    limits of its own, which it is only where some domain has (`divided`). Each is asked once, and at
    `limit_again`; so is `parts_of`: among how many processes a site, with its provider, is divided.
    `run_by` says whose a site is, `recall` what earlier runs have learned of a site, and `on_learned` is told
    of what this one does; `recall_pace` and `on_allowed` are the same for a provider, by the name of a site.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits_of: Callable[[str], Limits] = lambda name: limits
        self.provider_of: Callable[[str], tuple[str, Bounds] | None] = lambda name: None
        self.domain_of: Callable[[str, str], Bounds | None] = lambda name, domain: None
        self.divided = False  # sessions are counted by site: several destinations of ours share one, or
        self.pooled = True  # other campaigns do, and then no connection is kept idle
        self.recall: Callable[[str], Learned] = lambda name: NOTHING
        self.on_learned: Callable[[str, Learned], None] = lambda name, new: None
        self.run_by: Callable[[str], str] = suffix_of
        self.recall_pace: Callable[[str], Allowed] = lambda name: UNKNOWN
        self.on_allowed: Callable[[str, Allowed], None] = lambda name, found: None
        self.parts_of: Callable[[str], int] = lambda name: 1
        self._sites: OrderedDict[str, Site] = OrderedDict()
        self._pacings: dict[str, Pacing] = {}
        self._providers: dict[str, Level] = {}
        self._domains: dict[str, Level] = {}

    def of(self, name: str, now: float) -> Site:
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = Site(
                name,
                self.limits_of(name),
                now,
                self.recall(name),
                self.on_learned,
                outer=self._provider(name, now),
                divided=self.divided,
                pacing=self._pacing(name, now),
            )
            site.pooled = self.pooled
            if site.pacing.complains:
                self._complains(site.pacing)
            if len(self._sites) > SITES:
                self._forget()
        self._sites.move_to_end(name)
        return site

    def domain(self, site: Site, domain: str, now: float) -> Level | None:
        """A domain that has limits of its own, in its site."""
        if not self.divided:
            return None
        name = f"{site.name} {domain}"
        level = self._domains.get(name)
        if level is None:
            bounds = self.domain_of(site.name, domain)
            if bounds is None:
                return None
            level = self._domains[name] = Level(name, bounds, now, site)
        return level

    def provider(self, name: str) -> Level | None:
        """By its name, where some site of it was asked for and it has limits."""
        return self._providers.get(name)

    def names(self) -> Collection[str]:
        """Of the sites of which something is remembered."""
        return self._sites.keys()

    def limit_again(self, names: Iterable[str] | None = None) -> None:
        """The limits are others now: of these sites and their providers, or of all."""
        known = {name: self.provider_of(name) for name in (self._sites if names is None else names)}
        named = {self.run_by(name): Bounds() for name in known}
        for provider, bounds in (
            named | dict(found for found in known.values() if found is not None)
        ).items():
            if provider in self._providers:
                self._providers[provider].limit_to(bounds)
        for name in known:
            site = self._sites[name]
            site.pooled = self.pooled
            site.around(self._provider(name, 0.0), divided=self.divided)
            site.limit(self.limits_of(name))
        for provider in named:
            if (pacing := self._pacings.get(provider)) is not None and pacing.sites:
                pacing.divide(self.parts_of(_any(pacing)))
        for name, level in self._domains.items():
            site_name, _, domain = name.partition(" ")
            if site_name in known:
                level.limit_to(self.domain_of(site_name, domain) or Bounds())

    def restart(self, now: float) -> None:
        """Turns that were booked at other rates are not waited for; who has one asks again."""
        for level in (*self._sites.values(), *self._providers.values(), *self._domains.values()):
            for bucket in (level.sending.each, level.sending.people, level.dialling.each):
                if bucket is not None:
                    bucket.restart(now)

    def all(self) -> Iterable[Site]:
        """Of which something is remembered."""
        return self._sites.values()

    def keep(self, site: Site) -> None:
        """It is worked for: what is known of it is not to be forgotten."""
        self._sites[site.name] = site
        self._sites.move_to_end(site.name)
        site.pacing.sites[site] = None
        self._pacings.setdefault(site.pacing.name, site.pacing)

    def _forget(self) -> None:
        """The site that was asked for longest ago, and its provider with the last of them."""
        _, site = self._sites.popitem(last=False)
        pacing = site.pacing
        if len(pacing.sites) > 1:
            del pacing.sites[site]
        elif self._pacings.get(pacing.name) is pacing:
            del self._pacings[pacing.name]

    # --- providers -------------------------------------------------------------------------------------

    def _provider(self, site: str, now: float) -> Level | None:
        """What its sites stand in, for it has limits or complains; None: each is for itself."""
        found = self.provider_of(site)
        if found is None:
            return self._providers.get(self.run_by(site)) if self._providers else None
        name, bounds = found
        level = self._providers.get(name)
        if level is None:
            level = self._providers[name] = Together(name, bounds, now, self._pacing(site, now))
        return level

    def _pacing(self, site: str, now: float) -> Pacing:
        name = self.run_by(site)
        pacing = self._pacings.get(name)
        if pacing is None:
            pacing = self._pacings[name] = Pacing(name, now, parts=self.parts_of(site))
            pacing.on_complaint = self._complains
            pacing.on_allowed = self._allowed
            if (known := self.recall_pace(site)) is not UNKNOWN:
                pacing.begin_with(known, now)
        return pacing

    def _allowed(self, pacing: Pacing, found: Allowed) -> None:
        self.on_allowed(_any(pacing), found)

    def _complains(self, pacing: Pacing) -> None:
        """Of several sites all keep to one pace from now on, and so do those who come later."""
        if len(pacing.sites) > 1:
            level = self._providers.get(pacing.name)
            if level is None:
                level = self._providers[pacing.name] = Together(pacing.name, Bounds(), pacing.began, pacing)
            if pacing.together is None:
                pacing.together = level
                for site in pacing.sites:
                    site.sending.each.limit(site.bounds.message_rate)
            for site in tuple(pacing.sites):
                if site.outer is not level:
                    site.stand_in(level)
            for domain in self._domains.values():
                domain.link()
        pacing.follow()


def _any(pacing: Pacing) -> str:
    """One of its sites, by its name."""
    return next(iter(pacing.sites)).name
