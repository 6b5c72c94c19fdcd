"""What every destination of a run shares: the means, the limits and the clock.

Built once by the runner and handed down; nothing in `delivery` is looked up anywhere else.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.provider import suffix_of
from bulkmail.delivery.replies import Table
from bulkmail.delivery.retry import Retry, jittered, next_attempt
from bulkmail.delivery.rules import Rules, plain
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.sites import Sites
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.sources import Sources
from bulkmail.delivery.work import Fated, Listed, Roll, Span, Verdict, Where, Work, spans_of
from bulkmail.dns.routes import NoRoute, Route
from bulkmail.errors import ConfigError
from bulkmail.transport.pool import Pool


class Routing(Protocol):
    """How a domain is routed: by its MX, or to the relay whatever it is."""

    async def route(self, domain: str) -> Route | NoRoute: ...


REPLIES = 20  # different ones that are told of
OTHERS = "other replies"  # the rest, as it is told of
SITES = 100  # that are counted, of those that block us
ALONE_S = 3600.0  # for which a site is left alone that refuses us for good
RESENDS = 2  # attempts that may end in doubt before the operator is asked, whatever `on_doubt` says


class Latency:
    """How long final replies took, in seconds, as counts on a scale of a tenth of a doubling."""

    STEPS = 10

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, seconds: float, messages: int) -> None:
        """So many messages had theirs after so long."""
        if messages:
            self.counts[round(self.STEPS * math.log2(max(seconds, 1e-6)))] += messages

    def percentile(self, percent: float) -> float | None:
        """Seconds below which that part of them was, within 4%; None where there was none."""
        wanted = self.counts.total() * percent / 100
        for step in sorted(self.counts):
            wanted -= self.counts[step]
            if wanted <= 0:
                return float(2 ** (step / self.STEPS))
        return None

    def summary(self) -> dict[str, float | None]:
        """In milliseconds, as users read it."""
        found = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)}
        return {name: None if s is None else round(s * 1000, 3) for name, s in found.items()}


@dataclass(slots=True)
class Tally:
    """What the run has used, for the last line of its report."""

    transactions: int = 0
    connections: int = 0
    latency: Latency = field(default_factory=Latency)
    asked: int = 0  # recipients who were tried for the first time
    blocked: Counter[str] = field(default_factory=Counter)  # … and were told so, by reply
    barred: int = 0  # … for good
    bars: Counter[str] = field(default_factory=Counter)  # sites that told us so, in how many conversations
    refused: Counter[str] = field(default_factory=Counter)  # … and were told so for the campaign's own sake
    refusals: int = 0  # … by so many replies
    _last: Disposition | None = None

    def first_answer(self, disposition: Disposition, recipients: int, *, attempted: bool = True) -> None:
        """So many were told this, at their first attempt; not `attempted`, nobody was asked."""
        if not attempted or disposition.untried:
            return
        self.asked += recipients
        if disposition.consequence is Consequence.PAUSE:
            self.refused_by(disposition.text, recipients)
            self.refusals += disposition is not self._last
            self._last = disposition
        if disposition.meaning is Meaning.BLOCKED:
            self.blocked_by(disposition.text, recipients)
            self.barred += recipients if disposition.refuses_us else 0

    def blocked_by(self, reply: str, recipients: int) -> None:
        """So many were, by this reply. Some quote the recipient: there may be as many as recipients."""
        _count(self.blocked, reply, recipients)

    def refused_by(self, reply: str, recipients: int) -> None:
        """The same."""
        _count(self.refused, reply, recipients)

    def barred_at(self, site: str) -> None:
        """For good, in a conversation."""
        if site in self.bars or len(self.bars) < SITES:
            self.bars[site] += 1


def _count(replies: Counter[str], text: str, recipients: int) -> None:
    """All are counted, and so many different replies are kept."""
    replies[text if text in replies or len(replies) < REPLIES else OTHERS] += recipients


def _refuse(error: ConfigError) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class Plant:
    """What every destination of a run shares; built once by the runner and handed down.

    `now` is UTC epoch seconds, for what is stored; waiting is on trio's clock. `unwritable` is told why no
    letter can be written, for no row's fault: it stops the dispatcher, so that what is open comes to its
    verdict, or raises, and then whoever is on the wire is in doubt.
    """

    work: Work
    pool: Pool
    routes: Routing
    limits: Limits
    retry: Retry
    slots: Slots
    now: Callable[[], float]
    rng: random.Random = field(default_factory=random.Random)
    tally: Tally = field(default_factory=Tally)
    intent_keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    resend_doubt: bool = False  # who is in doubt is tried again, under the retry policy and RESENDS
    on_hold: Callable[[str, Disposition, float], None] = lambda site, why, seconds: None  # for people
    unwritable: Callable[[ConfigError], None] = _refuse
    rules: Rules | None = None  # all that is said of limits; None: `limits` for every site, and nothing else
    replies: Table | None = None  # in which refusals are read; None: ours
    sources: Sources | None = None  # which addresses mail leaves from; None: whatever the kernel chooses
    sites: Sites = field(init=False)

    def __post_init__(self) -> None:
        sites = Sites(self.limits)
        if (rules := self.rules) is not None:
            sites.limits_of, sites.provider_of = rules.limits, rules.provider
            sites.domain_of = lambda site, domain: rules.domain(domain)
            sites.run_by = self.provider_of
            sites.divided = bool(rules.domains)
            self._demand(rules)
        object.__setattr__(self, "sites", sites)

    def reshape(self, rules: Rules) -> None:
        """Keep to these from now on; who shares them with others divides them anew."""
        assert self.rules is not None
        self.rules.take_over(rules)
        self._demand(rules)
        object.__setattr__(self, "limits", plain(rules.default))
        self.pool.limit(self.limits.connections)
        self.sites.divided = self.sites.divided or bool(rules.domains)
        self.sites.limit_again()

    def _demand(self, rules: Rules) -> None:
        """Of connections that are opened from now on."""
        assert self.rules is not None
        dialer = self.pool.dialer
        dialer.manner = self.rules.manner
        if rules.verifies:  # it takes a while, and most campaigns need none
            dialer.approach.verifying.load_default_certs()

    def apart(self, domain: str) -> str:
        """See Demand."""
        return "" if self.rules is None else self.rules.apart(domain)

    def provider_of(self, site: str) -> str:
        """By whom it is run, for people."""
        return suffix_of(site) if self.rules is None else self.rules.providers.of(site).name

    def binding(self, site: str, kind: str) -> str:
        """Which limit of this kind holds a site, and who says so, for people."""
        limit = None if self.rules is None else self.rules.binding(site).get(kind)
        return kind if limit is None else limit.told(kind)

    def trouble(self, site: str, why: Disposition) -> Disposition:
        """A conversation brought nothing: why, with the wait that is due where nothing soon changes that."""
        if not why.refuses_us:
            return why
        if why.meaning is Meaning.BLOCKED:
            self.tally.barred_at(site)
        return why._replace(wait_s=max(ALONE_S, why.wait_s or 0.0))

    def verdict(
        self,
        span: Span,
        disposition: Disposition,
        where: Where,
        attempts: int,
        since: float | None,
        *,
        attempted: bool = True,
        retry: Retry | None = None,
    ) -> Verdict:
        """The disposition as a verdict over `span`, with the due time or the expiry if it is a deferral.

        `retry`: the schedule, if it is not that of the run.

        Who is in doubt gets a due time only where the campaign resends, and only so often: a peer that
        takes the message and never says so would get it for ever. Without one he is held.
        """
        now = self.now()
        due: float | None = None
        expired = False
        again = disposition.fate is Fate.IN_DOUBT and self.resend_doubt and attempts < RESENDS
        if again or disposition.fate is Fate.DEFERRED:
            age = now - since if since is not None else 0.0
            wait_s = next_attempt(retry or self.retry, attempts + 1, age, disposition.wait_s)
            if wait_s is not None:
                due = now + jittered(wait_s, self.rng)
            expired = wait_s is None and not again
        elif disposition.fate is Fate.POSTPONED:
            due = disposition.until
        return Verdict(span[0], span[1], disposition, now, where, due, expired, attempted)

    def retry_at(self, site: str, domain: str = "") -> Retry | None:
        """The schedule of a site, or of a domain in it, if it is not that of the run."""
        return self.rules.retry(site, domain) if self.rules is not None else None

    def verdicts(
        self,
        fates: Iterable[Fated],
        where: Where,
        *,
        attempted: bool = True,
        retry: Retry | None = None,
    ) -> list[Verdict]:
        """The verdicts over `fates`, which are in id order: neighbours with the same fate are one."""
        verdicts: list[Verdict] = []
        same: dict[tuple[int, int, float | None], Verdict] = {}
        for one, disposition in fates:
            if not one.attempts:
                self.tally.first_answer(disposition, 1, attempted=attempted)
            alike = (id(disposition), one.attempts, one.since)
            verdict = same.get(alike)
            if verdict is None:
                verdict = same[alike] = self.verdict(
                    (one.id, one.id),
                    disposition,
                    where,
                    one.attempts,
                    one.since,
                    attempted=attempted,
                    retry=retry,
                )
            last = verdicts[-1] if verdicts else None
            if last is not None and last.last == one.id - 1 and _alike(last, verdict):
                verdicts[-1] = last._replace(last=one.id)
            else:
                verdicts.append(verdict._replace(first=one.id, last=one.id))
        return verdicts

    def note(
        self, fates: Sequence[Fated], where: Where, *, attempted: bool = True, retry: Retry | None = None
    ) -> None:
        """The verdicts over `fates`, in any order."""
        ordered = sorted(fates, key=lambda pair: pair[0].id)
        verdicts = self.verdicts(ordered, where, attempted=attempted, retry=retry)
        self.work.note(verdicts, people=[Listed([one for one, _ in ordered])])

    def verdicts_of(
        self, roll: Roll, disposition: Disposition, where: Where, retry: Retry | None = None
    ) -> list[Verdict]:
        """The verdicts over all of `roll`, whose fate is the same: none of them is looked at without need."""
        if roll.tried:
            return self.verdicts([(one, disposition) for one in roll], where, retry=retry)
        self.tally.first_answer(disposition, len(roll))
        return [self.verdict(span, disposition, where, 0, None, retry=retry) for span in spans_of(roll.ids)]


def _alike(one: Verdict, other: Verdict) -> bool:
    return one.disposition is other.disposition and one.due == other.due and one.expired == other.expired
