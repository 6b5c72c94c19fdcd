"""Warm-up: how much a new source may send to each provider today, counted before it is sent.

On its first day `start` recipients, on each further one `growth` times as many, until `until` is reached:
then it is warm. Days are those of UTC. What is too much waits for tomorrow, and nobody is charged for that.
A block at a time is taken from the store, so that most messages cost a subtraction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from dataclasses import dataclass
from typing import TypeVar

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.place import journal_path
from bulkmail.campaign.rules import rules_of
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.plant import Plant
from bulkmail.errors import StoreError
from bulkmail.journal import Journal
from bulkmail.journal.quotas import NAME, Counted, Granted, Quotas, sent_between
from bulkmail.transport.approach import Source
from bulkmail.transport.stage import Stage

DAY_S = 86_400
PART = 20  # of a day's quota that is taken at a time: who crashes loses no more, until it is settled
LEAST = 20  # recipients, for a commit
STOCKS = 10_000  # (source, provider) that are remembered
SETTLE_S = 10.0  # for a run that is over to wait for the journal

T = TypeVar("T")


@dataclass(slots=True)
class _Stock:
    """Of one source at one provider, on one day. `left`: recipients that are counted and not sent to.

    `spent`: why there are no more than these.
    """

    day: int
    left: int = 0
    warm: bool = False
    spent: Disposition | None = None

    def suffices(self, wanted: int) -> bool:
        """Or there is nothing that could be done about it."""
        return self.warm or self.spent is not None or self.left >= wanted


async def in_thread(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work)


class Warmup:
    """A `Warmth`. `now` is UTC epoch seconds, `provider_of` by the name of a host or a site.

    Counting waits for the disk, and for other processes: so `quotas` is used in a thread, by one task at a
    time. `reader`, of the same store, only tells the day, which needs neither.
    """

    def __init__(
        self,
        quotas: Quotas,
        reader: Quotas,
        quota: Callable[[int], int | None],
        *,
        provider_of: Callable[[str], str],
        now: Callable[[], float],
    ) -> None:
        self._quotas, self._reader = quotas, reader
        self._quota = quota
        self._provider_of = provider_of
        self._now = now
        self._stocks: dict[tuple[str, str], _Stock] = {}  # who was filled last is the last
        self._surplus: list[Counted] = []  # what forgotten stocks had left
        self._counting = trio.Lock()

    def close(self) -> None:
        self._reader.close()
        self._quotas.close()

    def spent(self, source: Source, host: str) -> Disposition | None:
        if source.warm:
            return None
        stock = self._stock(source, self._provider_of(host))
        return stock.spent if stock.left <= 0 else None

    def is_warm(self, source: Source, host: str) -> bool:
        return source.warm or self._stock(source, self._provider_of(host)).warm

    async def provide(self, source: Source, host: str, wanted: int) -> None:
        provider = self._provider_of(host)
        while not (source.warm or self._stock(source, provider).suffices(wanted)):
            async with self._counting:
                stock = self._stock(source, provider)
                if not stock.suffices(wanted):
                    await self._fill(source, provider, stock.day, wanted - stock.left)

    def claim(self, source: Source, host: str, most: int) -> int:
        if source.warm:
            return most
        stock = self._stock(source, self._provider_of(host))
        if stock.warm:
            return most
        count = min(most, stock.left)
        stock.left -= count
        return count

    def unclaim(self, source: Source, host: str, count: int) -> None:
        # What was claimed yesterday, or of a stock that is forgotten, stays counted until it is settled.
        stock = self._stocks.get((source.address, self._provider_of(host)))
        if stock is not None and stock.day == self._today() and not source.warm and not stock.warm:
            stock.left += count

    def _today(self) -> int:
        return int(self._now() // DAY_S)

    def _stock(self, source: Source, provider: str) -> _Stock:
        today = self._today()
        stock = self._stocks.get((source.address, provider))
        if stock is None or stock.day != today:
            stock = self._stocks[source.address, provider] = _Stock(today)
            stock.warm = self._quota(self._reader.day(source.address, provider, today)) is None
            while len(self._stocks) > STOCKS:
                self._forget(*next(iter(self._stocks)))
        return stock

    def _forget(self, source: str, provider: str) -> None:
        stock = self._stocks.pop((source, provider))
        if stock.left:
            self._surplus.append(Counted(source, provider, stock.day, stock.left))

    async def _fill(self, source: Source, provider: str, day: int, wanted: int) -> None:
        most = self._quota(self._reader.day(source.address, provider, day)) or 0
        block = max(wanted, LEAST, most // PART)
        surplus, self._surplus = self._surplus, []

        def count() -> Granted:
            return self._quotas.reserve(source.address, provider, day, block, self._quota, give_back=surplus)

        granted = await in_thread(count)
        stock = self._stock(source, provider)
        if stock.day != day:  # it was midnight meanwhile: what was counted for yesterday is no use any more
            return
        self._stocks[source.address, provider] = self._stocks.pop((source.address, provider))
        stock.left += granted.people
        if granted.people < wanted:
            note = f"warm-up of {source} at {provider}: {most:,} of {most:,} today"
            until = float((day + 1) * DAY_S)
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
    quotas = open_quotas(campaign)
    reader = Quotas.look(quotas.path, "")
    return Warmup(quotas, reader, quota, provider_of=lambda host: providers.of(host).name, now=now)


def open_quotas(campaign: Campaign) -> Quotas:
    return Quotas.open(campaign.project_state / NAME, str(journal_path(campaign)))


@asynccontextmanager
async def warming(campaign: Campaign, journal: Journal, plant: Plant) -> AsyncIterator[None]:
    """Around all that a run sends: what the store has of it is right before, and again behind, whatever ends
    it; else other campaigns would do without what was counted and not sent."""
    if plant.sources is None or plant.sources.warmth is None:
        yield
        return
    cold = tuple(source.address for source in plant.sources.all if not source.warm)
    await journal.call(lambda store: settle(campaign, cold, plant.now()))
    well = False
    try:
        with closing(plant.sources):
            yield
        well = True
    finally:
        # What has broken a run off is what is told of it; and the next run of the campaign settles, too.
        with (
            nullcontext() if well else suppress(StoreError),
            trio.CancelScope(deadline=trio.current_time() + SETTLE_S, shield=True),
        ):
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
