"""What the transactions of one turn on a connection come to: verdicts noted, and what follows for the rest.

It is told of one transaction after the other, in order, and decides for each of its recipients: a verdict, or
again at once; for the site: what it has taught us; for the session: whether another host is better. All of it
is plain bookkeeping; the only `await` is for the intents to be on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import trio

from bulkmail.delivery.consignment import Consignment, picked
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.errands import Errand
from bulkmail.delivery.evidence import again_over_ipv4, refuses_ipv6
from bulkmail.delivery.feedback import EXCUSED, EXCUSED_OF_ALL, slows
from bulkmail.delivery.line import Line
from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.transaction import Transacted, trouble_of
from bulkmail.delivery.unreached import where_of
from bulkmail.delivery.work import Opened, Parcel, Roll, Verdict, spans_of
from bulkmail.transport.connection import Connection
from bulkmail.transport.stage import Stage


class Conclusion:
    """Of one call of a carrier (`convey`)."""

    def __init__(
        self,
        destination: Destination,
        line: Line,
        connection: Connection,
        proven: Callable[[], None],
        *,
        whole: bool,
    ) -> None:
        """`whole`: the content goes by BDAT, unasked."""
        self._awaited: dict[Consignment, None] = {}  # what was not told yet, in order
        self._told = 0
        self._again: list[Errand] = []
        self.trouble: Disposition | None = None  # what speaks against the next transaction with this host
        self.elsewhere = False  # another connection is better
        self.blocked: Disposition | None = None  # nothing that comes from our source is taken
        self.slowed = False  # the site wants less, and who was throttled waits for his turn
        self._destination = destination
        self._site = destination.site
        self._plant = destination.plant
        self._line = line
        self._connection = connection
        self._proven = proven
        self._whole = whole
        self._where = where_of(connection)
        self._before = connection.transactions  # begun on this connection before this turn
        self._worked = connection.reused or connection.transactions > 0
        self._heard = 0
        self._throttled = 0  # of those told just now
        self._cut_short = False  # the connection ended before somebody was heard of
        # told, and not noted yet
        self._verdicts: list[Verdict] = []
        self._closed: list[int] = []
        self._people: list[Roll] = []
        self._settled: list[tuple[Parcel, int]] = []

    @property
    def went_well(self) -> bool:
        """Something was heard, and nothing of it speaks against going on as before."""
        return self._heard > 0 and not (self.trouble or self.elsewhere or self.slowed or self._cut_short)

    async def intend(self, ending: Sequence[tuple[Consignment, Roll]]) -> None:
        """These are about to be ended. On disk when it returns, with all that was told until now."""
        self._proven()  # an envelope was accepted; or many are to fly, as they do only where it went well
        at = self._plant.now()
        for one, _ in ending:
            one.opened = True
        self._note(
            [
                Opened(one.key, one.spans if roll is one.roll else spans_of(roll.ids), self._where, at)
                for one, roll in ending
            ]
        )
        await self._plant.work.synced()

    def tell(self, told: Sequence[tuple[Consignment, Transacted]]) -> bool:
        """These transactions came to their end. False if no further MAIL should follow on this connection."""
        now, at = trio.current_time(), self._plant.now()
        going_on = True
        answered: dict[float, int] = {}  # when they were sent: how many
        for one, done in told:
            self._told += 1
            self._awaited.pop(one, None)
            del one.letter  # whoever still has the consignment: a turn may be long
            if one.opened:
                self._closed.append(one.key)
            if one.ending is not None and not done.unheard:
                answered[one.sent_at] = answered.get(one.sent_at, 0) + 1
            same = done.same
            if same is not None and same.fate is Fate.DELIVERED and not one.roll.tried:
                self._delivered(one, same, at)
            else:
                going_on = self._undelivered(one, done, now)
        self._plant.tally.transactions += len(told)
        site = self._site
        for sent_at, count in answered.items():
            self._plant.tally.latency.add(now - sent_at, count)
            if now - sent_at > site.late_s:
                site.took(now - sent_at, now)
        let_in, self._throttled = len(told) - self._throttled, 0
        pacing = site.pacing
        pacing.answered += let_in
        if pacing.finder is not None or pacing.room is not None:
            if answered:
                pacing.usual_s = min(pacing.usual_s, now - max(answered))
            pacing.went(let_in, now)
            self._destination.limited()
        stop = self.trouble or self.elsewhere or self.slowed or self._destination.stopping
        return going_on and not stop

    def _delivered(self, one: Consignment, same: Disposition, at: float) -> None:
        """To all of them, at the first attempt. Neighbours that were told the same are one verdict."""
        self._heard += 1
        self._worked = True
        self._site.took_mail(whole=self._whole)
        self._plant.tally.asked += len(one.roll)
        for first, last in one.spans:
            before = self._verdicts[-1] if self._verdicts else None
            if (
                before is not None
                and before.last == first - 1
                # the reader makes the same of the same line
                and before.disposition.reply is same.reply
                and before.disposition.fate is Fate.DELIVERED
            ):
                self._verdicts[-1] = before._replace(last=last)
            else:
                self._verdicts.append(Verdict(first, last, same, at, self._where))
        self._people.append(one.roll)
        self._settled.append((one.parcel, len(one.roll)))

    def _undelivered(self, one: Consignment, done: Transacted, now: float) -> bool:
        """Not, not to all of them, or not at the first attempt. False if no further MAIL should follow."""
        if done.fell_silent and not self._connection.lockstep:
            self._site.learn(now, lockstep=True)  # what we sent ahead was thrown away (X9)
        if done.unheard and self._worked:
            # the peer had closed an idle connection, or ends it here: a fresh one, nobody is charged (G9)
            self._again.append(Errand(one.parcel, one.roll))
            self._site.shrink()
            self._cut_short = True
            return False
        self._heard += not done.unheard
        self._worked = self._worked or not done.unheard
        if ":" in self._connection.address and any(map(refuses_ipv6, done.fates)) and self._line.forgo_ipv6():
            self._settle(one, done._replace(fates=again_over_ipv4(done.fates), same=None), now)
            self.elsewhere = True
            return False
        before = self._before + self._told - 1
        throttle = next((fate for fate in done.fates if slows(fate)), None)
        if throttle is not None and (waits := self._slow(one, throttle, before, now)) is not None:
            self._settle(one, done, now, throttled=waits)
            return True
        self._learn(done, before, now)
        self._settle(one, done, now)
        sources = self._plant.sources
        if self._connection.source is not None and sources is not None and self.blocked is None:
            self.blocked = sources.blocked_by(done.fates, self._connection.source, self._site.name)
        return self.blocked is None

    def _slow(self, one: Consignment, why: Disposition, before: int, now: float) -> bool | None:
        """The site wants less. True: who was throttled waits for a turn here, and is not charged; False: it
        is his own trouble, and he is deferred alone; None: that is no matter of pace."""
        site, plant, pacing = self._site, self._plant, self._site.pacing
        self._throttled += 1
        on_its_way = self._destination.is_proven and why.stage is not Stage.END_OF_DATA
        if not pacing.answered and not on_its_way:
            return None  # it has never taken anything
        most = site.learned(now).messages
        unclear = why.code == 421 and why.stage is Stage.MAIL and why.meaning is not Meaning.THROTTLED
        if before and unclear and pacing.finder is None:
            if most is None or before >= most:
                return None  # it may be that many on a connection: the next one shows (X10)
            site.unlearn_messages()
        first, longest_s = one.roll.ids[0], (self._destination.retry or plant.retry).rest()
        his = why.stage is not Stage.MAIL  # it may be: a MAIL says nothing of him
        known = his and pacing.finder is not None and pacing.finder.knows(first)
        if not known and not pacing.slow(why, one.key, next(plant.intent_keys), now, longest_s):
            return None
        assert pacing.finder is not None
        if not pacing.finder.excuses(first, EXCUSED if his else EXCUSED_OF_ALL):
            return False
        self.slowed = True
        site.seen.refused(why, 0, now)
        if why.code == 421:
            site.shrink()
        return True

    def _learn(self, done: Transacted, before: int, now: float) -> None:
        """What the site's answer says of the site."""
        site = self._site
        if done.no_chunking:
            site.learn(now, no_chunking=True)
            site.shrink()
        if done.same is not None and done.same.fate is Fate.DELIVERED:
            return
        refused = sum(fate.fate is Fate.AGAIN and fate.stage is Stage.RCPT for fate in done.fates)
        trouble = trouble_of(done.fates)
        if refused:
            site.learn(now, recipients=len(done.fates) - refused)
        if trouble is None:
            return
        site.shrink()
        site.struck += len(done.fates)
        closed = trouble.fate is Fate.IN_DOUBT and trouble.reply is None
        if closed and self._whole and site.chunks is None:
            site.chunks = False  # the first BDAT went into the void: the next may, too
        if before and trouble.stage is Stage.MAIL and trouble.code == 421:
            # so many on one connection and no more (X10): no trouble, the next connection is shorter
            site.learn(now, messages=before)
            self.elsewhere = True
        elif closed and before > 1 and self.trouble is None:
            # the same from a host that says nothing and closes: who comes next is not to be in doubt, too
            site.learn(now, messages=before)
            self.trouble = trouble
        elif not self.elsewhere and self.trouble is None:
            self.elsewhere = self._line.fail_over(trouble)
            if not self.elsewhere:
                self.trouble = trouble

    def _settle(self, one: Consignment, done: Transacted, now: float, *, throttled: bool = False) -> None:
        """Verdicts for its recipients, neighbours with the same fate as one, but for who goes again."""
        same = done.same
        count = len(done.fates)

        def goes_again(fate: Disposition) -> bool:
            return self._goes_again(fate) or (throttled and slows(fate))

        if same is not None and not goes_again(same):
            self._verdicts += self._plant.verdicts_of(one.roll, same, self._where, self._destination.retry)
            self._site.seen.refused(same, count, now)
        else:
            again = [at for at, fate in enumerate(done.fates) if goes_again(fate)]
            if again:
                self._again.append(Errand(one.parcel, picked(one.roll, again)))
            going = set(again)
            fates = [(one.roll[at], fate) for at, fate in enumerate(done.fates) if at not in going]
            self._verdicts += self._plant.verdicts(fates, self._where, retry=self._destination.retry)
            for _, fate in fates:
                self._site.seen.refused(fate, 1, now)
            count = len(fates)
        if count:
            self._people.append(one.roll)
            self._settled.append((one.parcel, count))

    def _goes_again(self, fate: Disposition) -> bool:
        if fate.fate is Fate.AGAIN:
            return True
        return self.elsewhere and fate.fate is Fate.DEFERRED and fate.scope is Scope.SESSION

    def expect(self, consignments: Iterable[Consignment]) -> None:
        """They are handed to the carrier."""
        self._awaited.update(dict.fromkeys(consignments))

    def drop(self, one: Consignment) -> None:
        """Nobody is left to whom it could go, and they are settled."""
        del self._awaited[one]
        if one.opened:
            self._closed.append(one.key)

    @property
    def in_flight(self) -> Collection[Consignment]:
        """What was handed to the carrier and is none of those told, in order."""
        return self._awaited.keys()

    def again(self) -> list[Errand]:
        """Take out who goes again at once."""
        again, self._again = self._again, []
        return again

    def close(self, *, known: bool) -> None:
        """The turn is over, or was broken off: note what was told, and close the intents of what was not.

        `known`: whatever else may have been delivered was told. If not, those to whom the content may be on
        its way stay in doubt.
        """
        untold = self._awaited
        self._closed += [one.key for one in untold if one.opened and (known or one.ending is None)]
        self._note()

    def _note(self, opened: Sequence[Opened] = ()) -> None:
        if self._verdicts or self._closed or opened:
            self._plant.work.note(self._verdicts, opened=opened, closed=self._closed, people=self._people)
            self._verdicts, self._closed, self._people = [], [], []
        # only now: a parcel that is finished may end the run
        settled, self._settled = self._settled, []
        for parcel, count in settled:
            self._site.seen.answered += count
            self._destination.settled(parcel, count)
