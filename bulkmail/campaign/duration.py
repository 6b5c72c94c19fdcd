"""How long a plan will take under its limits, by provider, and which limit binds: pure values and functions.

Rates are exact, so what they take is a lower bound. What a number of connections takes depends on how long a
transaction does, of which nothing is known before the first: TAKES_S is assumed, and said wherever it counts.
Providers do not wait for each other, so the whole takes as long as the slowest.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bulkmail.campaign.plan_summary import DomainCount
from bulkmail.delivery.limits import BUILT_IN, CAMPAIGN, COUNTS, KINDS, RATES, Limit, Shape, binding
from bulkmail.delivery.rules import Rules

TAKES_S = 0.2  # a transaction, on one connection
UNKNOWN = "not looked up"


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """What goes to one provider. `least_s`: by the rates alone; `seconds`: with TAKES_S as well."""

    provider: str
    recipients: int
    domains: int
    transactions: int
    least_s: float
    seconds: float
    kind: str
    binds: Limit
    limits: Shape = field(default_factory=dict)  # all that hold at a site of it, whatever the domain

    @property
    def told(self) -> str:
        """What binds, for people."""
        text = self.binds.told(self.kind)
        return f"{text}, at {TAKES_S:g} s a transaction" if self.kind == "connections" else text

    def as_json(self) -> dict[str, Any]:
        names = ("provider", "recipients", "domains", "transactions")
        return {
            **{name: getattr(self, name) for name in names},
            "least_seconds": round(self.least_s, 1),
            "seconds": round(self.seconds, 1),
            "binds": limit_json(self.kind, self.binds),
            "limits": binding_json(self.limits),
        }


def limit_json(kind: str, limit: Limit) -> dict[str, Any]:
    """A limit, for scripts."""
    scope, whence = limit.origin
    return {"kind": kind, "value": limit.value, "scope": scope, "whence": whence}


def binding_json(shape: Shape) -> list[dict[str, Any]]:
    return [limit_json(kind, shape[kind]) for kind in KINDS if kind in shape]


@dataclass(slots=True)
class _Sum:
    recipients: int = 0
    transactions: int = 0
    domains: int = 0

    def add(self, one: DomainCount) -> None:
        self.recipients += one.recipients
        self.transactions += one.transactions
        self.domains += 1


def by_provider(
    counts: Iterable[DomainCount], sites: Mapping[str, str], rules: Rules, rest: DomainCount | None = None
) -> list[ProviderPlan]:
    """The largest first. `sites`: of the domains that one is known of. `rest`: all who are not in `counts`.

    The others are taken for one row, whose sites have the default limits each.
    """
    providers: defaultdict[str, _Sum] = defaultdict(_Sum)
    found: defaultdict[str, list[tuple[float, float, str, Limit]]] = defaultdict(list)
    by_site: defaultdict[tuple[str, str], _Sum] = defaultdict(_Sum)
    shapes: dict[str, Shape] = {}
    for one in counts:
        site = sites.get(one.domain)
        provider, shape = rules.providers.of(site) if site is not None else (UNKNOWN, {})
        providers[provider].add(one)
        shapes[provider] = shape
        by_site[provider, site or one.domain].add(one)
        found[provider] += _seconds(rules.domains.get(one.domain, {}), one.recipients, one.transactions)
    for (provider, _), total in by_site.items():
        found[provider] += _seconds(rules.default, total.recipients, total.transactions)
    for provider, total in providers.items():
        found[provider] += _seconds(shapes[provider], total.recipients, total.transactions)
    if rest is not None and rest.recipients:
        providers[UNKNOWN].recipients += rest.recipients
        providers[UNKNOWN].transactions += rest.transactions
        found[UNKNOWN] += _seconds(rules.default, 1, 1)
    plans = [
        _plan(name, total, found[name], binding([rules.campaign, rules.default, shapes.get(name, {})]))
        for name, total in providers.items()
    ]
    return sorted(plans, key=lambda one: -one.recipients)


def _plan(
    name: str, total: _Sum, found: list[tuple[float, float, str, Limit]], limits: Shape
) -> ProviderPlan:
    # of those that take the same, the first is of the narrowest scope whose word it is
    seconds, _, kind, binds = max(found, key=lambda each: each[0])
    least_s = max(each[1] for each in found)
    return ProviderPlan(
        name, total.recipients, total.domains, total.transactions, least_s, seconds, kind, binds, limits
    )


def _seconds(shape: Shape, recipients: int, transactions: int) -> Iterator[tuple[float, float, str, Limit]]:
    """What each limit makes of it: seconds, those of them that are certain, its kind, the limit."""
    if (limit := shape.get("message_rate")) is not None:
        yield transactions / limit.number, transactions / limit.number, "message_rate", limit
    if (limit := shape.get("recipient_rate")) is not None:
        yield recipients / limit.number, recipients / limit.number, "recipient_rate", limit
    each = shape.get("messages_per_connection")
    if (limit := shape.get("connection_rate")) is not None and each is not None:
        connections = math.ceil(transactions / each.number)
        yield connections / limit.number, connections / limit.number, "connection_rate", limit
    if (limit := shape.get("connections")) is not None:
        yield transactions * TAKES_S / limit.number, 0.0, "connections", limit


def holding(shape: Shape) -> list[str]:
    """What holds somebody, one for each kind, for people: of time limits and schedule what somebody wrote."""
    always = (*RATES, *COUNTS, "tls")
    return [
        shape[kind].told(kind)
        for kind in KINDS
        if kind in shape and (kind in always or shape[kind].origin.whence != BUILT_IN)
    ]


def special(shape: Shape) -> list[str]:
    """What a narrower scope than the campaign says of TLS, time limits and schedule, for people."""
    return [
        limit.told(kind)
        for kind, limit in shape.items()
        if kind not in (*RATES, *COUNTS) and limit.origin.scope != CAMPAIGN
    ]
