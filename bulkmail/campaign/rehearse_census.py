"""Who a rehearsal is about: the largest domains of a plan, and a random few that stand for all the others.

The memory is that of the few, however many domains there are.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from bulkmail.campaign.plan_summary import DomainCount

LARGEST, SAMPLED = 1_000, 500


@dataclass(frozen=True, slots=True)
class Counted:
    """A domain of the plan. It stands for the recipients of `weight` domains like it."""

    domain: str
    recipients: int
    transactions: int
    weight: float = 1.0


class Census:
    """`add` is told of every domain once."""

    def __init__(self, largest: int = LARGEST, sampled: int = SAMPLED) -> None:
        self._most, self._sampled = largest, sampled
        self._largest: list[tuple[int, int, DomainCount]] = []
        self._others: list[DomainCount] = []
        self._rng = random.Random(0)  # the same list is rehearsed the same way
        self.domains = self.recipients = self._other_domains = self._other_recipients = 0

    def add(self, count: DomainCount) -> None:
        self.domains += 1
        self.recipients += count.recipients
        entry = (count.recipients, -self.domains, count)
        if len(self._largest) < self._most:
            heapq.heappush(self._largest, entry)
            return
        self._add_other(heapq.heappushpop(self._largest, entry)[2])

    def _add_other(self, count: DomainCount) -> None:
        """Every one of them has the same chance to be among those who stand for them."""
        self._other_domains += 1
        self._other_recipients += count.recipients
        if len(self._others) < self._sampled:
            self._others.append(count)
        elif (place := self._rng.randrange(self._other_domains)) < self._sampled:
            self._others[place] = count

    def counted(self) -> list[Counted]:
        """The largest first. Their recipients, by weight, are all there are."""
        largest = [one for *_, one in sorted(self._largest, key=lambda entry: entry[:2], reverse=True)]
        among = sum(one.recipients for one in self._others)
        weight = self._other_recipients / among if among else 1.0
        return [
            *(Counted(one.domain, one.recipients, one.transactions) for one in largest),
            *(Counted(one.domain, one.recipients, one.transactions, weight) for one in self._others),
        ]
