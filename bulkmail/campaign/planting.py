"""From the campaign file to what every destination shares: limits, retry, slots and the means it is given."""

from __future__ import annotations

import time
from collections.abc import Callable

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.egress import sources_of
from bulkmail.campaign.own_replies import table_of
from bulkmail.campaign.rules import default_shape, retry_of, rules_of
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.plant import Plant, Routing, Tally
from bulkmail.delivery.rules import plain
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.sources import Sources
from bulkmail.delivery.work import Work
from bulkmail.errors import ConfigError
from bulkmail.transport.approach import Source
from bulkmail.transport.descriptors import raise_limit
from bulkmail.transport.pool import Pool

SESSIONS = 1_000  # of all sites together; each is a descriptor, and as many again may be set aside


def planted(
    campaign: Campaign,
    *,
    work: Work,
    pool: Pool,
    routes: Routing,
    tally: Tally,
    unwritable: Callable[[ConfigError], None],
    on_hold: Callable[[str, Disposition, float], None],
    processes: int = 1,
    rehearsing: bool = False,
) -> Plant:
    """The plant of one process, of so many that send. `rehearsing`: nothing is counted for a warm-up."""
    rules = rules_of(campaign)
    sources = _sources(campaign, pool.dialer.approach.ehlo, rehearsing=rehearsing)
    return Plant(
        work=work,
        pool=pool,
        routes=routes,
        limits=plain(rules.default),
        rules=rules,
        replies=table_of(campaign),
        retry=retry_of(campaign),
        slots=Slots(session_slots(processes)),
        now=time.time,
        tally=tally,
        resend_doubt=campaign.delivery.on_doubt == "resend",
        unwritable=unwritable,
        on_hold=on_hold,
        sources=sources,
    )


def limits_of(campaign: Campaign) -> Limits:
    """Those of a site, as the campaign shapes them."""
    return plain(default_shape(campaign))


def session_slots(processes: int) -> int:
    """Sessions that may be open at once in this process, whose limit of descriptors is raised for them."""
    sessions = SESSIONS // processes
    return max(1, min(sessions, raise_limit(4 * sessions) // 4))


def _sources(campaign: Campaign, ehlo: str, *, rehearsing: bool) -> Sources | None:
    """With a warm-up there is always one, be it whatever the kernel chooses."""
    warmup, sources = campaign.shaping.warmup, sources_of(campaign, ehlo)
    if warmup is None or rehearsing or campaign.delivery.via.kind == "sandbox":
        return Sources(sources) if sources else None
    from bulkmail.campaign.warmup import warmth_of  # only who warms up pays for the import

    warmth = warmth_of(campaign, time.time)
    return Sources(sources or (Source("", ehlo),), warmth=warmth, overflow=warmup.overflow == "warm")
