"""Hosts that fall silent, over real sockets: each wait has its deadline, whatever is waited for (T3, T4)."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace

import pytest
import trio
from smtp_peer import Peer, approach, listening, route

from bulkmail.transport.approach import TimeLimits, TlsPolicy
from bulkmail.transport.dial import DeadAddresses, Dialer, Unreachable
from bulkmail.transport.race import connect_tcp
from bulkmail.transport.stage import Stage

SHORT_S = 0.1


async def says_nothing(peer: Peer) -> None:
    await peer.eof()


async def drips(peer: Peer) -> None:
    """A greeting in parts, each of them in time."""
    for octet in b"220 hello\r\n" * 10:
        await peer.stream.send_all(bytes([octet]))
        await trio.sleep(SHORT_S / 5)


async def does_not_shake_hands(peer: Peer) -> None:
    await peer.hello("STARTTLS")
    await peer.hear("STARTTLS")
    await peer.say("220 go")
    await peer.stream.receive_some()
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("host", "limits", "stage"),
    [
        (says_nothing, TimeLimits(greeting=SHORT_S), Stage.GREETING),
        (drips, TimeLimits(greeting=SHORT_S), Stage.GREETING),
        (does_not_shake_hands, TimeLimits(tls=SHORT_S), Stage.STARTTLS),
    ],
)
async def test_a_silent_host_is_given_up(host, limits: TimeLimits, stage: Stage) -> None:
    async with listening(host) as port:
        how = replace(approach(port, tls=TlsPolicy.REQUIRED), time_limits=limits)
        began = trio.current_time()
        with pytest.raises(Unreachable) as unreachable:
            await Dialer(how, dead=DeadAddresses()).open(route(("mx.a.test", ["127.0.0.1"])))
        assert [attempt.stage for attempt in unreachable.value.attempts] == [stage]
        assert SHORT_S <= trio.current_time() - began < 20 * SHORT_S


async def test_an_address_that_never_answers_is_given_up() -> None:
    """Its queue is full, and the kernel drops what comes."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for sock in (first, second):
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        with pytest.raises(TimeoutError) as over:
            await connect_tcp("127.0.0.1", port, trio.current_time() + SHORT_S)
        assert over.value.errno == errno.ETIMEDOUT
