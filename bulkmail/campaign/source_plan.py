"""What a plan says of the sources that its mail leaves from: their shares, the days of their warm-up.

Read only: the counts of today are those of all campaigns of the project. Recipients are dealt out in blocks
of 64, so a share is what its weight says, and not exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.duration import UNKNOWN, ProviderPlan
from bulkmail.campaign.egress import sources_of
from bulkmail.campaign.place import journal_path
from bulkmail.campaign.warmup import DAY_S, quota_of
from bulkmail.delivery.limits import Limit, Origin
from bulkmail.journal.quotas import NAME, Quotas
from bulkmail.transport.approach import Source

WARMUP = "warmup"
DAYS = 3650  # nobody plans for longer


@dataclass(frozen=True, slots=True)
class Warming:
    """Of a source at a provider. `day` of the warm-up is today, `quota` what it may send, `left` of that.
    `days`: until its share of this plan has left, today included.
    """

    provider: str
    day: int
    quota: int
    left: int
    days: int


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """`share`: of the mail. `warming`: where it has a quota today; nowhere, if it is warm."""

    address: str  # "": whatever the kernel chooses
    ehlo: str
    share: float
    warm: bool
    warming: tuple[Warming, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def told(self) -> Iterator[str]:
        """Lines for people."""
        name = f" as {self.ehlo}" if self.ehlo else ""
        warm = ", warm" if self.warm else ""
        if self.address:
            yield f"{self.share:.0%} leave from {self.address}{name}{warm}"
        for one in self.warming:
            of = f"warm-up{f' of {self.address}' if self.address else ''} at {one.provider}: day {one.day}"
            days = f", {one.days} days for this plan" if one.days > 1 else ""
            yield f"  {of}, {one.left:,} of {one.quota:,} are left today{days}"


def source_plans(campaign: Campaign, plans: Iterable[ProviderPlan], now: float) -> list[SourcePlan]:
    """Of all sources; of one without an address where the machine itself warms up. `now`: UTC epoch seconds.

    Raises StoreError.
    """
    quota, sources = quota_of(campaign), sources_of(campaign, campaign.delivery.ehlo or "")
    if quota is None and not sources:
        return []
    sources = sources or (Source("", ""),)
    whole, known = sum(one.weight for one in sources), [one for one in plans if one.provider != UNKNOWN]
    with Quotas.look(campaign.project_state / NAME, str(journal_path(campaign))) as quotas:
        found = []
        for source in sources:
            share = source.weight / whole
            warming = (
                () if quota is None or source.warm else _warming(source, share, known, quotas, quota, now)
            )
            found.append(SourcePlan(source.address, source.ehlo, share, source.warm, tuple(warming)))
    return found


def _warming(
    source: Source,
    share: float,
    plans: Iterable[ProviderPlan],
    quotas: Quotas,
    quota: Callable[[int], int | None],
    now: float,
) -> Iterator[Warming]:
    today = int(now // DAY_S)
    for plan in plans:
        day = quotas.day(source.address, plan.provider, today)
        if (most := quota(day)) is not None:
            left = max(0, most - quotas.used(source.address, plan.provider, today))
            days = days_for(math.ceil(plan.recipients * share), left, day, quota)
            yield Warming(plan.provider, day, most, left, days)


def days_for(people: int, left: int, day: int, quota: Callable[[int], int | None]) -> int:
    """How many days, the first of them `day` with so many left, until so many have been sent to."""
    days, people = 1, people - left
    while people > 0 and days < DAYS:
        most = quota(day + days)
        days += 1
        people -= people if most is None else most
    return days


def with_warmup(
    campaign: Campaign, plans: list[ProviderPlan], sources: list[SourcePlan], now: float
) -> list[ProviderPlan]:
    """The plans, where quotas are what takes longest. Who may take a warm source waits for none."""
    warmup = campaign.shaping.warmup
    if warmup is None or (warmup.overflow == "warm" and any(one.warm for one in sources)):
        return plans
    longest: dict[str, tuple[Warming, SourcePlan]] = {}
    for source in sources:
        for one in source.warming:
            if one.provider not in longest or one.days > longest[one.provider][0].days:
                longest[one.provider] = one, source
    return [
        _bound(campaign, plan, *longest[plan.provider], now) if plan.provider in longest else plan
        for plan in plans
    ]


def _bound(
    campaign: Campaign, plan: ProviderPlan, warming: Warming, source: SourcePlan, now: float
) -> ProviderPlan:
    if warming.days == 1:
        return plan
    seconds = DAY_S - now % DAY_S + (warming.days - 2) * DAY_S
    if seconds <= plan.seconds:
        return plan
    scope = f"source {source.address}" if source.address else "this machine"
    problem = campaign.problem("shaping.warmup", "")
    binds = Limit(
        warming.quota / DAY_S, Origin(scope, f"{problem.file}:{problem.line}"), f"{warming.quota:,}/day"
    )
    return replace(plan, seconds=seconds, least_s=max(plan.least_s, seconds), kind=WARMUP, binds=binds)
