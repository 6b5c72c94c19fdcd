"""From the campaign file to what every destination shares: limits, retry, slots and the means it is given."""

from __future__ import annotations

import time
from collections.abc import Callable

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.egress import sources_of
from bulkmail.campaign.rules import default_shape, retry_of, rules_of
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.plant import Plant, Routing, Tally
from bulkmail.delivery.rules import plain
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.sources import Sources
from bulkmail.delivery.work import Work
from bulkmail.errors import ConfigError
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
) -> Plant:
    """The plant of one process, of so many that send."""
    rules = rules_of(campaign)
    sources = sources_of(campaign, pool.dialer.approach.ehlo)
    return Plant(
        work=work,
        pool=pool,
        routes=routes,
        limits=plain(rules.default),
        rules=rules,
        retry=retry_of(campaign),
        slots=Slots(session_slots(processes)),
        now=time.time,
        tally=tally,
        resend_doubt=campaign.delivery.on_doubt == "resend",
        unwritable=unwritable,
        on_hold=on_hold,
        sources=Sources(sources) if sources else None,
    )


def limits_of(campaign: Campaign) -> Limits:
    """Those of a site, as the campaign shapes them."""
    return plain(default_shape(campaign))


def session_slots(processes: int) -> int:
    """Sessions that may be open at once in this process, whose limit of descriptors is raised for them."""
    sessions = SESSIONS // processes
    return max(1, min(sessions, raise_limit(4 * sessions) // 4))
