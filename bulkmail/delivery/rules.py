"""All that is said of limits before the first connection: by the campaign and by the profile of providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bulkmail.delivery.limits import SHARED, Shape, binding
from bulkmail.delivery.provider import Providers
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Bounds, Limits, least

EACH = ("recipients_per_transaction", "messages_per_connection", "messages_in_flight")  # of a connection


@dataclass
class Rules:
    """`default`: of a site that has no others. `domains`: of those that have limits of their own."""

    default: Shape = field(default_factory=dict)
    providers: Providers = field(default_factory=Providers)
    domains: Mapping[str, Shape] = field(default_factory=dict)

    def take_over(self, other: Rules) -> None:
        """From now on it says what the other does: whoever asks it again hears that."""
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
        for shape in (self.domains.get(domain, {}), self.providers.of(site).shape):
            if "retry" in shape:
                value = shape["retry"].value
                assert isinstance(value, Retry)
                return value
        return None

    def binding(self, site: str, domain: str = "") -> Shape:
        """For each kind the limit that binds somebody of this domain at this site, with its origin."""
        return binding([self.default, self.providers.of(site).shape, self.domains.get(domain, {})])


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
