"""Who sends to which site, and with which part of its limits: pure functions that every process agrees on.

A provider (delivery.provider) belongs to one worker, so that its limits are kept in one
place, as if there were no others. One that may be asked for more than a worker can do belongs to several,
and each keeps to an exact share: the connections and rates of all of them together are those of the site,
at every moment, without a word between them. Which ones is decided by the name alone (rendezvous hashing), so
nothing is remembered, and where a worker dies only what was its own moves.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from hashlib import blake2b
from typing import Any, overload

from bulkmail.delivery.limits import RATES
from bulkmail.delivery.rules import Rules
from bulkmail.delivery.shaping import Bounds, Limits

RATE = 200.0  # messages a second of a site that are worth a worker; one can do several times as many


def width(limits: Limits | Bounds, workers: int) -> int:
    """How many workers can share such limits; 1: they belong to one."""
    by_rate = workers if limits.message_rate is None else int(limits.message_rate / RATE)
    return max(1, min(workers, workers if limits.connections is None else limits.connections, by_rate))


def owners(provider: str, alive: Collection[int], count: int) -> tuple[int, ...]:
    """The `count` workers of `alive` that a provider belongs to, or as many as there are."""
    return tuple(sorted(alive, key=lambda worker: _lot(worker, provider))[:count])


@overload
def share(limits: Limits, count: int, position: int) -> Limits: ...
@overload
def share(limits: Bounds, count: int, position: int) -> Bounds: ...
def share(limits: Limits | Bounds, count: int, position: int) -> Limits | Bounds:
    """The limits of the one at `position` of the `count` owners. Their sums are the whole.

    Who moves up, because somebody before him died, is never left with less. Where limits were lowered since
    there may be fewer connections than owners: then each keeps one until what he has is done.
    """
    if count == 1:
        return limits
    parts: dict[str, Any] = {
        rate: None if (whole := getattr(limits, rate)) is None else whole / count for rate in RATES
    }
    if limits.connections is not None:
        each, more = divmod(limits.connections, count)
        parts["connections"] = max(1, each + (position < more))
    return replace(limits, **parts)


class Shares:
    """Whose a site is, and what of its limits and its provider's is whose, while `alive` are the workers.

    All sites of a provider belong to the same workers, and so do the limits of them together. A domain with
    limits of its own may belong to fewer of those.
    """

    def __init__(self, rules: Rules, alive: Collection[int]) -> None:
        self._rules = rules
        self.alive = tuple(alive)
        self._widths: dict[str, int] = {}

    def owners(self, site: str, domain: str = "") -> tuple[int, ...]:
        """The workers that it belongs to."""
        provider, shape = self._rules.providers.of(site)
        known = provider if shape else ""  # all of whom nothing is said are alike
        count = self._widths.get(known)
        if count is None:
            count = self._widths[known] = self._width(site)
        if self._rules.domains:
            said = [rules.domain(domain) for rules in (self._rules, *self._rules.former)]
            most = len(self.alive)
            count = min(count, max(most if one is None else width(one, most) for one in said))
        return owners(provider, self.alive, count)

    def limits(self, site: str, worker: int) -> Limits:
        return share(self._rules.limits(site), *self._place(site, "", worker))

    def provider(self, site: str, worker: int) -> tuple[str, Bounds] | None:
        found = self._rules.provider(site)
        return found and (found[0], share(found[1], *self._place(site, "", worker)))

    def domain(self, site: str, domain: str, worker: int) -> Bounds | None:
        bounds = self._rules.domain(domain)
        return bounds and share(bounds, *self._place(site, domain, worker))

    def _width(self, site: str) -> int:
        """Never less than it was: who has something of it to do does not take his part of it with him."""
        return max(_width_by(rules, site, len(self.alive)) for rules in (self._rules, *self._rules.former))

    def _place(self, site: str, domain: str, worker: int) -> tuple[int, int]:
        """How many there are, and which of them this is."""
        sharing = self.owners(site, domain)
        if worker not in sharing:  # it was his when it was given to him; what is left of it is little
            return len(sharing), len(sharing) - 1
        return len(sharing), sharing.index(worker)


def _width_by(rules: Rules, site: str, workers: int) -> int:
    _, bounds = rules.provider(site) or ("", Bounds())
    return min(width(rules.limits(site), workers), width(bounds, workers))


def _lot(worker: int, provider: str) -> bytes:
    return blake2b(f"{worker} {provider}".encode(), digest_size=8).digest()
