"""Dispositions of those who were never spoken to: no route, no connection; and where attempts took place."""

from __future__ import annotations

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.work import Where
from bulkmail.dns.routes import NoRoute
from bulkmail.errors import CredentialsRefused
from bulkmail.transport.connection import Connection
from bulkmail.transport.dial import Unreachable
from bulkmail.transport.stage import Stage

NOWHERE = Where()


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
    return Disposition(fate, Scope.MESSAGE, Stage.DNS, note=route.reason, enhanced=route.enhanced)


def no_connection(unreachable: Unreachable) -> Disposition:
    """No exchanger of the site could be spoken to; the last one tried says why. Never a bounce (G1).

    Raises CredentialsRefused where a relay refused our password: waiting would not change its mind.
    """
    last = unreachable.attempts[-1]
    at = f"{last.host} [{last.address}]" if last.address else last.host
    if last.stage is Stage.AUTH and last.reply is not None and last.reply.permanent:
        raise CredentialsRefused(f"{at} refused the credentials: {last.reply.text}")
    note = f"{at}: {last.error}" if last.error else at
    enhanced = "" if last.reply is not None else "4.4.1"
    return Disposition(Fate.DEFERRED, Scope.SITE, last.stage, last.reply, note, enhanced)
