"""A carrier that is cancelled tells what is known for sure of whom, and nothing of anybody else."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
import trio.testing
from post_office import Person

from bulkmail.delivery import convey
from bulkmail.delivery.consignment import Consignment, Turn
from bulkmail.delivery.transaction import Transacted
from bulkmail.delivery.work import Letter, Listed, Parcel, Roll
from bulkmail.smtp import Ehlo, Mailbox, canonical, paths_of
from bulkmail.transport.connection import Connection
from bulkmail.transport.stream import TcpStream

HELLO = b"250-mx.a.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
LARGE = 200_000


def consignment(key: int, *names: str, octets: int = 0) -> Consignment:
    people = Listed([Person(10 * key + at, f"{name}@a.test") for at, name in enumerate(names)])
    content = canonical(b"To: you\r\n\r\n" + b"x\r\n" * (octets // 3))
    letter = Letter(Mailbox.parse("news@acme.test"), (content,))
    return Consignment(
        Parcel("a.test", [(1, 1)], shared=True), people, paths_of(people.addresses), letter, key
    )


class Host:
    """Over memory, where nothing has left before it is read: so a test decides how far a message has come."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.heard = b""

    async def say(self, *codes: int) -> None:
        await self.stream.send_all(b"".join(b"%d text\r\n" % code for code in codes))
        await trio.testing.wait_all_tasks_blocked()

    async def hear(self, octets: int) -> None:
        """So many octets more, or all there are."""
        end = len(self.heard) + octets
        while len(self.heard) < end:
            with trio.move_on_after(1) as silence:
                self.heard += bytes(await self.stream.receive_some(end - len(self.heard)))
            if silence.cancelled_caught:
                return

    async def hear_everything(self) -> None:
        await self.hear(10**9)


class Alone(Turn):
    """Nobody comes after those that are given; keeps what is told, by address."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    async def intend(self, ending: Sequence[tuple[Consignment, Roll]]) -> None:
        await trio.lowlevel.checkpoint()
        for one, roll in ending:
            one.opened, one.ending = True, roll

    def tell(self, told: Sequence[tuple[Consignment, Transacted]]) -> bool:
        for one, done in told:
            fates = [fate.fate.value for fate in done.fates]
            self.told.update(zip(one.roll.addresses, fates, strict=True))
        return True


async def broken_off(
    carry: convey.Carry, consignments: Sequence[Consignment], play: Callable[[Host], Awaitable[None]]
) -> dict[str, str]:
    """What was told, by address, when the carrier is cancelled at the end of `play`."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    host, turn = Host(theirs), Alone()

    async with trio.open_nursery() as nursery:

        async def introduce() -> None:
            await theirs.send_all(b"220 mx.a.test\r\n")
            await theirs.receive_some(100)
            await theirs.send_all(HELLO)

        nursery.start_soon(introduce)
        connection = Connection(ours, host="mx.a.test", address="192.0.2.1")
        await connection.exchange(())
        await connection.exchange([Ehlo("out.test")])

        async def carry_on() -> None:
            await carry(connection, consignments, turn)

        nursery.start_soon(carry_on)
        await trio.testing.wait_all_tasks_blocked()
        await play(host)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not connection.usable
    return {address.partition("@")[0]: fate for address, fate in turn.told.items()}


async def test_of_whole_messages_the_answered_are_told_and_the_sent_are_in_doubt(
    autojump_clock: object,
) -> None:
    """P2."""

    async def play(host: Host) -> None:
        await host.hear_everything()
        await host.say(250, 250, 250, 250, 250, 550)

    ones = [consignment(1, "ann"), consignment(2, "bob", "cat"), consignment(3, "dan")]
    ones_told = await broken_off(convey.whole, ones, play)
    assert ones_told == {"ann": "delivered", "bob": "bounced", "cat": "in_doubt", "dan": "in_doubt"}


async def test_of_a_message_that_was_not_sent_whole_only_refusals_are_told(autojump_clock: object) -> None:
    """P2: who was not refused is simply still pending, and was not tried."""

    async def play(host: Host) -> None:
        await host.hear(100_000)
        await host.say(250, 550, 250)

    told = await broken_off(convey.whole, [consignment(1, "ann", "bob", octets=LARGE)], play)
    assert told == {"ann": "bounced"}


async def test_of_messages_of_which_nothing_was_answered_nobody_is_told_unless_he_was_sent(
    autojump_clock: object,
) -> None:
    """P2."""

    async def nothing(host: Host) -> None:
        await host.hear(50)

    ones = [consignment(1, "ann"), consignment(2, "bob")]
    assert await broken_off(convey.whole, ones, nothing) == {}
    assert await broken_off(convey.whole, ones, Host.hear_everything) == {
        "ann": "in_doubt",
        "bob": "in_doubt",
    }


@pytest.mark.parametrize("way", [convey.plain, convey.riding])
async def test_while_envelopes_are_spoken_of_nobody_is_told_anything(
    way: convey.Carry, autojump_clock: object
) -> None:
    """P2: no end of data was on its way."""

    async def play(host: Host) -> None:
        await host.hear_everything()
        await host.say(250, 550, 250)

    assert await broken_off(way, [consignment(1, "ann", "bob")], play) == {}


@pytest.mark.parametrize("way", [convey.plain, convey.riding])
async def test_once_the_end_of_data_was_sent_those_who_were_accepted_are_in_doubt(
    way: convey.Carry, autojump_clock: object
) -> None:
    """P2: and of a riding envelope behind it, nobody."""

    async def play(host: Host) -> None:
        await host.hear_everything()
        await host.say(250, 550, 250, 354)
        await host.hear_everything()

    told = await broken_off(way, [consignment(1, "ann", "bob"), consignment(2, "cat")], play)
    assert told == {"bob": "in_doubt"}


@pytest.mark.parametrize("way", [convey.plain, convey.riding])
async def test_before_the_end_of_data_was_sent_whole_nobody_is_in_doubt(
    way: convey.Carry, autojump_clock: object
) -> None:
    """P2."""

    async def play(host: Host) -> None:
        await host.hear_everything()
        await host.say(250, 250, 354)
        await host.hear(1_000)

    assert await broken_off(way, [consignment(1, "ann", octets=LARGE), consignment(2, "bob")], play) == {}


async def test_an_end_of_data_that_was_answered_while_the_riding_envelope_waits_is_told(
    autojump_clock: object,
) -> None:
    """P2."""

    async def play(host: Host) -> None:
        await host.hear_everything()
        await host.say(250, 250, 354)
        await host.hear_everything()
        await host.say(250, 250, 250)  # the end of data, RSET, MAIL

    told = await broken_off(convey.riding, [consignment(1, "ann"), consignment(2, "bob")], play)
    assert told == {"ann": "delivered"}


@pytest.mark.parametrize("way", [convey.plain, convey.riding, convey.whole])
@pytest.mark.parametrize("moment", ["listening", "preparing"])
async def test_a_verdict_that_has_come_and_was_not_read_when_we_are_stopped_is_told(
    way: convey.Carry, moment: str
) -> None:
    """P2: the kernel has it."""

    class Turned(Alone):
        async def prepare(self) -> None:
            if moment == "preparing" and ann.sent_at:
                await trio.sleep_forever()

    ann, turn = consignment(1, "ann"), Turned()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(
            TcpStream(socket.create_connection(listener.getsockname())), host="mx.a.test", address="127.0.0.1"
        )
        host, _ = listener.accept()
    with host:
        host.setblocking(False)

        async def hear(what: bytes) -> None:
            heard = b""
            while what not in heard:
                await trio.lowlevel.wait_readable(host)
                heard += host.recv(65536)
            await trio.testing.wait_all_tasks_blocked()

        host.sendall(b"220 mx.a.test\r\n")
        await connection.exchange(())
        host.sendall(HELLO)
        await connection.exchange([Ehlo("out.test")])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(way, connection, [ann], turn)
            if way is not convey.whole:
                await hear(b"DATA")
                host.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
            await hear(b"To: you")
            replies = 3 if way is convey.whole else 1
            host.sendall(b"250 taken\r\n" * replies)
            nursery.cancel_scope.cancel()
    assert (turn.told, connection.usable) == ({"ann@a.test": "delivered"}, False)
