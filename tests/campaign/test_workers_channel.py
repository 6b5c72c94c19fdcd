"""The channel between parent and worker: whole messages, in order, however they are cut on their way."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.workers.channel import Channel, pair
from bulkmail.campaign.workers.messages import Deliver, Ended, Routed
from bulkmail.dns.routes import Host, NoRoute, Route

ROUTE = Route("a.test", (Host(10, "mx.a.test", ("192.0.2.1", "2001:db8::1")),), "mx.a.test")


class Blob(NamedTuple):
    octets: bytes


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Channel, Channel]]:
    ours, theirs = map(Channel, pair())
    yield ours, theirs
    ours.close()
    theirs.close()


async def test_what_is_told_in_one_turn_arrives_together_and_in_order(ends: tuple[Channel, Channel]) -> None:
    told = [
        Deliver(1, "a.test", ((1, 9), (12, 12)), True, 2, ROUTE),
        Routed("b.test", NoRoute("b.test", False, "", "x")),
    ]
    ours, theirs = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.write)
        for message in told:
            ours.tell(message)
        heard = await theirs.read()
        theirs.tell(Ended(1))
        await theirs.flush()
        answer = await ours.read()
        nursery.cancel_scope.cancel()
    assert (heard, answer) == (told, [Ended(1)])


async def test_frames_larger_than_the_sockets_buffer_arrive_whole(ends: tuple[Channel, Channel]) -> None:
    told = [Blob(bytes([number]) * 1_000_000) for number in range(4)]
    ours, theirs = ends
    heard: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.write)
        for message in told:
            ours.tell(message)
            await trio.lowlevel.checkpoint()
        while len(heard) < len(told):
            heard += await theirs.read()
        nursery.cancel_scope.cancel()
    assert heard == told


async def test_a_writer_that_is_cancelled_within_a_frame_goes_on_where_it_was(
    ends: tuple[Channel, Channel],
) -> None:
    ours, theirs = ends
    ours.tell(Blob(b"x" * 5_000_000))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.flush)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    ours.tell(Blob(b"y"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.flush)
        heard = [*await theirs.read(), *await theirs.read()]
    assert heard == [Blob(b"x" * 5_000_000), Blob(b"y")]


@given(st.lists(st.lists(st.binary(max_size=50), min_size=1, max_size=4), max_size=4), st.integers(1, 40))
def test_messages_are_the_same_however_the_octets_are_cut(frames: list[list[bytes]], size: int) -> None:
    async def main() -> list[object]:
        written, reader = socket.socketpair()
        sender = Channel(written)
        for frame in frames:
            for octets in frame:
                sender.tell(Blob(octets))
            await sender.flush()
        sender.close()
        data = b"".join(iter(lambda: reader.recv(1 << 16), b""))
        reader.close()
        end, out = pair()
        receiver, heard = Channel(end), list[object]()

        async def send() -> None:
            with trio.socket.from_stdlib_socket(out) as cut:
                for start in range(0, len(data), size):
                    await cut.send(data[start : start + size])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            while messages := await receiver.read():
                heard += messages
        receiver.close()
        return heard

    assert trio.run(main) == [Blob(octets) for frame in frames for octets in frame]


@pytest.mark.parametrize("last", [b"", b"\x00", b"\x00\x00\x00\x09half"])
async def test_the_end_of_the_peer_is_no_message_and_half_a_frame_is_none(last: bytes) -> None:
    ours, theirs = pair()
    theirs.sendall(last)
    theirs.close()
    channel = Channel(ours)
    channel.tell(Blob(b"to nobody"))
    assert (list(await channel.read()), await channel.flush()) == ([], False)
    channel.close()
