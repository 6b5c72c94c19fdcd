"""Those who were never spoken to: no route, no connection, a site that is left alone; and where attempts
took place.
"""

from __future__ import annotations

from collections.abc import Sequence

from bulkmail.delivery.classify import classify
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.replies import Table
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.work import Parcel, Where
from bulkmail.dns.routes import NoRoute
from bulkmail.errors import CredentialsRefused
from bulkmail.transport.connection import Connection
from bulkmail.transport.dial import Unreachable
from bulkmail.transport.stage import Stage

NOWHERE = Where()
SLICE = 1_000  # recipients that are settled in one commit, where each has to be looked at


def where_of(connection: Connection) -> Where:
    tls = connection.tls
    return Where(
        host=connection.host,
        address=connection.address,
        source=connection.local_address,
        tls="" if tls is None else f"{tls.version}{' verified' if tls.verified else ''}",
    )


def no_route(route: NoRoute) -> Disposition:
    """DNS said that nobody takes mail for the domain (bounced), or said nothing (deferred: D1, D4)."""
    fate = Fate.BOUNCED if route.permanent else Fate.DEFERRED
    return Disposition(
        fate, Scope.MESSAGE, Stage.DNS, note=route.reason, enhanced=route.enhanced, meaning=Meaning.NETWORK
    )


def no_connection(unreachable: Unreachable, table: Table | None = None) -> Disposition:
    """No exchanger of the site could be spoken to; the last one asked says why. Never a bounce (G1).

    Where none was asked, for all are left alone, nobody is charged with an attempt.

    Raises CredentialsRefused where a relay refused our password: waiting would not change its mind.
    """
    last = next((one for one in reversed(unreachable.attempts) if one.asked), unreachable.attempts[-1])
    at = f"{last.host} [{last.address}]" if last.address else last.host
    if last.stage is Stage.AUTH and last.reply is not None and last.reply.permanent:
        raise CredentialsRefused(f"{at} refused the credentials: {last.reply.text}")
    note = f"{at}: {last.error}" if last.error else at
    untried = not unreachable.asked
    if last.reply is not None:
        said = classify(last.stage, last.reply, last.host, table)
        return said._replace(fate=Fate.DEFERRED, scope=Scope.SITE, note=note, about_us=False, untried=untried)
    meaning = Meaning.POLICY if last.stage in (Stage.STARTTLS, Stage.AUTH) else Meaning.NETWORK
    return Disposition(
        Fate.DEFERRED, Scope.SITE, last.stage, None, note, "4.4.1", meaning=meaning, untried=untried
    )


async def settle_untried(
    parcels: Sequence[Parcel],
    disposition: Disposition,
    where: Where,
    plant: Plant,
    retry: Retry | None = None,
) -> list[int]:
    """Give everybody who waits in `parcels` the same disposition, on disk; returns how many in each.

    Who bounces is looked at one by one, for his line in the accounting, and so is who was tried before, for
    his own age decides whether he expires. All others cost no more than their span. One sync serves all: a
    site may hold thousands of parcels.
    """
    counts: list[int] = []
    bounced = disposition.fate is Fate.BOUNCED
    looked_at = 0  # since the last sync
    for parcel in parcels:
        counts.append(0)
        while parcel.waiting:
            one_by_one = bounced or parcel.attempts > 0
            spans = parcel.take(SLICE if one_by_one else parcel.waiting)
            counts[-1] += sum(last - first + 1 for first, last in spans)
            if not one_by_one:
                plant.work.note(
                    [
                        plant.verdict(span, disposition, where, 0, None, attempted=False, retry=retry)
                        for span in spans
                    ]
                )
                continue
            (people,) = await plant.work.fetch([spans])
            verdicts = plant.verdicts(
                ((one, disposition) for one in people), where, attempted=bounced, retry=retry
            )
            plant.work.note(verdicts, people=[people])
            looked_at += len(people)
            if looked_at >= SLICE:
                await plant.work.synced()
                looked_at = 0
    await plant.work.synced()
    return counts
