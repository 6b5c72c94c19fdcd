"""Takes one message to one mailbox, by the road of the campaign: the report to the sender, a test.

It is tried a few times at once; what to do where that is not enough is the caller's affair (the next `run`
tries a report again).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import tenacity
import trio

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.plant import Routing
from bulkmail.delivery.sources import reaches
from bulkmail.delivery.transaction import commands, transact, unsendable
from bulkmail.delivery.unreached import no_connection, no_route
from bulkmail.delivery.work import Letter
from bulkmail.dns.routes import NoRoute
from bulkmail.smtp import Mailbox, canonical
from bulkmail.transport.approach import Source
from bulkmail.transport.dial import Unreachable
from bulkmail.transport.pool import Pool

TRIES = 3
PAUSE_S = 5.0


async def deliver_one(
    routing: Routing,
    pool: Pool,
    to: Mailbox,
    message: bytes,
    about_to_end: Callable[[], Awaitable[None]],
    refused: Callable[[], Awaitable[None]],
    *,
    reverse_path: Mailbox | None = None,
    smtputf8: bool = False,
    sources: Sequence[Source] = (),
) -> Disposition:
    """What became of it.

    The reverse-path is null unless one is given, so that nothing can come back for a report (RFC 5321 section
    4.5.5). `smtputf8`: the header of `message` has addresses that need it (RFC 6531).
    It leaves from the first of `sources` that reaches the exchangers.
    `about_to_end` is awaited before the first octet of the content, each time; `refused` after an attempt
    that was answered with "later", so that nothing is in doubt while the next one is waited for.
    """
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_fixed(PAUSE_S),
        retry=tenacity.retry_if_result(lambda disposition: disposition.fate is Fate.DEFERRED),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        sleep=trio.sleep,
    )
    letter = Letter(reverse_path, (canonical(message),), smtputf8)

    async def attempt() -> Disposition:
        disposition = await _attempt(routing, pool, to, letter, about_to_end, sources)
        if disposition.fate is Fate.DEFERRED:
            await refused()
        return disposition

    done: Disposition = await retrying(attempt)
    return done


async def _attempt(
    routing: Routing,
    pool: Pool,
    to: Mailbox,
    letter: Letter,
    about_to_end: Callable[[], Awaitable[None]],
    sources: Sequence[Source],
) -> Disposition:
    route = await routing.route(to.domain.decode())
    if isinstance(route, NoRoute):
        return no_route(route)
    try:
        fitting = (source for source in sources if reaches(source, route))
        connection = await pool.acquire(route, source=next(fitting, sources[0] if sources else None))
    except Unreachable as unreachable:
        return no_connection(unreachable)
    try:
        refused = unsendable(letter, to, connection.extensions)
        if refused is not None:
            return refused
        envelope = commands(letter, [to], connection.extensions)
        done = await transact(connection, envelope, letter.end_of_data, lambda _: about_to_end())
    finally:
        await pool.release(connection)
    fate = done.fates[0]
    # alone in its transaction there is nothing to be "too many" of
    return fate if fate.fate is not Fate.AGAIN else Disposition(Fate.DEFERRED, Scope.RECIPIENT, fate.stage)
