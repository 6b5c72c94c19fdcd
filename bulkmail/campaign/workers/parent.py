"""The parent's side: routes what the feed brings, hands it to the workers, and answers for those who die.

A dispatcher whose destinations are elsewhere. What routes to a site goes to the workers it belongs to: all of
it to one; or in slices, to whoever has the fewest of them, where several share the site. A parcel is finished
when each of its slices has ended and what the workers wrote of it is in the store; so whoever asks the store
afterwards finds it, and `open_parcels` bounds what the workers have out.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import trio

from bulkmail import errors
from bulkmail.campaign.way import Way
from bulkmail.campaign.workers import messages as said
from bulkmail.campaign.workers.crew import Crew, Hand
from bulkmail.campaign.workers.process import kill, reap, reaped
from bulkmail.campaign.workers.shares import Shares
from bulkmail.campaign.workers.slices import Batch, Slice
from bulkmail.delivery.dispatch import Dispatcher, Source
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.rules import Rules
from bulkmail.delivery.view import Row, merged
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import Route
from bulkmail.errors import BulkmailError, ConfigError, WorkersDied
from bulkmail.journal import Fact, Journal, Store

LOOK_S = 0.2  # ends of slices that gather until the store takes in what the workers wrote of them
LOOKED_S = 1.0  # for workers to say how they do
CEASE_S = 15.0  # for workers to break off what is open, and to write it down


class Distributor(Dispatcher):
    """See the module. `held` and `warn` are told what people are to know, `learned` what is to be kept."""

    def __init__(
        self,
        plant: Plant,
        crew: Crew,
        *,
        way: Way,
        journal: Journal,
        on_doubt: str,
        held: Callable[[str, str, float], None],
        learned: Callable[[Sequence[Fact]], None],
        warn: Callable[[str], None],
    ) -> None:
        super().__init__(plant)
        self._journal = journal
        self._on_doubt = on_doubt
        self._held = held
        self._learned = learned
        self._warn = warn
        self._hands = {hand.index: hand for hand in crew.hands()}  # those who are alive
        self._slices: dict[int, Slice] = {}  # that workers have, by number
        self._load = dict.fromkeys(self._hands, 0)  # and how many that are
        self._batches: set[Batch] = set()
        self._unseen: list[Batch] = []  # of each slice that has ended and is not seen in the store
        self._some_unseen = trio.Event()
        self._numbers = itertools.count()
        self._views: dict[int, Sequence[Row]] = {}  # by worker, since somebody looked
        self._viewed = trio.Event()
        self._hush = crew.hush
        alive = tuple(self._hands)
        assert plant.rules is not None
        self._rules = plant.rules
        self._shares = Shares(self._rules, alive)
        for hand in self._hands.values():  # the first word, before any Stop or Cease
            hand.channel.tell(said.Begin(way, alive))

    @property
    def sites(self) -> int:
        return len({batch.route.site for batch in self._batches})

    async def run(self, source: Source) -> None:
        """Deliver everything that `source` yields. Raises StoreError, WorkersDied, and what a worker says."""
        try:
            async with trio.open_nursery() as beside:
                beside.start_soon(self._look)
                async with trio.open_nursery() as attending:
                    for hand in tuple(self._hands.values()):
                        self._journal.follow(hand.log)
                        attending.start_soon(self._attend, hand, beside)
                    await super().run(source)
                    while self.open_parcels and not self.stopping:
                        await self.next_finished().wait()
                    for hand in self._hands.values():
                        hand.channel.tell(said.Close())
                await self._see()
                beside.cancel_scope.cancel()
        except BaseException:
            await self._cease()
            raise

    def stop(self) -> None:
        super().stop()
        self.next_finished().set()  # nobody is waited for any more
        for hand in self._hands.values():
            hand.channel.tell(said.Stop())

    def pause(self) -> None:
        super().pause()
        number = self._hush.asked(self._hands)
        for hand in self._hands.values():
            hand.channel.tell(said.Pause(number))

    def go_on(self) -> None:
        super().go_on()
        for hand in self._hands.values():
            hand.channel.tell(said.GoOn())

    def reshape(self, rules: Rules) -> None:
        super().reshape(rules)
        self._shares = Shares(self._rules, self._hands)
        for hand in self._hands.values():
            hand.channel.tell(said.Reshape(rules))

    async def look(self) -> list[Row]:
        """Of all workers who answer within a moment."""
        self._views, self._viewed = {}, trio.Event()
        for hand in self._hands.values():
            hand.channel.tell(said.Look())
        with trio.move_on_after(LOOKED_S):
            await self._viewed.wait()
        here = [
            Row(self.plant.provider_of(batch.route.site), 0, 0, 0, batch.waiting, 0, "", None, "")
            for batch in self._batches
            if batch.waiting
        ]
        return merged([row for view in self._views.values() for row in view] + here, processes=True)

    # --- handing out -----------------------------------------------------------------------------------

    async def _place(self, parcel: Parcel, route: Route, destinations: trio.Nursery) -> None:
        batch = Batch(parcel, route, self._rules.limits(route.site).recipients_per_transaction)
        self._batches.add(batch)
        self._hand_out(batch)

    def _hand_out(self, batch: Batch) -> None:
        """Give what waits of it to whom its site belongs, as much as they may have at a time."""
        if self.stopping or not self._hands:
            return
        sharing = self._shares.owners(batch.route.site, batch.parcel.domain)
        while batch.waiting:
            worker = min(sharing, key=lambda index: (batch.out[index], self._load[index]))
            spans = batch.take(worker, len(sharing))
            if not spans:
                return
            number = next(self._numbers)
            self._slices[number] = Slice(worker, batch, spans)
            self._load[worker] += 1
            parcel, route = batch.parcel, batch.route
            self._hands[worker].channel.tell(
                said.Deliver(number, parcel.domain, spans, parcel.shared, parcel.attempts, route)
            )

    # --- what the workers say --------------------------------------------------------------------------

    async def _attend(self, hand: Hand, beside: trio.Nursery) -> None:
        """From its begin to its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hand.channel.write)
            while messages := await hand.channel.read():
                self._heed(hand, messages, beside)
                self._journal.told()
            how = await reaped(hand.process)
            del self._hands[hand.index]  # at once: who is reaped must not be ended again
            self._shares = Shares(self._rules, self._hands)
            self._hush.gone(hand.index)
            nursery.cancel_scope.cancel()
        await self._gone(hand, how)

    def _heed(self, hand: Hand, messages: Sequence[object], beside: trio.Nursery) -> None:
        for message in messages:
            match message:
                case said.Ended(number):
                    ended = self._slices.pop(number)
                    self._load[hand.index] -= 1
                    ended.batch.ended(hand.index)
                    self._has_ended(ended.batch)
                    self._hand_out(ended.batch)
                case said.Asks(domain):
                    beside.start_soon(self._answer, hand, domain)
                case said.Used() as used:
                    tally = self.plant.tally
                    tally.transactions += used.transactions
                    tally.connections += used.connections
                    tally.latency.counts.update(used.latency)
                    for reply, recipients in used.blocked.items():
                        tally.blocked_by(reply, recipients)
                    tally.barred += used.barred
                    for site in used.bars:
                        tally.barred_at(site)
                    tally.asked += used.asked
                    for reply, recipients in used.refused.items():
                        tally.refused_by(reply, recipients)
                    tally.refusals += used.refusals
                case said.View(found):
                    self._views[hand.index] = found
                    if len(self._views) == len(self._hands):
                        self._viewed.set()
                case said.Paused(number):
                    self._hush.heard(hand.index, number)
                case said.Held(site, reason, held_s):
                    self._held(site, reason, held_s)
                case said.Learnt(facts):
                    self._learned(facts)
                case said.Unwritable(why):
                    self.plant.unwritable(ConfigError(why))
                case said.Failed(name, text):
                    raise _error(name)(text)
                case said.Bye():
                    hand.done = True
                case _:
                    raise TypeError(f"a worker does not say {message!r}")

    async def _answer(self, hand: Hand, domain: str) -> None:
        hand.channel.tell(said.Routed(domain, await self._routed(domain)))

    def _has_ended(self, batch: Batch) -> None:
        """One slice of it: finished, where it was the last, once that is seen in the store."""
        self._unseen.append(batch)
        self._some_unseen.set()

    async def _look(self) -> None:
        while True:
            await self._some_unseen.wait()
            if len(self._unseen) < self.open_parcels:  # the others go on meanwhile
                await trio.sleep(LOOK_S)
            await self._see()

    async def _see(self) -> None:
        ended, self._unseen = self._unseen, []
        self._some_unseen = trio.Event()
        if ended:
            await self._journal.call(_nothing)  # takes in all that the logs hold before
        for batch in ended:
            batch.seen()
            if batch.finished and batch in self._batches:
                self._batches.remove(batch)
                self._finished(batch.parcel)

    # --- endings ---------------------------------------------------------------------------------------

    async def _gone(self, hand: Hand, how: str) -> None:
        """Its process has ended: what it wrote is taken in; unless it was meant, the others take over."""
        hand.channel.close()
        doubtful = await self._journal.unfollow(hand.log.log, self._on_doubt, time.time())
        if hand.done:
            return
        left = f", {doubtful:,} recipients are in doubt" if doubtful else ""
        text = f"worker {hand.index + 1} (process {hand.process.pid}) died: {how or 'it just ended'}{left}"
        self._warn(text)
        if self.stopping:
            return
        if not self._hands:
            raise WorkersDied(f"{text}; and it was the last one")
        for other in self._hands.values():
            other.channel.tell(said.Alive(tuple(self._hands)))
        for number, lost in [(n, one) for n, one in self._slices.items() if one.worker == hand.index]:
            del self._slices[number]
            attempts = lost.batch.parcel.attempts
            lost.batch.put_back(await self._journal.call(Store.in_hand, lost.spans, attempts))
            self._has_ended(lost.batch)
            self._hand_out(lost.batch)

    async def _cease(self) -> None:
        """The run is broken off: so are the workers, at once; none is left when it returns."""
        with trio.CancelScope(deadline=trio.current_time() + CEASE_S, shield=True):
            async with trio.open_nursery() as nursery:
                for hand in tuple(self._hands.values()):
                    nursery.start_soon(self._end, hand)
        for hand in self._hands.values():
            kill(hand.process)
            reap(hand.process)  # what it had begun to write is written: its log is as it will be

    async def _end(self, hand: Hand) -> None:
        hand.channel.tell(said.Cease())
        await hand.channel.flush()
        while await hand.channel.read():
            pass
        await reaped(hand.process)
        del self._hands[hand.index]


def _nothing(store: Store) -> None:
    """Asked of the journal only for what comes before."""


def _error(name: str) -> type[BulkmailError]:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, BulkmailError) else BulkmailError
