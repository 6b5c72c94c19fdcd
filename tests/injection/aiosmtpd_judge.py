"""aiosmtpd's own protocol class over a transport in memory: what a server that others wrote makes of our
octets.
"""

from __future__ import annotations

import asyncio
import logging
import random
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiosmtpd.smtp import SMTP, Envelope, Session
from injection_road import Addressed

from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.transaction import commands, transact
from bulkmail.smtp import ClientProtocol, Ehlo, Extensions, Mailbox, Quit
from bulkmail.smtp.client import Said
from bulkmail.transport.flight import Flight

TURNS = 10_000  # of its loop, without an answer: then it hangs

logging.getLogger("mail.log").setLevel(logging.CRITICAL)


class There(NamedTuple):
    """A message as it has it."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes


class _Handler:
    """Keeps every message, and refuses nobody."""

    def __init__(self) -> None:
        self.taken: list[There] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.original_content, bytes)
        self.taken.append(
            There(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.original_content)
        )
        return "250 2.0.0 OK"


class _Transport(asyncio.Transport):
    """Octets in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.said = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.said += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class _Connection:
    """In place of a Connection, for `transact`; each command waits for its reply, as PIPELINING is not
    offered.
    """

    lockstep = False

    def __init__(self, server: SMTP, transport: _Transport, chance: random.Random) -> None:
        self._server, self._transport, self._chance = server, transport, chance
        self.client = ClientProtocol()
        self.abandoned = False

    @property
    def extensions(self) -> Extensions:
        return self.client.extensions

    @property
    def usable(self) -> bool:
        return self.client.idle

    def abandon(self) -> None:
        self.abandoned = True

    async def exchange(self, said: Sequence[Said]) -> Flight:
        replies = []
        for command in said:
            data = self.client.send(command)
            at = len(data) if self._chance.random() < 0.7 else self._chance.randrange(len(data) + 1)
            for piece in (data[:at], data[at:]):
                if piece:
                    self._server.data_received(piece)
                    await asyncio.sleep(0)
            replies += await self.hear()
        return Flight(tuple(replies), True, None)

    async def hear(self) -> list[Any]:
        for _ in range(TURNS):
            if self._transport.said.endswith(b"\n"):
                heard = bytes(self._transport.said)
                self._transport.said.clear()
                answers = self.client.receive(heard)
                if answers:
                    return [reply for answer in answers for reply in answer.replies]
            await asyncio.sleep(0)
        raise AssertionError("aiosmtpd does not answer")


class Aiosmtpd:
    """A loop, and a server for each session."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.close()

    def session(self, part: Sequence[Addressed], chance: random.Random) -> list[There | None]:
        """What it has of each letter, None where it refused the address. AssertionError for anything else."""
        return self._loop.run_until_complete(self._session(part, chance))

    async def _session(self, part: Sequence[Addressed], chance: random.Random) -> list[There | None]:
        handler, transport, server = await self.server()
        connection = _Connection(server, transport, chance)
        await connection.hear()
        await connection.exchange([Ehlo("out.acme.test")])
        found: list[There | None] = []
        for one in part:
            before = len(handler.taken)
            envelope = commands(
                one.letter, [Mailbox.parse(address) for address in one.addresses], connection.extensions
            )
            done = await transact(connection, envelope, one.letter.end_of_data, _nothing)  # type: ignore[arg-type]
            (fate,) = set(done.fates)
            new = handler.taken[before:]
            assert not connection.abandoned
            assert len(new) == (fate.fate is Fate.DELIVERED), (len(new), fate, one.addresses)
            found.append(new[0] if new else None)
        await connection.exchange([Quit()])
        server.connection_lost(None)
        await asyncio.sleep(0)
        return found

    async def server(self) -> tuple[_Handler, _Transport, SMTP]:
        """A connection that was just made."""
        handler, transport = _Handler(), _Transport()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for what it deprecates itself
            server = SMTP(
                handler,
                enable_SMTPUTF8=True,
                hostname="mx.test",
                loop=self._loop,
                command_call_limit=1_000_000,
                data_size_limit=50_000_000,
            )
        server.connection_made(transport)
        return handler, transport, server

    def octets(self, pieces: Sequence[bytes], turns: int) -> tuple[list[There], bytes]:
        """What it has, and says, after these octets, in these pieces, whatever it says in between."""
        return self._loop.run_until_complete(self._octets(pieces, turns))

    async def _octets(self, pieces: Sequence[bytes], turns: int) -> tuple[list[There], bytes]:
        handler, transport, server = await self.server()
        for piece in pieces:
            server.data_received(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        for _ in range(TURNS):
            if transport.closed:
                break
            await asyncio.sleep(0)
        assert transport.closed, "it did not come to QUIT"
        server.connection_lost(None)
        await asyncio.sleep(0)
        return handler.taken, bytes(transport.said)


async def _nothing(positions: Sequence[int]) -> None:
    pass
