"""How a campaign's connections are made, once it is known where they lead: the pool of one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.transport.approach import Approach, Credentials, TimeLimits, TlsPolicy, make_contexts
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool

GOODBYE_S = 10.0  # for QUIT to all that are idle at the end


@dataclass(frozen=True, slots=True)
class Way:
    """What the road has found out that the campaign does not say. A plain value, for other processes too."""

    ehlo: str
    port: int
    cafile: str | None = None  # of an internet in a box


@asynccontextmanager
async def connections(campaign: Campaign, way: Way, *, per_host: int) -> AsyncIterator[Pool]:
    """The pool of connections of a run, or of one worker of it. `per_host`: open to a host at once."""
    delivery = campaign.delivery
    via = delivery.via
    verified = delivery.tls == "verified" or bool(via.user)
    verifying, lax = make_contexts(way.cafile, system=verified and way.cafile is None)
    credentials = None
    if via.user:
        password = delivery.password.reveal() if delivery.password is not None else ""
        credentials = Credentials(via.user, password)
    approach = Approach(
        port=way.port,
        ehlo=way.ehlo,
        tls=TlsPolicy(delivery.tls),
        implicit_tls=via.implicit_tls,
        credentials=credentials,
        insecure_auth=delivery.insecure_auth,
        time_limits=TimeLimits(**delivery.time_limits.model_dump()),
        verifying=verifying,
        lax=lax,
    )
    pool = Pool(
        Dialer(approach, dead=DeadAddresses()),
        per_host=per_host,
        messages=campaign.shaping.default.messages_per_connection,
    )
    async with trio.open_nursery() as expiring:
        expiring.start_soon(pool.expire)
        try:
            yield pool
        finally:
            expiring.cancel_scope.cancel()
            with trio.CancelScope(deadline=trio.current_time() + GOODBYE_S, shield=True):
                await pool.aclose()
