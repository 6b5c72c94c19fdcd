"""How the limits of a scope are divided among those who send there: pure functions that all of them agree on.

Campaigns first, each by its weight, then the processes of each campaign equally. The parts add up to the
whole, whatever it is: so each needs to know only who there is, and its own limits. Where there are fewer
connections than senders, those first in line have one each and the others nothing, neither connections nor
rates; that is why the line moves (`leasing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from bulkmail.delivery.shaping import Bounds, Limits
from bulkmail.journal import Holder

AHEAD = 9  # what a transactional campaign weighs beside one that is not: all but a minimum
RATES = ("message_rate", "connection_rate", "recipient_rate")

Divided = TypeVar("Divided", Limits, Bounds)


@dataclass(frozen=True, slots=True)
class Part:
    """That of one sender: of the campaigns, by their `weights`, the one `at`; `index` `of` its processes."""

    weights: tuple[int, ...] = (1,)
    at: int = 0
    of: int = 1
    index: int = 0

    @property
    def is_whole(self) -> bool:
        return len(self.weights) == 1 and self.of == 1

    @property
    def whole(self) -> int:
        """Such parts in the whole, roughly."""
        return self.of * sum(self.weights) // self.weights[self.at]


def part_of(sender: int, holders: Sequence[Holder]) -> Part:
    """That of `sender` among all who hold a scope, who are in the order of their places."""
    campaigns: dict[str, list[Holder]] = {}
    for one in holders:
        campaigns.setdefault(one.campaign, []).append(one)
    firsts = {one.first for one in holders}
    weights = [AHEAD if ours[0].first and len(firsts) > 1 else 1 for ours in campaigns.values()]
    for at, ours in enumerate(campaigns.values()):
        for index, one in enumerate(ours):
            if one.sender == sender:
                return Part(tuple(weights), at, len(ours), index)
    raise ValueError(f"{sender} does not send there")


def divided(limits: Divided, part: Part) -> Divided:
    """Its part of these limits."""
    if part.is_whole:
        return limits
    return _share(_share(limits, part.weights, part.at), (1,) * part.of, part.index)


def least(one: Divided, other: Divided) -> Divided:
    """Who keeps to that keeps to both."""
    changes: dict[str, Any] = {}
    for name in ("connections", *_rates(one)):
        mine, theirs = getattr(one, name), getattr(other, name)
        changes[name] = theirs if mine is None else mine if theirs is None else min(mine, theirs)
    return replace(one, **changes)


def nothing(limits: Divided) -> Divided:
    """For who may not send there yet."""
    return replace(limits, connections=0)


def _share(limits: Divided, weights: Sequence[int], at: int) -> Divided:
    connections: int | None = limits.connections
    seated = len(weights) if connections is None else min(len(weights), connections)
    if at >= seated:
        return nothing(limits)
    changes: dict[str, Any] = {} if connections is None else {"connections": _count(connections, weights, at)}
    for name in _rates(limits):
        rate: float | None = getattr(limits, name)
        changes[name] = None if rate is None else rate * weights[at] / sum(weights[:seated])
    return replace(limits, **changes)


def _count(connections: int, weights: Sequence[int], at: int) -> int:
    """One for each who has any, the rest by weight, and what that leaves to the heaviest first."""
    weights = weights[:connections]
    rest = connections - len(weights)
    counts = [rest * weight // sum(weights) for weight in weights]
    heaviest = sorted(range(len(weights)), key=lambda one: -weights[one])
    return 1 + counts[at] + (heaviest.index(at) < rest - sum(counts))


def _rates(limits: Limits | Bounds) -> list[str]:
    return [field.name for field in fields(limits) if field.name in RATES]
