"""Several messages in flight to servers that others wrote: one that is refused in the middle moves no other.

Without RSET between them Exim 4.96 takes the message behind a refused one under the reverse-path of that one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import trio
from servers import ForeignServer

from bulkmail.delivery import convey
from bulkmail.delivery.consignment import Consignment, Turn
from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.transaction import Transacted
from bulkmail.delivery.work import Letter, Listed, Parcel, Roll
from bulkmail.dns.routes import Host, Route
from bulkmail.smtp import Envelope, Mailbox, Whole, canonical, paths_of
from bulkmail.smtp import whole as wire
from bulkmail.transport.approach import Approach, TlsPolicy
from bulkmail.transport.connection import Connection
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer

WINDOW, TURNS = 8, 3
# Of each window: whose MAIL is refused, of whom one recipient is, and of whom both are.
NO_SENDER, ONE_REFUSED, BOTH_REFUSED = 2, 4, 5
WAYS: dict[str, convey.Carry] = {"whole": convey.whole, "riding": convey.riding}


def names(number: int) -> list[str]:
    """The two recipients of a message."""
    place = number % WINDOW
    first = "nobody" if place == BOTH_REFUSED else "ann"
    second = "nobody" if place in (ONE_REFUSED, BOTH_REFUSED) else "bob"
    return [f"{first}{number}@a.test", f"{second}{number}b@a.test"]


def reverse_path(number: int) -> str:
    return f"bounces+{number}@acme.test"


def consignment(number: int) -> Consignment:
    people = [
        SimpleNamespace(id=2 * number + at, address=address, fields={}, attempts=0, since=None)
        for at, address in enumerate(names(number))
    ]
    content = canonical(
        f"Subject: {number}\r\nTo: {names(number)[0]}\r\n\r\nMessage {number}\r\n.\r\n".encode()
    )
    letter = Letter(Mailbox.parse(reverse_path(number)), (content,))
    roll = Listed(people)
    return Consignment(
        Parcel("a.test", [(1, 2)], shared=True), roll, paths_of(roll.addresses), letter, number
    )


_mail_line = wire.mail_line


def larger_than_they_take(one: Envelope | Whole) -> bytes:
    """Some messages claim to have a gigabyte, so that their MAIL is refused (RFC 1870)."""
    number = int(str(one.reverse_path).partition("@")[0].partition("+")[2])
    return _mail_line(one._replace(size=10**9) if number % WINDOW == NO_SENDER else one)


async def connected(server: ForeignServer) -> Connection:
    approach = Approach(port=server.port, ehlo="out.test", tls=TlsPolicy.NONE)
    host = Host(10, server.hostname, (server.address,))
    return await Dialer(approach, dead=DeadAddresses()).open(Route("a.test", (host,), server.hostname))


def stored(server: ForeignServer) -> dict[str, str]:
    """Under which reverse-path each recipient has his message: from the files as the server wrote them."""
    found: dict[str, str] = {}
    for path in (server.maildir / "new").glob("*"):
        text = path.read_bytes()
        head = text.partition(b"\n\n")[0].decode().lower()
        (sender,) = [line for line in head.splitlines() if line.startswith("return-path:")]
        for recipient in server.read_message(text).recipients:
            assert recipient not in found, "two copies"
            found[recipient] = sender.partition("<")[2].partition(">")[0]
    return found


class Sliding(Turn):
    """A window of all of them, for as long as there are any; `told` is what became of each, by key."""

    def __init__(self, everybody: Sequence[Consignment]) -> None:
        self.told: dict[int, list[Fate]] = {}
        self._everybody = everybody
        self._begun: set[int] = set()

    async def first(self) -> Sequence[Consignment]:
        """Of a turn: whoever was not told of is no longer in flight."""
        self._begun = set(self.told)
        return await self.more()

    async def more(self) -> Sequence[Consignment]:
        await trio.lowlevel.checkpoint()
        room = WINDOW - len(self._begun - self.told.keys())
        coming = [one for one in self._everybody if one.key not in self._begun][:room]
        self._begun.update(one.key for one in coming)
        return coming

    async def intend(self, ending: Sequence[tuple[Consignment, Roll]]) -> None:
        await trio.lowlevel.checkpoint()

    def tell(self, told: Sequence[tuple[Consignment, Transacted]]) -> bool:
        self.told.update({one.key: [fate.fate for fate in done.fates] for one, done in told})
        return True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["postfix", "exim"])
async def test_a_message_refused_in_the_middle_moves_nobody_under_another_reverse_path(
    name: str, way: str, start_foreign: Callable[..., Any]
) -> None:
    """X17, X1, X3."""
    everybody = [consignment(number) for number in range(WINDOW * TURNS)]
    refuse = [one for item in everybody for one in item.roll.addresses if one.startswith("nobody")]
    server = await start_foreign(name, ["a.test"], refuse=refuse)
    turn = Sliding(everybody)
    told = turn.told
    with patch.object(wire, "mail_line", larger_than_they_take), trio.fail_after(120):
        connection = await connected(server)
        offered = connection.extensions
        assert (offered.pipelining, offered.chunking, offered.announces_size) == (True, True, True)
        while len(told) < len(everybody):
            if not connection.usable:
                connection = await connected(server)
            await WAYS[way](connection, await turn.first(), turn)
        await connection.quit()
        taken = [one.key for one in everybody if one.key % WINDOW not in (NO_SENDER, BOTH_REFUSED)]
        expected = {
            address: reverse_path(number)
            for number in taken
            for address in names(number)
            if not address.startswith("nobody")
        }
        await server.settled(len(expected))
    fates = {number: fates for number, fates in told.items() if set(fates) != {Fate.DELIVERED}}
    both = [Fate.BOUNCED, Fate.BOUNCED]
    of_place = {NO_SENDER: both, ONE_REFUSED: [Fate.DELIVERED, Fate.BOUNCED], BOTH_REFUSED: both}
    assert fates == {number: of_place[number % WINDOW] for number in told if number % WINDOW in of_place}
    assert stored(server) == expected
