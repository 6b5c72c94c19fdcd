"""A campaign's delivery: builds the whole road, drives it, and says what became of everybody.

Everything that lives as long as a run is made here and handed down; there are no globals. The nurseries are
nested as the parts depend on each other: the sandbox (where it is the internet) outlives the pool, the pool
outlives the destinations. What happens is told to `tell` as plain mappings, the events of `run --json`.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from bulkmail import sandbox
from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.config import Campaign, default_ehlo
from bulkmail.campaign.events import Tell, event
from bulkmail.campaign.feed import Feed
from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.campaign.prepare import Prepared
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Plant, Routing
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Limits
from bulkmail.dns.resolver import Resolver, system_nameservers
from bulkmail.dns.routes import NoRoute, Route, Routes
from bulkmail.journal import Journal, Store
from bulkmail.transport.approach import Approach, Credentials, TimeLimits, TlsPolicy, make_contexts
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool

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


class RelayRouting:
    """Every domain is routed to the relay: the only site there is."""

    def __init__(self, routes: Routes, host: str) -> None:
        self._routes = routes
        self._host = host

    async def route(self, domain: str) -> Route | NoRoute:
        found = await self._routes.relay(self._host)
        if isinstance(found, NoRoute):  # the relay's trouble is no recipient's: never a bounce
            return NoRoute(domain, False, found.enhanced, f"the relay {self._host}: {found.reason}")
        return found


@dataclass(frozen=True, slots=True)
class Road:
    """How recipients are reached: routes, and the pool of connections."""

    routing: Routing
    pool: Pool


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
        finally:
            if log is not None:
                log.close()
            journal.close()
        if self.cut_short:
            await journal.call(Store.recover, campaign.delivery.on_doubt, time.time())
        totals = await journal.read(Store.totals)
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


@asynccontextmanager
async def road(campaign: Campaign) -> AsyncIterator[Road]:
    """The resolver, routes and pool for a campaign; with `via: sandbox`, an internet of its own as well."""
    delivery = campaign.delivery
    async with AsyncExitStack() as stack:
        nameservers = delivery.resolvers or system_nameservers()
        port, allow_private, cafile = delivery.port, delivery.allow_private, None
        if delivery.via.kind == "sandbox":
            world = sandbox.World.default()
            mail = campaign.state / f"{campaign.campaign}.sandbox.mail"
            running = await stack.enter_async_context(sandbox.serve(world, directory=mail))
            nameservers, port, allow_private = (running.dns,), running.smtp_port, True
            cafile = str(running.ca_pem_path)
        resolver = Resolver(nameservers)
        stack.push_async_callback(resolver.aclose)
        ehlo = delivery.ehlo or default_ehlo() or "[127.0.0.1]"
        routes = Routes(resolver, allow_private=allow_private, own_names={ehlo})
        routing: Routing = routes
        via = delivery.via
        if via.kind == "relay":
            port = via.port
            routing = RelayRouting(routes, via.host)
        verifying, lax = make_contexts(cafile)
        credentials = None
        if via.user:
            password = delivery.password.reveal() if delivery.password is not None else ""
            credentials = Credentials(via.user, password)
        limits = delivery.time_limits
        approach = Approach(
            port=port,
            ehlo=ehlo,
            tls=TlsPolicy(delivery.tls),
            implicit_tls=via.implicit_tls,
            credentials=credentials,
            insecure_auth=delivery.insecure_auth,
            time_limits=TimeLimits(**limits.model_dump()),
            verifying=verifying,
            lax=lax,
        )
        shaping = campaign.shaping.default
        pool = Pool(
            Dialer(approach, dead=DeadAddresses()),
            per_host=shaping.connections,
            messages=shaping.messages_per_connection,
        )
        expiring = await stack.enter_async_context(trio.open_nursery())
        expiring.start_soon(pool.expire)
        try:
            yield Road(routing, pool)
        finally:
            expiring.cancel_scope.cancel()
            with trio.CancelScope(deadline=trio.current_time() + 10, shield=True):
                await pool.aclose()
