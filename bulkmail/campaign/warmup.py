"""Warm-up: how much a new source may send to each provider today, counted before it is sent.

On its first day `start` recipients, on each further one `growth` times as many, until `until` is reached:
then it is warm. Days are those of UTC. What is too much waits for tomorrow, and nobody is charged for that.
A block at a time is taken from the store, so that most messages cost a subtraction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.prepare import journal_path
from bulkmail.campaign.rules import rules_of
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.plant import Plant
from bulkmail.journal import Journal
from bulkmail.journal.quotas import NAME, Quotas, sent_between
from bulkmail.transport.approach import Source
from bulkmail.transport.stage import Stage

DAY_S = 86_400
PART = 20  # of a day's quota that is taken at a time: who crashes loses no more, until it is settled
LEAST = 20  # recipients, for a commit


@dataclass(slots=True)
class _Stock:
    """Of one source at one provider, on one day. `left`: recipients that are counted and not sent to."""

    day: int
    left: int = 0
    warm: bool = False
    spent: Disposition | None = None


class Warmup:
    """A `Warmth`. `now` is UTC epoch seconds, `provider_of` by the name of a site."""

    def __init__(
        self,
        quotas: Quotas,
        quota: Callable[[int], int | None],
        *,
        provider_of: Callable[[str], str],
        now: Callable[[], float],
    ) -> None:
        self._quotas = quotas
        self._quota = quota
        self._provider_of = provider_of
        self._now = now
        self._stocks: dict[tuple[str, str], _Stock] = {}

    def spent(self, source: Source, site: str) -> Disposition | None:
        return None if source.warm else self._stock(source, self._provider_of(site)).spent

    def is_warm(self, source: Source, site: str) -> bool:
        return source.warm or self._stock(source, self._provider_of(site)).warm

    def claim(self, source: Source, site: str, most: int) -> int:
        if source.warm:
            return most
        provider = self._provider_of(site)
        stock = self._stock(source, provider)
        if stock.warm:
            return most
        if stock.left < most:
            self._fill(stock, source, provider, most - stock.left)
        count = min(most, stock.left)
        stock.left -= count
        return count

    def unclaim(self, source: Source, site: str, count: int) -> None:
        stock = self._stock(source, self._provider_of(site))
        if not source.warm and not stock.warm and count:
            stock.left += count
            stock.spent = None

    def _stock(self, source: Source, provider: str) -> _Stock:
        today = int(self._now() // DAY_S)
        stock = self._stocks.get((source.address, provider))
        if stock is None or stock.day != today:
            stock = self._stocks[source.address, provider] = _Stock(today)
            stock.warm = self._quota(self._quotas.day(source.address, provider, today)) is None
        return stock

    def _fill(self, stock: _Stock, source: Source, provider: str, wanted: int) -> None:
        most = self._quota(self._quotas.day(source.address, provider, stock.day)) or 0
        block = max(wanted, LEAST, most // PART)
        granted = self._quotas.reserve(source.address, provider, stock.day, block, self._quota)
        stock.left += granted.people
        if granted.people < wanted:
            note = f"warm-up of {source} at {provider}: {most:,} of {most:,} today"
            until = float((stock.day + 1) * DAY_S)
            stock.spent = Disposition(Fate.POSTPONED, Scope.SITE, Stage.CONNECT, note=note, until=until)


def quota_of(campaign: Campaign) -> Callable[[int], int | None] | None:
    """That of the day of a warm-up, counted from 1; None once it is over. None: there is no warm-up."""
    warmup = campaign.shaping.warmup
    if warmup is None or campaign.delivery.via.kind == "sandbox":
        return None
    start, growth, until = (warmup.start.per_second, warmup.growth, warmup.until.per_second)

    def quota(day: int) -> int | None:
        # a day's worth, in whole recipients; what a float has lost is not taken from anybody
        a_day = start * DAY_S
        for _ in range(day - 1):
            if a_day >= until * DAY_S:
                break
            a_day *= growth
        return None if a_day >= until * DAY_S - 1e-6 else int(a_day + 1e-6)

    return quota


def warmth_of(campaign: Campaign, now: Callable[[], float]) -> Warmup | None:
    """What the sources of a campaign keep to, where there is a warm-up."""
    quota = quota_of(campaign)
    if quota is None:
        return None
    providers = rules_of(campaign).providers
    return Warmup(open_quotas(campaign), quota, provider_of=lambda site: providers.of(site).name, now=now)


def open_quotas(campaign: Campaign) -> Quotas:
    return Quotas.open(campaign.project_state / NAME, str(journal_path(campaign)))


@asynccontextmanager
async def warming(campaign: Campaign, journal: Journal, plant: Plant) -> AsyncIterator[None]:
    """Around all that a run sends: what the store has of it is right before, and again behind."""
    if plant.sources is None or plant.sources.warmth is None:
        yield
        return
    cold = tuple(source.address for source in plant.sources.all if not source.warm)
    await journal.call(lambda store: settle(campaign, cold, plant.now()))
    yield
    with trio.CancelScope(shield=True):
        await journal.call(lambda store: settle(campaign, cold, plant.now()))


def settle(campaign: Campaign, sources: tuple[str, ...], now: float) -> None:
    """Have the store know what this campaign has really sent today, by its journal. Nobody may be sending."""
    today = int(now // DAY_S)
    providers = rules_of(campaign).providers
    sent: dict[tuple[str, str], int] = {}
    for host, source, count in sent_between(journal_path(campaign), today * DAY_S, (today + 1) * DAY_S):
        # Of who came into doubt by a crash the source is not known: it may have been any.
        for one in sources if not source else (source,) if source in sources else ("",):
            key = (one, providers.of(host).name)
            sent[key] = sent.get(key, 0) + count
    with open_quotas(campaign) as quotas:
        for source, provider in {*quotas.mine(today), *sent}:
            if source in sources:
                quotas.settle(source, provider, today, sent.get((source, provider), 0))
