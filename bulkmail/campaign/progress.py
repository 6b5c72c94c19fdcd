"""What a run tells of itself while it goes, and is judged by."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Tally
from bulkmail.journal import Journal, Store


async def report_progress(
    every_s: float,
    journal: Journal,
    dispatcher: Dispatcher,
    tally: Tally,
    judged: Callable[[Mapping[str, int]], Awaitable[None]],
    tell: Callable[..., None],
) -> None:
    """Until cancelled; `judged` is given the totals each time. StoreError."""
    while True:
        await trio.sleep(every_s)
        totals = await journal.read(Store.totals)
        await judged(totals)
        tell(
            "progress",
            totals=totals,
            sites=dispatcher.sites,
            transactions=tally.transactions,
            connections=tally.connections,
            next_due=await journal.read(Store.next_due, time.time()),
        )


async def seen(
    campaign: Campaign, dispatcher: Dispatcher | None, tally: Tally, started: float, *, stopping: bool
) -> dict[str, object]:
    """How a run does now, for whoever looks."""
    rows = [] if dispatcher is None else await dispatcher.look()
    return {
        "campaign": campaign.campaign,
        "via": str(campaign.delivery.via),
        "seconds": round(trio.current_time() - started, 3),
        "stopping": stopping,
        "transactions": tally.transactions,
        "connections": tally.connections,
        "rows": [{**row._asdict(), "pace": row.pace and row.pace._asdict()} for row in rows],
    }
