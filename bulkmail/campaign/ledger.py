"""Between delivery and the journal: how a campaign's recipients are loaded, written to and recorded.

Delivery speaks of dispositions, the journal of states; this is the one place where the first become the
second. Letters that are signed or converted one by one are what a run spends its processors on: they
are written in threads, so that nobody's reply waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import chain
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import trio

from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.writers import Writers
from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.work import Letter, Opened, Recipient, Roll, Span, Verdict, Where
from bulkmail.journal import Intent, Record, Store, Suppressions, by_column
from bulkmail.journal import Roll as StoredRoll
from bulkmail.message import Composer
from bulkmail.message import Letter as ComposedLetter
from bulkmail.smtp import EnhancedStatus
from bulkmail.transport.stage import Stage

STATE = {
    Fate.DELIVERED: "delivered",
    Fate.DEFERRED: "deferred",
    Fate.BOUNCED: "bounced",
    Fate.IN_DOUBT: "in_doubt",
    Fate.SUPPRESSED: "suppressed",
    Fate.POSTPONED: "pending",  # handed back, until a time
    Fate.SKIPPED: "cancelled",  # its row has no letter, which plan and resume have looked for in vain
}


P = ParamSpec("P")
T = TypeVar("T")


class Book(Protocol):
    """Where it is written: the journal of a run, or the notebook of a worker. StoreError from all of it."""

    def append(
        self,
        records: Sequence[Record] = (),
        intents: Sequence[Intent] = (),
        closed: Sequence[int] = (),
        then: Callable[[], None] | None = None,
    ) -> None: ...
    async def sync(self) -> None: ...
    def check(self) -> None: ...
    async def read(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class CampaignLedger:
    """The `Work` of a campaign.

    `now` is UTC epoch seconds: by it a letter is dated. `suppressed_until`: Suppressions.newest before the
    plan was made; None where nobody knows. `checks` raise StoreError where nothing more may be sent.
    """

    def __init__(
        self,
        journal: Book,
        composer: Composer,
        suppressions: Suppressions,
        log: AccountingLog | None,
        *,
        now: Callable[[], float],
        suppressed_until: str | None = None,
        writers: Writers | None = None,
        checks: Iterable[Callable[[], None]] = (),
    ) -> None:
        self._journal = journal
        # Where the disk has refused anything of ours, nobody sends MAIL any more (J3).
        self._checks = (journal.check, *([] if log is None else [log.check]), *checks)
        self._composer = composer
        self._suppressions = suppressions
        self._suppressions.changed()  # what was added until now is found when recipients are loaded
        # whom the plan did not know of yet is looked for then; mostly there is nobody
        self._looking = suppressed_until is None or suppressions.newest() != suppressed_until
        self._asking = False  # somebody was suppressed since the plan: each batch is asked for
        self._log = log
        self._now = now
        self._writers = writers
        self._last: tuple[object, Letter] | None = None

    async def fetch(self, parts: Sequence[Sequence[Span]]) -> list[Roll]:
        return list(await self._journal.read(self._load, parts))

    async def fetch_few(self, parts: Sequence[Sequence[Span]], most: int) -> list[Roll | None]:
        """`fetch`, for those who are kept until their turn; None for more than `most` characters."""
        return await self._journal.read(self._load_few, parts, most)

    def _load_few(self, store: Store, parts: Sequence[Sequence[Span]], most: int) -> list[Roll | None]:
        return [roll if roll.alone() <= most else None for roll in self._load(store, parts)]

    def _load(self, store: Store, parts: Sequence[Sequence[Span]]) -> list[StoredRoll]:
        """In a thread. Who was suppressed between the plan and now is noticed here, once per slice."""
        rolls = [store.fetch(spans) for spans in parts]
        if self._composer.personal:  # every row will be looked at
            for roll in rolls:
                roll.alone()
        if self._looking and not self._asking:
            addresses = chain.from_iterable(roll.addresses for roll in rolls)
            if self._suppressions.contains_keys(map(str.lower, addresses)):
                self._asking = True  # and never back: several threads are here at once
        return rolls

    def withheld(self, rolls: Sequence[Roll]) -> AbstractSet[int]:
        self._check()
        # What is added during the run may be an import of millions: only the batch at hand is asked for.
        if not (self._asking or self._suppressions.changed()):
            return frozenset()
        self._asking = True
        keys = [address.lower() for roll in rolls for address in roll.addresses]
        suppressed = self._suppressions.contains_keys(keys)
        ids = chain.from_iterable(roll.ids for roll in rolls)
        return {number for number, key in zip(ids, keys, strict=True) if key in suppressed}

    async def letters(self, recipients: Sequence[Recipient]) -> Sequence[Letter | str]:
        if self._writers is None:
            await trio.lowlevel.checkpoint()
            return self._write(recipients)
        return await self._writers.run(self._write, recipients)

    def _write(self, recipients: Sequence[Recipient]) -> list[Letter | str]:
        """Perhaps in a thread, and in several at once.

        A problem in the list is of that row alone, and settles it. What is no row's fault, such as a file
        that went away, is raised: ConfigError. StoreError is, too.
        """
        composed = self._composer.letters(recipients, now=self._now(), columns=by_column)
        if not self._composer.personal:
            return [str(one) if isinstance(one, Exception) else self._shared(one) for one in composed]
        alone = bool(self._composer.unique)
        return [str(one) if isinstance(one, Exception) else Letter(*one, alone) for one in composed]

    def _shared(self, composed: ComposedLetter) -> Letter:
        """Nothing in it is personal: one object for everybody, as long as the composer gives one."""
        last = self._last
        if last is None or last[0] is not composed:
            letter = Letter(*composed, alone=False)
            self._last = last = composed, letter
        return last[1]

    def note(
        self,
        verdicts: Sequence[Verdict] = (),
        *,
        opened: Sequence[Opened] = (),
        closed: Sequence[int] = (),
        people: Sequence[Roll] = (),
    ) -> None:
        log, then = self._log, None
        if log is not None and verdicts and (lines := log.lines(verdicts, chain.from_iterable(people))):
            then = partial(log.write, lines)
        self._journal.append(
            records_of(verdicts),
            [Intent(key, spans, where.host, where.address, at) for key, spans, where, at in opened],
            closed,
            then,
        )
        if log is not None:
            log.check()

    async def synced(self) -> None:
        await self._journal.sync()
        self._check()  # the accounting log is written with that, and MAIL may follow at once

    def _check(self) -> None:
        for check in self._checks:
            check()


def records_of(verdicts: Iterable[Verdict]) -> list[Record]:
    """One each. What neighbours have in common, as a rule all but whom and the reply, is looked up once."""
    records: list[Record] = []
    alike: tuple[Fate, Stage, Where] | None = None
    enhanced: EnhancedStatus | None = None
    state, status = "", ""
    place: tuple[str, ...] = ()
    for first, last, disposition, at, where, due, expired, attempted in verdicts:
        fate, _, stage, reply, note, ours, *_ = disposition
        if alike is None or not (fate is alike[0] and stage is alike[1] and where is alike[2]):
            alike = fate, stage, where
            state, place = STATE[fate], (stage.value, *where)
        if reply is None or note or ours:
            code, status, text = disposition.code, disposition.status, disposition.text
            enhanced = None
        else:
            code, text = reply.code, reply.text
            if reply.enhanced is None or reply.enhanced is not enhanced:
                enhanced, status = reply.enhanced, disposition.status
        led_to = "expired" if expired else state
        records.append(
            Record._make((first, last, led_to, at, code, status or None, text, *place, due, attempted))
        )
    return records
