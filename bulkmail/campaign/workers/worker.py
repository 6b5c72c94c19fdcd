"""A worker: sends what it is given, and writes down in a log of its own what becomes of it.

It has a road, a ledger and a dispatcher as a run in one process has them; only its parcels and routes come
from the parent, and what it has written is taken into the store by the parent. It reads the store for itself.
When the parent is gone it begins no new message, gives what is open PARTING_S to come to its verdict, and
ends; so does a worker that is told to.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.ground import known, leasing
from bulkmail.campaign.learning import Learning
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
    GoOn,
    Held,
    Learnt,
    Look,
    Pause,
    Paused,
    Reshape,
    Routed,
    Stop,
    Unwritable,
    Used,
    View,
)
from bulkmail.campaign.workers.notebook import ledger_of
from bulkmail.campaign.workers.shares import Shares, width
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.plant import Tally
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.view import rows
from bulkmail.delivery.work import Parcel
from bulkmail.errors import BulkmailError, ConfigError
from bulkmail.journal import Leases, LogName
from bulkmail.transport.pool import Pool

PARTING_S = 10.0  # for what is open when the parent has gone; less than process.LINGER_S
SAYING_S = 10.0  # for the last words, which a parent that lives reads at once
USED_S = 0.5  # between two reports of what was used
SYNC_S = 0.25  # what was noted is on disk by then, if nobody wanted it before


def work(prepared: Prepared, logs: Sequence[LogName], index: int, channel_end: socket.socket) -> None:
    """In a process of its own, from its begin to its end. The store of `prepared` is closed."""
    trio.run(_work, prepared, logs[index], index, channel_end)


async def _work(prepared: Prepared, log: LogName, index: int, channel_end: socket.socket) -> None:
    channel = Channel(channel_end)
    first = await channel.read()
    if not first:
        return  # there is no run
    begin, *rest = first
    assert isinstance(begin, Begin)
    try:
        await _send(prepared, log, index, channel, begin, rest)
    except BaseException as error:
        why = _cause(error)
        if why is None:
            raise
        channel.tell(Failed(type(why).__name__, str(why)))
    with trio.move_on_after(SAYING_S):
        channel.tell(Bye())
        await channel.flush()
    channel.close()


async def _send(
    prepared: Prepared, log: LogName, index: int, channel: Channel, begin: Begin, rest: Sequence[object]
) -> None:
    """All that the parent hands out, `rest` of its first words before what else it says."""
    campaign = prepared.campaign
    per_host = _per_host(limits_of(campaign), begin.alive)
    with (
        known(campaign, sending=True, writing=False) as (learned, held),
        ledger_of(prepared, log, learned, of=len(begin.alive)) as ledger,
    ):
        async with connections(campaign, begin.way, per_host=per_host) as pool:
            sending = _Sending(campaign, ledger, pool, channel, index, begin.alive, learned)
            try:
                await sending.run(rest, held)
            finally:
                sending.close()
        await sending.tell_the_rest()


def _per_host(whole: Limits, alive: Sequence[int]) -> int:
    """Connections to one host that are one worker's share."""
    return -(-whole.connections // width(whole, len(alive)))


class _Sending:
    """What exists while a worker sends. `alive` are all workers, `index` is this one."""

    def __init__(
        self,
        campaign: Campaign,
        ledger: CampaignLedger,
        pool: Pool,
        channel: Channel,
        index: int,
        alive: tuple[int, ...],
        learned: Learning,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._channel = channel
        self._index = index
        self._inbox = Inbox(channel)
        self._plant = planted(
            campaign,
            work=ledger,
            pool=pool,
            routes=self._inbox,
            tally=Tally(),
            unwritable=self._unwritable,
            on_hold=self._on_hold,
            processes=len(alive),
        )
        assert self._plant.rules is not None
        self._rules = self._plant.rules
        self._learning = learned
        learned.attend(self._plant)
        self._shares = Shares(self._rules, alive)
        self._keep_to_shares()
        self._dispatcher = Dispatcher(self._plant, on_finished=self._on_finished)
        self._ended: list[int] = []  # parcels, not told of yet
        self._news = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self, rest: Sequence[object], held: Leases | None) -> None:
        """`rest` is heard before what the channel brings."""
        async with trio.open_nursery() as nursery:
            for task in (self._listen, self._channel.write, self._report, self._sync):
                nursery.start_soon(task)
            self._heed(rest)
            with self._scope:
                async with leasing(held, self._plant, self._dispatcher, self._learning):
                    await self._dispatcher.run(self._inbox.next)
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Nothing leaves any more."""
        if self._plant.sources is not None:
            self._plant.sources.close()

    async def tell_the_rest(self) -> None:
        """Once everything has ended."""
        await self._tell_ended()
        self._tell_used()

    # --- what is heard ---------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while messages := await self._channel.read():
            self._heed(messages)
        self._inbox.orphaned()
        self._dispatcher.stop()
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + PARTING_S)

    def _heed(self, messages: Sequence[object]) -> None:
        for message in messages:
            match message:
                case Deliver():
                    self._inbox.add(message)
                case Routed():
                    self._inbox.routed(message)
                case Alive(workers):
                    self._divide(workers)
                case Stop():
                    self._dispatcher.stop()
                case Reshape(rules):
                    self._dispatcher.reshape(rules)
                    self._divide(self._shares.alive)
                case Pause(number):
                    self._dispatcher.pause()
                    self._channel.tell(Paused(number))
                case Look():
                    self._channel.tell(View(rows(self._dispatcher, trio.current_time())))
                case GoOn():
                    self._dispatcher.go_on()
                case Cease():
                    self._scope.cancel()
                case Close():
                    self._inbox.close()
                case _:
                    raise TypeError(f"a worker is not told {message!r}")

    def _divide(self, alive: tuple[int, ...]) -> None:
        """Somebody has died: what was his share is divided."""
        self._shares = Shares(self._rules, alive)
        self._pool.limit(_per_host(self._plant.limits, alive))
        self._plant.sites.limit_again()

    def _keep_to_shares(self) -> None:
        """Whatever is limited, ours is a part of it; which one is asked of the shares as they are then."""
        sites, ours = self._plant.sites, self._index
        sites.limits_of = lambda site: self._shares.limits(site, ours)
        sites.provider_of = lambda site: self._shares.provider(site, ours)
        sites.domain_of = lambda site, domain: self._shares.domain(site, domain, ours)
        self._learning.sharers = lambda site: len(self._shares.owners(site))

    # --- what is told ----------------------------------------------------------------------------------

    async def _report(self) -> None:
        while True:
            await trio.sleep(USED_S)
            self._tell_used()

    def _tell_used(self) -> None:
        """Also the sign that the log has grown; nothing where nothing happens."""
        if facts := self._learning.take():
            self._channel.tell(Learnt(tuple(facts)))
        tally = self._plant.tally
        if not (tally.transactions or tally.connections or tally.blocked or tally.asked):
            return
        used = Used(
            tally.transactions,
            tally.connections,
            dict(tally.latency.counts),
            dict(tally.blocked),
            tally.barred,
            dict(tally.bars),
            tally.asked,
            dict(tally.refused),
            tally.refusals,
        )
        self._channel.tell(used)
        tally.transactions = tally.connections = tally.barred = tally.asked = tally.refusals = 0
        tally.latency.counts.clear()
        tally.blocked.clear()
        tally.bars.clear()
        tally.refused.clear()

    def _on_finished(self, parcel: Parcel) -> None:
        self._ended.append(self._inbox.number(parcel))
        self._news.set()

    async def _sync(self) -> None:
        """Nothing that was noted waits long for the disk; a parcel has ended when it is there."""
        while True:
            with trio.move_on_after(SYNC_S):
                await self._news.wait()
            self._news = trio.Event()
            await self._tell_ended()

    async def _tell_ended(self) -> None:
        ended, self._ended = self._ended, []
        try:
            await self._ledger.synced()
        except trio.Cancelled:
            self._ended = ended + self._ended
            raise
        for number in ended:
            self._channel.tell(Ended(number))

    def _on_hold(self, site: str, why: Disposition, held_s: float) -> None:
        self._channel.tell(Held(site, why.text, held_s))

    def _unwritable(self, error: ConfigError) -> None:
        self._channel.tell(Unwritable(str(error)))
        self._dispatcher.stop()


def _cause(error: BaseException) -> BulkmailError | None:
    """What is behind it, where that is one of ours and nothing else happened."""
    while isinstance(error, BaseExceptionGroup):
        ours, others = error.split(BulkmailError)
        if ours is None or others is not None:
            return None
        error = ours.exceptions[0]
    return error if isinstance(error, BulkmailError) else None
