"""A worker: sends what it is given, and writes down in a log of its own what becomes of it.

It has a road, a ledger and a dispatcher as a run in one process has them; only its parcels and routes come
from the parent, and what it has written is taken into the store by the parent. It reads the store for itself.
When the parent is gone it begins no new message, gives what is open PARTING_S to come to its verdict, and
ends; so does a worker that is told to.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

import trio

from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.campaign.planting import limits_of, planted
from bulkmail.campaign.prepare import Prepared
from bulkmail.campaign.way import connections
from bulkmail.campaign.workers.channel import Channel
from bulkmail.campaign.workers.inbox import Inbox
from bulkmail.campaign.workers.messages import (
    Alive,
    Begin,
    Bye,
    Cease,
    Close,
    Deliver,
    Ended,
    Failed,
    Held,
    Routed,
    Stop,
    Unwritable,
    Used,
)
from bulkmail.campaign.workers.notebook import Notebook
from bulkmail.campaign.workers.shares import owners, provider, share, width
from bulkmail.campaign.writers import Writers, threads_for
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.plant import Tally
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.work import Parcel
from bulkmail.errors import BulkmailError, ConfigError
from bulkmail.journal import LogName, Suppressions

PARTING_S = 10.0  # for what is open when the parent has gone; less than process.LINGER_S
SAYING_S = 10.0  # for the last words, which a parent that lives reads at once
USED_S = 0.5  # between two reports of what was used
SYNC_S = 0.25  # what was noted is on disk by then, if nobody wanted it before


def work(prepared: Prepared, logs: Sequence[LogName], index: int, end: socket.socket) -> None:
    """In a process of its own, from its begin to its end. The store of `prepared` is closed."""
    trio.run(_Worker(prepared, logs[index], index, len(logs), end).run)


class _Worker:
    def __init__(self, prepared: Prepared, log: LogName, index: int, count: int, end: socket.socket) -> None:
        self.prepared = prepared
        self.campaign = prepared.campaign
        self.index = index
        self.threads = -(-threads_for(prepared.composer) // count)
        self.log = log
        self.end = end
        self.whole = limits_of(self.campaign)
        self.count = count
        self.alive: tuple[int, ...] = ()
        self.ended: list[int] = []  # parcels, not told of yet
        self.news = trio.Event()
        self.sending = trio.CancelScope()

    async def run(self) -> None:
        self.channel = channel = Channel(self.end)
        self.inbox = Inbox(channel)
        first = await channel.read()
        if not first:
            return  # there is no run
        begin, *rest = first
        assert isinstance(begin, Begin)
        self.alive = begin.alive
        try:
            await self._send(begin, rest)
        except BaseException as error:
            why = _cause(error)
            if why is None:
                raise
            channel.tell(Failed(type(why).__name__, str(why)))
        with trio.move_on_after(SAYING_S):
            channel.tell(Bye())
            await channel.flush()
        channel.close()

    async def _send(self, begin: Begin, rest: Sequence[object]) -> None:
        with ExitStack() as stack:
            self.notebook = stack.enter_context(Notebook(self.log))
            writers = Writers(self.threads) if self.threads else None
            if writers is not None:
                stack.callback(writers.close)
            suppressions = stack.enter_context(Suppressions.look(self.prepared.suppressions.path))
            accounting = None
            if self.campaign.log is not None:
                accounting = AccountingLog(self.campaign.log, self.campaign.campaign)
                stack.callback(accounting.close)
            self.ledger = CampaignLedger(
                self.notebook,
                self.prepared.composer,
                suppressions,
                accounting,
                now=time.time,
                suppressed_until=self.prepared.suppressed_until,
                writers=writers,
            )
            per_host = -(-self.whole.connections // width(self.whole, len(self.alive)))
            async with connections(self.campaign, begin.way, per_host=per_host) as self.pool:
                self.plant = planted(
                    self.campaign,
                    work=self.ledger,
                    pool=self.pool,
                    routes=self.inbox,
                    tally=Tally(),
                    unwritable=self._unwritable,
                    on_hold=self._on_hold,
                    processes=len(begin.alive),
                )
                self.plant.sites.limits_of = self._limits
                self.dispatcher = Dispatcher(self.plant, on_finished=self._on_finished)
                async with trio.open_nursery() as nursery:
                    for task in (self._listen, self._write, self._report, self._sync):
                        nursery.start_soon(task)
                    self._heed(rest)
                    with self.sending:
                        await self.dispatcher.run(self.inbox.next)
                    nursery.cancel_scope.cancel()
            await self._tell_ended()
            self._tell_used()

    # --- what is heard ---------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while messages := await self.channel.read():
            self._heed(messages)
        self.inbox.orphaned()
        self.dispatcher.stop()
        self.sending.deadline = min(self.sending.deadline, trio.current_time() + PARTING_S)

    def _heed(self, messages: Sequence[object]) -> None:
        for message in messages:
            match message:
                case Deliver():
                    self.inbox.add(message)
                case Routed():
                    self.inbox.routed(message)
                case Alive(workers):
                    self._divide(workers)
                case Stop():
                    self.dispatcher.stop()
                case Cease():
                    self.sending.cancel()
                case Close():
                    self.inbox.close()
                case _:
                    raise TypeError(f"a worker is not told {message!r}")

    def _divide(self, alive: tuple[int, ...]) -> None:
        """Somebody has died: what was his share is divided."""
        self.alive = alive
        self.pool.per_host = -(-self.whole.connections // width(self.whole, len(alive)))
        self.plant.sites.limit_again()

    def _limits(self, site: str) -> Limits:
        """Our share of a site's."""
        sharing = owners(provider(site), self.alive, width(self.whole, len(self.alive)))
        if self.index not in sharing:  # it was ours when it was given to us; what is left of it is little
            return share(self.whole, len(sharing), len(sharing) - 1)
        return share(self.whole, len(sharing), sharing.index(self.index))

    # --- what is told ----------------------------------------------------------------------------------

    async def _write(self) -> None:
        await self.channel.write()

    async def _report(self) -> None:
        while True:
            await trio.sleep(USED_S)
            self._tell_used()

    def _tell_used(self) -> None:
        """Also the sign that the log has grown; nothing where nothing happens."""
        tally = self.plant.tally
        if not (tally.transactions or tally.connections):
            return
        self.channel.tell(Used(tally.transactions, tally.connections, dict(tally.latency.counts)))
        tally.transactions = tally.connections = 0
        tally.latency.counts.clear()

    def _on_finished(self, parcel: Parcel) -> None:
        self.ended.append(self.inbox.number(parcel))
        self.news.set()

    async def _sync(self) -> None:
        """Nothing that was noted waits long for the disk; a parcel has ended when it is there."""
        while True:
            with trio.move_on_after(SYNC_S):
                await self.news.wait()
            self.news = trio.Event()
            await self._tell_ended()

    async def _tell_ended(self) -> None:
        ended, self.ended = self.ended, []
        try:
            await self.ledger.synced()
        except trio.Cancelled:
            self.ended = ended + self.ended
            raise
        for number in ended:
            self.channel.tell(Ended(number))

    def _on_hold(self, site: str, why: Disposition, held_s: float) -> None:
        self.channel.tell(Held(site, why.text, held_s))

    def _unwritable(self, error: ConfigError) -> None:
        self.channel.tell(Unwritable(str(error)))
        self.dispatcher.stop()


def _cause(error: BaseException) -> BulkmailError | None:
    """What is behind it, where that is one of ours and nothing else happened."""
    while isinstance(error, BaseExceptionGroup):
        ours, others = error.split(BulkmailError)
        if ours is None or others is not None:
            return None
        error = ours.exceptions[0]
    return error if isinstance(error, BulkmailError) else None
