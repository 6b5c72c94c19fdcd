"""Writing to a peer that has no room, and reading what it says meanwhile.

A peer that answers in the middle of the content may stop reading until its answer is read, so that two
writers would wait for each other for ever (RFC 2920 section 3.2); and what it answered is lost if the
connection is reset before we look (X7).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from bulkmail.errors import ConnectionLost, ConversationEnded, RemoteProtocolError
from bulkmail.transport.endings import cancelled_alone
from bulkmail.transport.stream import Transport


async def push_while_reading(
    stream: Transport, read: Callable[[], Awaitable[None]], moved: Callable[[], None]
) -> None:
    """Until the kernel has taken everything that was put. `moved` is called whenever it took more.

    Raises what `read` raises, a ConversationEnded, which ends the writing, and the errors of `stream`.
    """
    ended: list[ConversationEnded] = []
    broken: list[Exception] = []

    async def read_on(writing: trio.CancelScope) -> None:
        try:
            while True:
                await read()
        except (ConnectionLost, RemoteProtocolError) as end:
            ended.append(end)
            writing.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_on, nursery.cancel_scope)
            try:
                while not stream.push():
                    await stream.push_on()
                    moved()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                broken.append(error)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # that there is a nursery here is nobody's business: callers are cancelled as by any other await
        raise cancelled_alone(group) or group from None
    if ended:
        raise ended[0]
    if broken:
        raise broken[0]
