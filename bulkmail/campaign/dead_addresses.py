"""Addresses that are dead go to the project's suppressions, so that the next campaign leaves them out.

What a host meant was decided when it spoke; here it is read again, by the same table, from what the journal
keeps: so nothing is done for it while mail is delivered, whoever delivered it, and after a crash it is done
again, which harms nobody. Who was taken off the suppressions since is not put back by an old reply.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.delivery.meaning import Consequence
from bulkmail.delivery.retold import retold
from bulkmail.journal import Journal, Store, Suppressions
from bulkmail.journal.refused import last_attempt, refused
from bulkmail.transport.stage import Stage

LOOK_S = 300.0
DONE = "dead addresses until"  # in the journal's meta: the number of the last attempt that was looked at


class DeadAddresses:
    """Of one run. A rehearsal says nothing of real addresses."""

    def __init__(self, campaign: Campaign, journal: Journal, suppressions: Suppressions) -> None:
        self._campaign = campaign
        self._journal = journal
        self._suppressions = suppressions
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
            await self._journal.call(suppress_dead, self._suppressions, self._campaign.campaign)


def suppress_dead(store: Store, suppressions: Suppressions, campaign: str) -> int:
    """Whom hosts have called unknown or disabled since it was last asked; how many were not suppressed yet.

    Reads all who bounced, so it is for the end of a run, and for when there is time.
    """
    after, until = int(store.meta(DONE) or 0), last_attempt(store)
    if until == after:
        return 0
    count = suppressions.add_each(_dead(store, campaign, after, until))
    store.set_meta(DONE, str(until))
    return count


def _dead(store: Store, campaign: str, after: int, until: int) -> Iterator[tuple[str, str]]:
    for one in refused(store, after, until):
        if one.stage != Stage.RCPT.value and not one.alone:
            continue  # it may have been another one of the transaction
        reading = retold(one.stage, one.code, one.enhanced, one.reply, one.host)
        if reading.consequence is Consequence.SUPPRESS:
            yield one.address, f"{reading.meaning.value} in {campaign}: {one.reply}"
