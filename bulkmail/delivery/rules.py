"""All that is said of limits before the first connection: by the campaign and by the profile of providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bulkmail.delivery.limits import SCHEDULE, SHARED, TIMES, Shape, binding
from bulkmail.delivery.provider import Providers
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Bounds, Limits, least
from bulkmail.transport.approach import Manner, TlsPolicy

EACH = ("recipients_per_transaction", "messages_per_connection", "messages_in_flight")  # of a connection


@dataclass
class Rules:
    """`default`: of a site that has no others. `domains`: of those that have limits of their own. `campaign`:
    TLS, time limits and schedule of all; it stays what it was when the run began.
    """

    default: Shape = field(default_factory=dict)
    providers: Providers = field(default_factory=Providers)
    domains: Mapping[str, Shape] = field(default_factory=dict)
    campaign: Shape = field(default_factory=dict)
    former: list[Rules] = field(default_factory=list, compare=False)  # what it has said before

    def take_over(self, other: Rules) -> None:
        """From now on it says what the other does: whoever asks it again hears that."""
        self.former.append(Rules(self.default, self.providers, self.domains, self.campaign))
        self.default, self.providers, self.domains = other.default, other.providers, other.domains
        self.__dict__.pop("_default", None)

    def limits(self, site: str) -> Limits:
        """Of a site: the default ones, and of what concerns each connection what its provider says."""
        shape = self.providers.of(site).shape
        return narrowed(self._default, bounds(shape)) if shape else self._default

    @cached_property
    def _default(self) -> Limits:
        return plain(self.default)

    def provider(self, site: str) -> tuple[str, Bounds] | None:
        """The site's, if all sites of it have something to keep to together."""
        name, shape = self.providers.of(site)
        return (name, found) if shape and (found := bounds(shape)).shared else None

    def domain(self, domain: str) -> Bounds | None:
        """What it has of its own, if anything."""
        shape = self.domains.get(domain)
        return bounds(shape) if shape is not None else None

    def retry(self, site: str, domain: str) -> Retry | None:
        """The schedule for a domain at a site, where it is not the campaign's."""
        own = [self.providers.of(site).shape, self.domains.get(domain, {})]
        if not any(kind in shape for shape in own for kind in SCHEDULE):
            return None
        bound = binding([self.campaign, *own])
        return Retry(**{_part(kind): bound[kind].number for kind in SCHEDULE if kind in bound})

    def manner(self, host: str, domain: str = "") -> Manner | None:
        """What is demanded of a connection to this host, for this domain or for any, beside what the campaign
        does. It is the provider of the very host that counts, for that is to whom we talk."""
        found = [_manner(self.providers.of(host).shape), _manner(self.domains.get(domain, {}))]
        manners = [one for one in found if one is not None]
        return None if not manners else manners[0] if len(manners) == 1 else manners[0].within(manners[1])

    def apart(self, domain: str) -> str:
        """The domain, if it demands something of its connections, and has some of its own for that; or ""."""
        return domain if _manner(self.domains.get(domain, {})) is not None else ""

    @property
    def verifies(self) -> bool:
        """Somebody wants to see a certificate."""
        shapes = (*[one.shape for one in self.providers.profiles.values()], *self.domains.values())
        return any("tls" in shape and shape["tls"].value == "verified" for shape in shapes)

    def binding(self, site: str, domain: str = "") -> Shape:
        """For each kind the limit that binds somebody of this domain at this site, with its origin."""
        provider, own = self.providers.of(site).shape, self.domains.get(domain, {})
        return binding([self.campaign, self.default, provider, own])


def _part(kind: str) -> str:
    return kind.partition(".")[2]


def _manner(shape: Shape) -> Manner | None:
    if not shape:  # as mostly, and it is asked for each connection
        return None
    times = {_part(kind): shape[kind].number for kind in TIMES if kind in shape}
    if "tls" in shape:
        return Manner(TlsPolicy(shape["tls"].value), times)
    return Manner(time_limits=times) if times else None


def plain(shape: Shape) -> Limits:
    """The numbers of a default shape, which names all but a recipient rate."""
    return Limits(**_numbers(shape))


def bounds(shape: Shape) -> Bounds:
    """The numbers of another."""
    return Bounds(**_numbers(shape))


def narrowed(limits: Limits, by: Bounds) -> Limits:
    """What concerns each connection, and how many a site may have at all; rates are kept by the provider."""
    return replace(
        limits,
        connections=least(limits.connections, by.connections),
        **{kind: least(getattr(limits, kind), getattr(by, kind)) for kind in EACH},
    )


def _numbers(shape: Shape) -> dict[str, Any]:
    return {kind: shape[kind].value for kind in (*SHARED, *EACH) if kind in shape}
