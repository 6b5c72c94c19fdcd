"""Brings the report to the sender, once, at the end of the run after which nobody is left to be tried.

The campaign is done by then: a report that cannot be delivered is told and left to the next run, it is no
failure of this one. Its end of data is preceded by a mark in the journal, like any other: whoever crashes
then does not send it twice.
"""

from __future__ import annotations

from datetime import UTC, datetime

import trio

from bulkmail.campaign.courier import deliver_one
from bulkmail.campaign.egress import sources_of
from bulkmail.campaign.events import Tell, event
from bulkmail.campaign.prepare import Prepared, sendable
from bulkmail.campaign.road import Road
from bulkmail.delivery.disposition import Fate
from bulkmail.errors import BulkmailError, StoreError
from bulkmail.journal import Journal, Store
from bulkmail.message import Author

DONE = "reported"  # the key in the journal: what became of it, "" or nothing where it is still to be sent


class Reporter:
    """`deliver` at the end of a run; `stop` when the run is to end before."""

    def __init__(self, prepared: Prepared, journal: Journal, tell: Tell) -> None:
        self._prepared = prepared
        self._journal = journal
        self._tell = tell
        self._scope = trio.CancelScope()
        self._ending = False  # its end of data may be on its way

    def stop(self) -> None:
        """What has not come to its end of data is left to the next run."""
        if not self._ending:
            self._scope.cancel()

    async def deliver(self, made: Road) -> None:
        """Send it, where there is one and nobody is left to be tried. Raises StoreError, and nothing else."""
        campaign = self._prepared.campaign
        totals = await self._journal.call(Store.totals)
        if campaign.report_to is None or sendable(totals) or not totals["bounced"] + totals["expired"]:
            return
        if await self._journal.read(Store.meta, DONE):
            return
        to = Author.parse(campaign.report_to).mailbox
        fate, said = Fate.DEFERRED, "stopped before it was sent; the next run sends it"
        try:
            with self._scope:
                message = await self._journal.read(self._built, made.way.ehlo)
                if message is None:
                    return
                done = await deliver_one(
                    made.routing,
                    made.pool,
                    to,
                    message,
                    self._about_to_end,
                    self._refused,
                    sources=sources_of(campaign, made.way.ehlo),
                )
                fate, said = done.fate, done.text
        except StoreError:
            raise
        except BulkmailError as error:
            fate, said = Fate.IN_DOUBT if self._ending else Fate.DEFERRED, str(error)
        if fate is not Fate.IN_DOUBT:
            settled = fate in (Fate.DELIVERED, Fate.BOUNCED)
            await self._journal.call(Store.set_meta, DONE, fate.value if settled else "")
        self._tell(event("reported", campaign, to=str(to), disposition=fate.value, reply=said))

    def _built(self, store: Store, own_name: str) -> bytes | None:
        """The message. In a thread: it reads the whole journal, and may be long."""
        from bulkmail.campaign.report import report  # `email` in full: only where there is a report

        now = datetime.now(UTC).replace(microsecond=0)
        return report(self._prepared.campaign, store, self._prepared.composer, own_name=own_name, now=now)

    async def _about_to_end(self) -> None:
        self._ending = True
        await self._journal.call(Store.set_meta, DONE, "in doubt")

    async def _refused(self) -> None:
        self._ending = False
        await self._journal.call(Store.set_meta, DONE, "")
