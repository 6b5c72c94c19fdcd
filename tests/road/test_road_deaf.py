"""T5: a host that takes the connection, and then no more of what we write."""

from __future__ import annotations

import socket

from road_rig import FIRST_PASS

from bulkmail.transport import dial
from bulkmail.transport.race import connect_tcp


async def test_who_stops_reading_is_given_up_and_nobody_is_in_doubt(world, send, monkeypatch):
    """T5: with a small buffer on our side, so that little content is more than there is room for."""

    async def connect(address, port, until):
        stream = await connect_tcp(address, port, until)
        stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        return stream

    monkeypatch.setattr(dial, "connect_tcp", connect)
    world.domain("a.test").stop_reading("DATA")
    text = ("x" * 900 + "\n") * 2_000
    report = await send("ann@a.test", text_of_message=text, time_limits={"block": "300ms"}, until=FIRST_PASS)
    assert (report.kinds(), "to take what we write" in report.reply("ann@a.test")) == (
        {"ann@a.test": "deferred"},
        True,
    )
