"""A window is written only to a host that is still there when its intents are on disk."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from test_broken_off import HELLO, Alone, consignment

from bulkmail.delivery import convey
from bulkmail.delivery.consignment import Consignment
from bulkmail.delivery.work import Roll
from bulkmail.smtp import Ehlo
from bulkmail.transport.connection import Connection
from bulkmail.transport.race import connect_tcp


class Delayed(Alone):
    """`meanwhile` is what the disk has to wait for."""

    def __init__(self, meanwhile: trio.Event, happened: trio.Event) -> None:
        super().__init__()
        self._meanwhile, self._happened = meanwhile, happened

    async def intend(self, ending: Sequence[tuple[Consignment, Roll]]) -> None:
        await super().intend(ending)
        for one, _ in ending:
            one.ending = None  # nothing is on its way yet
        self._meanwhile.set()
        await self._happened.wait()


@pytest.mark.parametrize("last_words", [b"", b"421 4.3.2 enough for today\r\n"])
async def test_a_host_that_goes_while_the_intents_are_written_puts_nobody_in_doubt(last_words: bytes) -> None:
    """G9, X8: they are untouched, and go by a fresh connection."""
    syncing, gone = trio.Event(), trio.Event()
    turn, heard = Delayed(syncing, gone), b""
    ones = [consignment(number, f"p{number}") for number in (1, 2)]

    async def host(stream: trio.SocketStream) -> None:
        nonlocal heard
        await stream.send_all(b"220 mx.a.test\r\n")
        await stream.receive_some(100)
        await stream.send_all(HELLO)
        await syncing.wait()
        await stream.send_all(last_words)
        await stream.send_eof()
        heard = bytes(await stream.receive_some(1000))

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, host, listeners)
        port = listeners[0].socket.getsockname()[1]
        connection = Connection(await connect_tcp("127.0.0.1", port), host="mx.a.test")
        await connection.exchange(())
        await connection.exchange([Ehlo("out.test")])

        async def arrival() -> None:
            await syncing.wait()
            await trio.lowlevel.wait_readable(connection._transport._socket)  # type: ignore[attr-defined]
            gone.set()

        nursery.start_soon(arrival)
        await convey.whole(connection, ones, turn)
        connection.abandon()
        nursery.cancel_scope.cancel()
    assert (heard, turn.told, [one.ending for one in ones]) == (b"", {}, [None, None])
