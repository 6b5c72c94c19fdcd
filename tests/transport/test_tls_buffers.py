"""TLS streams of one event loop share a pair of buffers: nothing of one may be left for another in them."""

from __future__ import annotations

import math
import ssl
from collections import deque

import pytest
import trio

from bulkmail.transport.stream import Transport
from bulkmail.transport.tls_stream import TlsStream, buffers


class Wire(Transport):
    """What was put lies in `sent`; what comes is taken from `came`, a packet at a time."""

    def __init__(self) -> None:
        self.sent = b""
        self.came: deque[bytes] = deque()

    @property
    def handed(self) -> int:
        return 0

    def put(self, data: bytes) -> None:
        self.sent += data

    def push(self) -> bool:
        return True

    async def push_on(self) -> None:
        raise AssertionError("there is always room")

    def receive_nowait(self) -> bytes | None:
        return self.came.popleft() if self.came else None

    async def readable(self, until: float = math.inf) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    def close(self) -> None:
        pass

    def quiet(self) -> bool:
        return not self.came


class Host:
    """The server's half of a TLS session, worked by hand, and the stream of ours that it talks to."""

    def __init__(
        self, authority, name: str = "mx.a.test", most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = authority.server(name)
        context.maximum_version = most
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.wire = Wire()
        self.stream = TlsStream(self.wire, authority.contexts[0], "mx.a.test")

    async def shake_hands(self, *says: bytes) -> None:
        """What it `says` comes with the end of the handshake, as far as that is the host's."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stream.handshake)
            while True:
                await trio.lowlevel.checkpoint()
                self._take()
                try:
                    self.tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self.come(self.records())
            self.come(self.records() + b"".join(self.says(*says)))  # tickets

    def hear(self) -> bytes:
        self._take()
        return self.tls.read(65536)

    def says(self, *texts: bytes) -> list[bytes]:
        """A record each."""
        records = []
        for text in texts:
            self.tls.write(text)
            records.append(self.records())
        return records

    def come(self, packet: bytes) -> None:
        if packet:
            self.wire.came.append(packet)

    def records(self) -> bytes:
        return self._outgoing.read()

    def _take(self) -> None:
        self._incoming.write(self.wire.sent)
        self.wire.sent = b""


async def hosts(authority, count: int) -> list[Host]:
    met = [Host(authority) for _ in range(count)]
    for host in met:
        await host.shake_hands()
    return met


def left_over() -> int:
    return buffers().incoming.pending + buffers().outgoing.pending


async def test_half_a_record_of_one_does_not_stand_in_the_way_of_another(authority):
    ann, bob = await hosts(authority, 2)
    [slow] = ann.says(b"250 for ann\r\n")
    ann.come(slow[:20])
    bob.come(bob.says(b"250 for bob\r\n")[0])
    heard = [ann.stream.receive_nowait(), bob.stream.receive_nowait()]
    ann.stream.put(b"MAIL ann")
    bob.stream.put(b"MAIL bob")
    ann.come(slow[20:])
    heard.append(ann.stream.receive_nowait())
    assert heard == [None, b"250 for bob\r\n", b"250 for ann\r\n"]
    assert [ann.hear(), bob.hear(), left_over()] == [b"MAIL ann", b"MAIL bob", 0]


async def test_handshakes_that_take_turns_do_not_meet(authority):
    met = [Host(authority) for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for host in met:
            nursery.start_soon(host.shake_hands)
    for number, host in enumerate(met):
        host.stream.put(b"%d" % number)
    assert [host.hear() for host in met] == [b"0", b"1", b"2", b"3", b"4"]


async def test_the_alert_of_a_failed_handshake_goes_to_nobody_else(authority):
    """A certificate for another name: what we tell them of it is for them."""
    [ann] = await hosts(authority, 1)
    other = Host(authority, "other.test")
    with pytest.raises(ExceptionGroup):
        await other.shake_hands()
    told, before = other.wire.sent, left_over()
    ann.stream.put(b"RSET")
    assert (ann.hear(), bool(told), before) == (b"RSET", True, 0)


async def test_what_follows_a_broken_record_is_not_read_by_another(authority):
    ann, bob = await hosts(authority, 2)
    good, bad, unread = ann.says(b"250 ok\r\n", b"250 broken\r\n", b"250 never read\r\n")
    ann.come(good + bad[:-1] + bytes([bad[-1] ^ 1]) + unread)
    heard = ann.stream.receive_nowait()
    bob.come(bob.says(b"250 for bob\r\n")[0])
    assert (heard, bob.stream.receive_nowait(), left_over()) == (b"250 ok\r\n", b"250 for bob\r\n", 0)
    with pytest.raises(trio.BrokenResourceError):
        ann.stream.receive_nowait()


async def test_close_notify_is_the_end_whatever_follows_it(authority):
    """And it is told again to who asks again."""
    [ann] = await hosts(authority, 1)
    [last] = ann.says(b"221 bye\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        ann.tls.unwrap()
    ann.come(last + ann.records() + b"more")
    assert [ann.stream.receive_nowait() for _ in range(3)] == [b"221 bye\r\n", b"", b""]
    assert (ann.stream.quiet(), left_over()) == (False, 0)


async def test_records_of_one_packet_are_read_at_once(authority):
    [ann] = await hosts(authority, 1)
    ann.come(b"".join(ann.says(b"250 one\r\n", b"250 two\r\n")))
    assert (ann.stream.receive_nowait(), ann.stream.receive_nowait()) == (b"250 one\r\n250 two\r\n", None)


async def test_what_came_with_the_end_of_the_handshake_is_not_waited_for(authority, monkeypatch):
    """Up to TLS 1.2 that is the host's, who may greet in the same packet: the socket will not tell of it."""

    async def nothing(_: Wire, until: float = math.inf) -> bool:
        raise AssertionError("nothing more will come")

    ann = Host(authority, most=ssl.TLSVersion.TLSv1_2)
    await ann.shake_hands(b"220 mx.a.test\r\n")
    monkeypatch.setattr(Wire, "readable", nothing)
    assert (await ann.stream.arrival(), left_over()) == (b"220 mx.a.test\r\n", 0)


async def test_another_event_loop_has_buffers_of_its_own():
    async def theirs() -> int:
        return id(buffers())

    ours = id(buffers())
    assert (id(buffers()), await trio.to_thread.run_sync(trio.run, theirs) == ours) == (ours, False)
