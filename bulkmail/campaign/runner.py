"""A campaign's delivery: builds the whole road, drives it, and says what became of everybody.

Everything that lives as long as a run is made here and handed down; there are no globals. The nurseries are
nested as the parts depend on each other: the sandbox (where it is the internet) outlives the pool, the pool
outlives the destinations. What happens is told to `tell` as plain mappings, the events of `run --json`.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import trio

from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.courier import deliver_one
from bulkmail.campaign.events import Tell, event
from bulkmail.campaign.feed import Feed
from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.campaign.prepare import Prepared
from bulkmail.campaign.report import report
from bulkmail.campaign.road import Road, road
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Limits
from bulkmail.journal import Journal, Store
from bulkmail.message import Author

DRAIN_S = 60.0  # after the first Ctrl-C or SIGTERM, open transactions have this long to end
PROGRESS_S = 1.0
SESSIONS = 400  # of all sites together; each is a descriptor, and half of what we may open is kept for others


@dataclass(frozen=True, slots=True)
class Until:
    """When a run ends by itself: settled, after everybody was tried once, or after `seconds`."""

    first_pass: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `interrupted`: by a second Ctrl-C, at once."""

    totals: Mapping[str, int]
    delivered: int  # in this run
    transactions: int
    connections: int
    seconds: float
    interrupted: bool

    @property
    def exit(self) -> int:
        """The exit code of INTERFACE.md."""
        if self.interrupted:
            return 130
        if self.totals["pending"] or self.totals["deferred"]:
            return 5
        if self.totals["in_doubt"] or self.totals["expired"]:
            return 4
        return 0


async def run(prepared: Prepared, *, tell: Tell, until: Until = Until(), limit: int | None = None) -> Outcome:
    """Deliver until settled, `until`, or a signal. Raises StoreError, CredentialsRefused."""
    return await _Run(prepared, tell, until, limit).run()


class _Run:
    def __init__(self, prepared: Prepared, tell: Tell, until: Until, limit: int | None) -> None:
        self.prepared = prepared
        self.campaign = prepared.campaign
        self.tell = tell
        self.until = until
        self.limit = limit
        self.interrupted = False  # by a second signal
        self.cut_short = True  # transactions may be open: what their intents say is taken over at the end
        self.started = trio.current_time()

    async def run(self) -> Outcome:
        campaign = self.campaign
        journal = Journal(self.prepared.store)
        before = await journal.read(Store.totals)
        self._event("started", totals=before, via=str(campaign.delivery.via))
        log = AccountingLog(campaign.log, campaign.campaign) if campaign.log is not None else None
        try:
            async with road(campaign) as made:
                plant = self._plant(made, journal, log)
                await self._deliver(plant, journal)
                if not self.cut_short:
                    await self._report_back(made, journal)
        finally:
            if log is not None:
                log.close()
            journal.close()
        if self.cut_short:
            await journal.call(Store.recover, campaign.delivery.on_doubt, time.time())
        totals = await journal.call(Store.totals)
        outcome = Outcome(
            totals,
            totals["delivered"] - before["delivered"],
            plant.tally.transactions,
            plant.tally.connections,
            trio.current_time() - self.started,
            self.interrupted,
        )
        self._event(
            "finished",
            totals=totals,
            transactions=outcome.transactions,
            connections=outcome.connections,
            seconds=round(outcome.seconds, 3),
            exit=outcome.exit,
        )
        return outcome

    def _plant(self, made: Road, journal: Journal, log: AccountingLog | None) -> Plant:
        campaign = self.campaign
        delivery, shaping = campaign.delivery, campaign.shaping.default
        retry = delivery.retry
        return Plant(
            work=CampaignLedger(
                journal,
                self.prepared.composer,
                self.prepared.suppressions,
                log,
                resend_doubt=delivery.on_doubt == "resend",
            ),
            pool=made.pool,
            routes=made.routing,
            limits=Limits(
                connections=shaping.connections,
                message_rate=shaping.message_rate.per_second,
                connection_rate=shaping.connection_rate.per_second,
                recipients_per_transaction=shaping.recipients_per_transaction,
                messages_per_connection=shaping.messages_per_connection,
            ),
            retry=Retry(retry.first, retry.factor, retry.max, retry.give_up),
            reverse_path=campaign.reverse_path,
            slots=trio.CapacityLimiter(session_slots()),
            now=time.time,
        )

    async def _deliver(self, plant: Plant, journal: Journal) -> None:
        dispatcher = Dispatcher(plant)
        feed = Feed(
            journal,
            dispatcher,
            shareable=self.prepared.shareable,
            first_pass=self.until.first_pass,
            limit=self.limit,
            now=time.time,
        )
        async with trio.open_nursery() as watchers:
            watchers.start_soon(self._watch_signals, dispatcher, watchers.cancel_scope)
            watchers.start_soon(self._report_progress, journal, dispatcher)
            if self.until.seconds is not None:
                watchers.start_soon(_stop_after, self.until.seconds, dispatcher)
            await dispatcher.run(feed.next)
            self.cut_short = False
            watchers.cancel_scope.cancel()

    async def _report_back(self, made: Road, journal: Journal) -> None:
        """Tell the sender who could not be delivered to, once, when nobody is left to be tried."""
        campaign, store = self.campaign, self.prepared.store
        totals = await journal.read(Store.totals)
        if campaign.report_to is None or totals["pending"] or totals["deferred"]:
            return
        if await journal.read(Store.meta, "reported"):
            return
        message = report(
            campaign,
            store,
            self.prepared.composer,
            own_name=made.ehlo,
            now=datetime.now(UTC).replace(microsecond=0),
        )
        if message is None:
            return

        async def about_to_end() -> None:
            # like any intent: whoever crashes now does not send it twice
            await journal.call(Store.set_meta, "reported", "in doubt")

        to = Author.parse(campaign.report_to).mailbox
        done = await deliver_one(made.routing, made.pool, to, message, about_to_end)
        if done.fate is not Fate.IN_DOUBT:
            settled = done.fate in (Fate.DELIVERED, Fate.BOUNCED)
            await journal.call(Store.set_meta, "reported", done.fate.value if settled else "")
        self._event("reported", to=str(to), disposition=done.fate.value, reply=done.text)

    async def _watch_signals(self, dispatcher: Dispatcher, everything: trio.CancelScope) -> None:
        """The first one drains, the second one, or the drain's deadline, stops at once (P1, P2)."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if dispatcher.stopping:
                    self.interrupted = True
                    everything.cancel()
                    return
                self._event("stopping", signal=signal.Signals(number).name)
                dispatcher.stop()
                everything.deadline = trio.current_time() + DRAIN_S

    async def _report_progress(self, journal: Journal, dispatcher: Dispatcher) -> None:
        while True:
            await trio.sleep(PROGRESS_S)
            self._event(
                "progress",
                totals=await journal.read(Store.totals),
                sites=len(dispatcher.destinations),
                transactions=dispatcher.plant.tally.transactions,
                connections=dispatcher.plant.tally.connections,
                next_due=await journal.read(Store.next_due, time.time()),
            )

    def _event(self, name: str, **fields: object) -> None:
        self.tell(event(name, self.campaign, **fields))


async def _stop_after(seconds: float, dispatcher: Dispatcher) -> None:
    await trio.sleep(seconds)
    dispatcher.stop()


def session_slots() -> int:
    """Sessions that may be open at once in this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(SESSIONS, soft // 2))
