"""What one campaign tells the others of its limits at a provider: where theirs are wider, its own bind them.

Told are the limits that are shared; those of each connection are everybody's own. It is written into a file
that other processes read, which may be of another release: what is not understood is no limit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bulkmail.delivery.limits import SHARED
from bulkmail.delivery.shaping import Bounds, Limits

Limited = TypeVar("Limited", Limits, Bounds)

NO_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Terms:
    """`site`: of each site there; `provider`: of all of them together; `domains`: of those that are named."""

    site: Bounds = NO_BOUNDS
    provider: Bounds = NO_BOUNDS
    domains: Mapping[str, Bounds] = field(default_factory=dict)

    def domain(self, name: str) -> Bounds:
        """What is said of it."""
        return self.domains.get(name, NO_BOUNDS)


def within(limits: Limited, by: Limits | Bounds) -> Limited:
    """Who keeps to that keeps to what is shared of both."""
    changes: dict[str, Any] = {}
    for kind in SHARED:
        mine, theirs = getattr(limits, kind), getattr(by, kind)
        if theirs is not None and (mine is None or theirs < mine):
            changes[kind] = theirs
    return replace(limits, **changes) if changes else limits


def narrowest(terms: Iterable[Terms]) -> Terms:
    """Who keeps to that keeps to all of them."""
    found = Terms()
    for one in terms:
        names = found.domains.keys() | one.domains.keys()
        domains = {name: within(one.domain(name), found.domain(name)) for name in names}
        found = Terms(within(found.site, one.site), within(found.provider, one.provider), domains)
    return found


def written(terms: Terms) -> str:
    """As others read it."""
    tree: dict[str, Any] = {"site": _numbers(terms.site), "provider": _numbers(terms.provider)}
    if terms.domains:
        tree["domains"] = {name: _numbers(one) for name, one in sorted(terms.domains.items())}
    return json.dumps(tree)


def read(text: str) -> Terms:
    """What somebody has written."""
    try:
        tree = json.loads(text or "{}")
        domains = {str(name): _bounds(one) for name, one in tree.get("domains", {}).items()}
        return Terms(_bounds(tree.get("site", {})), _bounds(tree.get("provider", {})), domains)
    except (ValueError, TypeError, AttributeError):
        return Terms()


def _numbers(bounds: Bounds) -> dict[str, float]:
    return {kind: value for kind in SHARED if (value := getattr(bounds, kind)) is not None}


def _bounds(tree: Mapping[str, Any]) -> Bounds:
    known = {
        kind: tree[kind] for kind in SHARED if isinstance(tree.get(kind), int | float) and tree[kind] > 0
    }
    if "connections" in known:
        known["connections"] = max(1, int(known["connections"]))
    return Bounds(**known)
