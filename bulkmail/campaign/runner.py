"""A campaign's delivery: builds the whole road, drives it, and says what became of everybody.

Everything that lives as long as a run is made here and handed down; there are no globals. The nurseries are
nested as the parts depend on each other: the watchers outlive the sandbox (where it is the internet), which
outlives the pool, which outlives the destinations. What happens is told to `tell` as plain mappings, the
events of `run --json`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from signal import SIGHUP
from typing import TYPE_CHECKING

import trio

from bulkmail.campaign import control, standing
from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.classes import ended
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.dead_addresses import DeadAddresses
from bulkmail.campaign.ending import SIGNALS, Ending
from bulkmail.campaign.events import Tell, event
from bulkmail.campaign.feed import Feed
from bulkmail.campaign.ground import known, leasing
from bulkmail.campaign.guard import Guard
from bulkmail.campaign.learning import Learning
from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.campaign.listening import listening
from bulkmail.campaign.orders import Orders
from bulkmail.campaign.outcome import WHEN_SETTLED, Outcome, Until
from bulkmail.campaign.own_replies import table_of
from bulkmail.campaign.planting import planted
from bulkmail.campaign.prepare import Prepared
from bulkmail.campaign.progress import report_progress, seen
from bulkmail.campaign.reloading import Terminal, on_hangups
from bulkmail.campaign.reporter import Reporter
from bulkmail.campaign.road import Road, road
from bulkmail.campaign.warmup import warming
from bulkmail.campaign.writers import Writers, threads_for
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Plant, Tally
from bulkmail.delivery.retry import JITTER
from bulkmail.delivery.rules import Rules
from bulkmail.errors import ConfigError
from bulkmail.journal import Journal, Leases, Store

if TYPE_CHECKING:
    from bulkmail.campaign.workers.crew import Crew

__all__ = ["Outcome", "Until", "run"]

PROGRESS_S = 1.0


async def run(
    prepared: Prepared,
    *,
    tell: Tell,
    until: Until = WHEN_SETTLED,
    limit: int | None = None,
    crew: Crew | None = None,
) -> Outcome:
    """Deliver until settled, `until`, or a signal. `crew`: the processes that are to do it, or ourselves.

    Raises StoreError, CredentialsRefused, WorkersDied and ConfigError: the road is not meant so, or no
    letter can be written any more. Who was not sent to is pending, and what was open came to its verdict.
    """
    terminal = Terminal()
    with trio.open_signal_receiver(*SIGNALS) as signals, trio.open_signal_receiver(SIGHUP) as hangups:
        hung_up = partial(on_hangups, hangups, terminal, prepared.campaign)
        return await _Run(prepared, tell, until, limit, crew).run(signals, hung_up)


class _Run:
    def __init__(
        self, prepared: Prepared, tell: Tell, until: Until, limit: int | None, crew: Crew | None
    ) -> None:
        self.prepared = prepared
        self.campaign = prepared.campaign
        self.tell, self.until, self.limit, self.crew = tell, until, limit, crew
        self.tally = Tally()
        self.dispatcher: Dispatcher | None = None
        self.reporter: Reporter | None = None
        self.ending: Ending | None = None
        self.stopping = self.holding = False
        self.writers: Writers | None = None
        self.broken: ConfigError | None = None  # why no more letters can be written
        self.cut_short = True  # transactions may be open: what their intents say is taken over at the end
        self.started = trio.current_time()

    async def run(self, signals: AsyncIterator[int], hung_up: Callable[..., Awaitable[None]]) -> Outcome:
        self.signals, self.hung_up = signals, hung_up
        campaign = self.campaign
        journal = Journal(self.prepared.store)
        before = await journal.read(Store.totals)
        self._event("started", totals=before, via=str(campaign.delivery.via))
        orders = Orders(self, journal, self._event)
        self.guard = Guard(campaign, journal, orders, self.tally)
        self.dead = DeadAddresses(campaign, journal, self.prepared.suppressions, self._warn)
        socket = control.socket_path(journal.store.path)
        async with listening(socket, orders.heed, warn=self._warn):
            outcome = await self._run(journal, orders, before)
        if self.broken is not None:
            raise self.broken
        return outcome

    async def _run(self, journal: Journal, orders: Orders, before: Mapping[str, int]) -> Outcome:
        campaign = self.campaign
        log = AccountingLog(campaign.log, campaign.campaign) if campaign.log is not None else None
        count = threads_for(self.prepared.composer) if self.crew is None else 0
        self.writers = Writers(count) if count else None
        try:
            async with trio.open_nursery() as watchers:
                ending = self.ending = Ending(
                    watchers.cancel_scope,
                    stop=self._stop,
                    tell=lambda name: self._event("stopping", signal=name),
                )
                watchers.start_soon(ending.on_signals, self.signals)
                hung_up = partial(self.hung_up, take_up=self._reshape, drain=ending.hung_up)
                watchers.start_soon(partial(hung_up, tell=self._event))
                watchers.start_soon(journal.keep_up)
                await orders.take_up(journal.store.path)
                await self.guard.begin()
                with known(campaign, sending=self.crew is None) as (learned, held):
                    async with road(campaign, self.prepared.composer.keys) as made:
                        for text in made.warnings:
                            self._warn(text)
                        await self._deliver(made, journal, log, ending, watchers, learned, held)
                watchers.cancel_scope.cancel()
        finally:
            if self.writers is not None:
                self.writers.close()
            try:
                journal.close()  # what is still to be accounted for is written by that
            finally:
                if log is not None:
                    log.close()
        if orders.cancelled:
            await journal.call(standing.give_up, time.time())
        elif self.cut_short:
            await journal.call(Store.recover, campaign.delivery.on_doubt, time.time())
        await self.dead.keep()
        totals, failed = await journal.call(ended, table_of(campaign), at_once=ending.interrupted)
        orders.over(totals)
        outcome = Outcome(
            totals,
            totals["delivered"] - before["delivered"],
            self.tally.transactions,
            self.tally.connections,
            trio.current_time() - self.started,
            ending.interrupted,
            paused=orders.paused is not None,
            cancelled=orders.cancelled,
            failed=failed,
            fail_on=self.until.fail_on,
        )
        if self.broken is None:
            self._event("finished", **outcome.told(self.tally.latency.summary()))
        return outcome

    def _plant(self, made: Road, ledger: CampaignLedger, ending: Ending) -> Plant:
        def unwritable(error: ConfigError) -> None:
            self.broken = self.broken or error
            ending.now()

        return planted(
            self.campaign,
            work=ledger,
            pool=made.pool,
            routes=made.routing,
            tally=self.tally,
            unwritable=unwritable,
            on_hold=lambda site, why, held_s: self._on_hold(site, why.text, held_s),
        )

    def _dispatcher(self, plant: Plant, made: Road, journal: Journal, learned: Learning) -> Dispatcher:
        if self.crew is None:
            return Dispatcher(plant)
        from bulkmail.campaign.workers.parent import Distributor  # only who has workers pays for the import

        return Distributor(
            plant,
            self.crew,
            way=made.way,
            journal=journal,
            on_doubt=self.campaign.delivery.on_doubt,
            held=self._on_hold,
            learned=learned.add,
            warn=self._warn,
        )

    def _on_hold(self, site: str, why: str, held_s: float) -> None:
        self._event("site", site=site, reason=why, held_s=held_s)

    async def _deliver(
        self,
        made: Road,
        journal: Journal,
        log: AccountingLog | None,
        ending: Ending,
        watchers: trio.Nursery,
        learned: Learning,
        held: Leases | None,
    ) -> None:
        """Everybody, and then the report about them."""
        prepared = self.prepared
        ledger = CampaignLedger(
            journal,
            prepared.composer,
            prepared.suppressions,
            log,
            now=time.time,
            suppressed_until=prepared.suppressed_until,
            writers=self.writers,
            checks=learned.checks,
        )
        plant = self._plant(made, ledger, ending)
        learned.attend(plant)
        watchers.start_soon(learned.keep)
        dispatcher = self.dispatcher = self._dispatcher(plant, made, journal, learned)
        reporter = self.reporter = Reporter(self.prepared, journal, self.tell)
        if self.stopping:  # before there was anything to stop
            self._stop()
        elif self.holding:
            dispatcher.pause()
        feed = Feed(
            journal,
            dispatcher,
            shareable=self.prepared.shareable,
            first_pass=self.until.first_pass,
            limit=self.limit,
            now=time.time,
            fetch_few=ledger.fetch_few if self.crew is None else None,  # workers read for themselves
            parking=self.campaign.delivery.via.kind != "relay",
            longest_wait_s=self.campaign.longest_wait_s * (1 + JITTER),
            seeds_only=self.guard.seeds_first,
        )
        progress = partial(report_progress, PROGRESS_S, journal, dispatcher, self.tally, self._judged)
        watchers.start_soon(progress, self._event)
        if self.until.seconds is not None:
            watchers.start_soon(ending.after, self.until.seconds)
        async with warming(self.campaign, journal, plant), leasing(held, plant, dispatcher, learned):
            await dispatcher.run(feed.next)
        self.cut_short = False
        await self.guard.look_again()
        if not self.stopping:
            await self.guard.seeds_settled()
        await reporter.deliver(made)

    def _stop(self) -> None:
        """No new MAIL from now on."""
        self.stopping = True
        if self.dispatcher is not None:
            self.dispatcher.stop()
        if self.reporter is not None:
            self.reporter.stop()

    # --- what the operator may order, see Orders ----------------------------------------------------

    def hold(self) -> None:
        self.holding = True
        if self.dispatcher is not None:
            self.dispatcher.pause()

    def go_on(self) -> None:
        self.holding = False
        if self.dispatcher is not None:
            self.dispatcher.go_on()

    def drain(self) -> None:
        if self.ending is not None:
            self.ending.now()
        else:
            self._stop()

    async def quiet(self) -> bool:
        return self.crew is None or await self.crew.hush.wait()

    async def look(self) -> Mapping[str, object]:
        return await seen(self.campaign, self.dispatcher, self.tally, self.started, stopping=self.stopping)

    def _reshape(self, campaign: Campaign, rules: Rules) -> None:
        self.campaign = campaign
        self.guard.judge_by(campaign)
        if self.dispatcher is not None:
            self.dispatcher.reshape(rules)

    async def _judged(self, totals: Mapping[str, int]) -> None:
        await self.guard.look(totals)
        await self.dead.look(totals)

    def _warn(self, text: str) -> None:
        self._event("warning", text=text)

    def _event(self, name: str, **fields: object) -> None:
        self.tell(event(name, self.campaign, **fields))
