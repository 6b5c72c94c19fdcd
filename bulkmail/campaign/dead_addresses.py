"""Addresses that are dead go to the project's suppressions, so that the next campaign leaves them out.

What a host meant was decided when it spoke; here it is read again, by the same table, from what the journal
keeps: so nothing is done for it while mail is delivered, whoever delivered it, and after a crash it is done
again, which harms nobody. Who was taken off the suppressions since is not put back by an old reply.

A host whose directory is broken says of everybody that nobody is there. Where that is said of more than can
be, at one place in this campaign, nobody is suppressed for it, and the run warns.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.own_replies import table_of
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.provider import suffix_of
from bulkmail.delivery.replies import Table
from bulkmail.delivery.retold import retold
from bulkmail.journal import Journal, Store, Suppressions
from bulkmail.journal.refused import Refused, answered_at, answered_of, last_attempt, refused
from bulkmail.transport.stage import Stage

LOOK_S = 300.0
DONE = "dead addresses until"  # in the journal's meta: the number of the last attempt that was looked at

TOO_MANY = 0.2  # of those who were taken or refused at a place: more are not believed to be dead
MANY = 50  # … if they are so many: of few a fifth may well have gone
HOSTS = "hosts of "
NO_SUCH_MAILBOX = "5.1.1"


class DeadAddresses:
    """Of one run. A rehearsal says nothing of real addresses."""

    def __init__(
        self, campaign: Campaign, journal: Journal, suppressions: Suppressions, warn: Callable[[str], None]
    ) -> None:
        self._campaign = campaign
        self._journal = journal
        self._suppressions = suppressions
        self._warn = warn
        self._wanted = campaign.safety.suppress_unknown and campaign.delivery.via.kind != "sandbox"
        self._next = -math.inf
        self._bounced = 0

    async def look(self, totals: Mapping[str, int]) -> None:
        """Now and then, where deferrals are waited for: perhaps for days, and there may be another campaign.

        Not before everybody was tried once: whatever changes the suppressions has each batch asked for.
        """
        now, bounced = trio.current_time(), totals["bounced"]
        if totals["pending"] or bounced == self._bounced or now < self._next:
            return
        self._next, self._bounced = now + LOOK_S, bounced
        await self.keep()

    async def keep(self) -> None:
        """At the end of the run, however it ended. Raises StoreError."""
        if self._wanted:
            campaign, relayed = self._campaign, self._campaign.delivery.via.kind == "relay"
            for doubt in await self._journal.call(
                suppress_dead,
                self._suppressions,
                campaign.campaign,
                relayed=relayed,
                table=table_of(campaign),
            ):
                self._warn(str(doubt))


class Doubt(NamedTuple):
    """More of a domain, or of all that one provider's hosts have answered, are called dead than can be."""

    where: str
    dead: int
    answered: int

    def __str__(self) -> str:
        return (
            f"{self.dead:,} of {self.answered:,} recipients at {self.where} "
            f"({100 * self.dead / self.answered:.3g}%) were called unknown or disabled: that many "
            f"rarely are, so perhaps the directory there is broken, and none of them is suppressed; if they "
            f"are dead, see bulkmail export --state bounced and bulkmail suppress import"
        )


def suppress_dead(
    store: Store,
    suppressions: Suppressions,
    campaign: str,
    *,
    relayed: bool = False,
    table: Table | None = None,
) -> list[Doubt]:
    """Whom hosts have called unknown or disabled since it was last asked; where it was too many to believe.

    Reads all who bounced, so it is for the end of a run, and for when there is time. `relayed`: not the
    hosts themselves have spoken, but a relay, that may as well mean our account. `table`: see retold.
    """
    after, until = int(store.meta(DONE) or 0), last_attempt(store)
    if until == after:
        return []
    doubts = _doubts(store, until, relayed, table) if store.totals()["bounced"] >= MANY else {}
    told: dict[str, Doubt] = {}

    def believed() -> Iterator[tuple[str, str]]:
        for one, meaning in _dead(store, after, until, relayed, table):
            doubt = doubts.get(one.domain) or doubts.get(_run_by(one))
            if doubt is None:
                yield one.address, f"{_because(meaning, campaign)}{one.reply}"
            else:
                told[doubt.where] = doubt

    suppressions.add_each(believed())
    store.set_meta(DONE, str(until))
    return list(told.values())


def _because(meaning: Meaning, campaign: str) -> str:
    """How the reason of a suppression begins; the reply follows."""
    return f"{meaning.value} in {campaign}: "


def becauses(campaign: str) -> list[str]:
    """How the reasons of all suppressions begin that this campaign has made by itself."""
    return [_because(meaning, campaign) for meaning in Meaning]


def _doubts(store: Store, until: int, relayed: bool, table: Table | None) -> dict[str, Doubt]:
    """By domain, and by who runs the hosts: the outage of a provider concerns many domains with few each.

    Judged over the whole campaign, for it may be read in parts.
    """
    domains: Counter[str] = Counter()
    providers: Counter[str] = Counter()
    for one, _ in _dead(store, 0, until, relayed, table):
        domains[one.domain] += 1
        providers[_run_by(one)] += 1
    found: dict[str, Doubt] = {}
    if any(dead >= MANY for dead in providers.values()):
        answered: Counter[str] = Counter()
        for host, people in answered_at(store):
            answered[_provider(host)] += people
        for name, dead in providers.items():
            if _is_too_many(dead, answered[name]):
                found[name] = Doubt(name, dead, answered[name])
    for domain, dead in domains.items():
        if dead >= MANY and _is_too_many(dead, of := answered_of(store, domain)):
            found[domain] = Doubt(domain, dead, of)
    return found


def _is_too_many(dead: int, answered: int) -> bool:
    return dead >= MANY and dead > TOO_MANY * answered


def _run_by(one: Refused) -> str:
    return _provider(one.host)


def _provider(host: str) -> str:
    """Told from a domain of the same name."""
    return HOSTS + suffix_of(host)


def _dead(
    store: Store, after: int, until: int, relayed: bool, table: Table | None
) -> Iterator[tuple[Refused, Meaning]]:
    for one in refused(store, after, until):
        if one.stage != Stage.RCPT.value and not one.alone:
            continue  # it may have been another one of the transaction
        if relayed and one.enhanced != NO_SUCH_MAILBOX:
            continue
        reading = retold(one.stage, one.code, one.enhanced, one.reply, one.host, table)
        if reading.consequence is Consequence.SUPPRESS:
            yield one, reading.meaning
