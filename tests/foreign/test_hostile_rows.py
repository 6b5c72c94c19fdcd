"""Rows that mean harm, through servers that others wrote, with DATA and with BDAT.

What harm is meant is told in hostile_rows.py. Everybody whom the generator meant, and nobody else, has
exactly one message, in it the words of his own row, and octet for octet as it was composed.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hostile_rows import DOMAINS, MARKS, Row, rows
from servers import Delivered, ForeignServer

from bulkmail.campaign import config, prepare, runner
from bulkmail.delivery import convey, session
from bulkmail.journal import SETTLED
from bulkmail.sandbox import World, serve
from bulkmail.smtp import Bdat, Data, Ehlo, Mail, Mailbox, Quit, Rcpt, ReplyReader, stuff
from bulkmail.transport.connection import Connection

Start = Callable[..., Awaitable[ForeignServer]]
ROWS = int(os.environ.get("BULKMAIL_HOSTILE_ROWS", "200"))  # for each server and way
SEED = 5
WAYS: dict[str, convey.Carry] = {"DATA": convey.plain, "DATA, pipelined": convey.riding, "BDAT": convey.whole}
CASES = [("postfix", way) for way in WAYS] + [("exim", way) for way in WAYS] + [("aiosmtpd", "DATA")]

CAMPAIGN = """\
campaign: hostile
from: "Acme News <news@acme.test>"
to: "{{{{ name }}}} <{{{{ email }}}}>"
subject: "{{{{ name }}}}: {{{{ city }}}}"
headers: {{ X-City: "{{{{ city }}}}" }}
recipients: people.jsonl
content: letter.txt
delivery:
  via: mx
  port: {port}
  resolvers: ["{dns[0]}:{dns[1]}"]
  allow_private: true
  tls: none
  retry: {{ first: 200ms, max: 1s, give_up: 60s }}
"""
LETTER = "Dear {{ name }},\n.\n{{ words }}\n.\n{{ city }}\n"


def write_campaign(folder: Path, people: Sequence[Row], port: int, dns: tuple[str, int]) -> Path:
    (folder / "campaign.yaml").write_text(CAMPAIGN.format(port=port, dns=dns))
    (folder / "letter.txt").write_text(LETTER)
    with (folder / "people.jsonl").open("w") as file:
        for row in people:
            file.write(
                json.dumps({"email": row.email, "name": row.name, "city": row.city, "words": row.words})
                + "\n"
            )
    return folder / "campaign.yaml"


def only(way: str) -> Any:
    """Every transaction goes this way from the first on."""

    def chosen(one: session._Session, connection: Connection) -> tuple[convey.Carry, int]:
        return WAYS[way], 1 if way == "DATA" else 8

    return patch.object(session._Session, "_way", chosen)


def marks_in(texts: Iterable[str]) -> set[str]:
    return set(MARKS.findall("\n".join(texts)))


async def messages(server: ForeignServer, count: int) -> list[Delivered]:
    """What is there, once it is so many: servers deliver after they answer. The caller owns the deadline."""
    while len(found := server.messages()) < count:  # noqa: ASYNC110  nothing tells us but looking
        await trio.sleep(0.05)
    return found


async def arrived(server: ForeignServer, count: int) -> list[tuple[str, bytes]]:
    """The mark of whom each message is for, and its octets, once there are so many. The caller owns the
    deadline.
    """
    found = await messages(server, count)
    return [(*marks_in(message.recipients), message.content) for message in found]  # type: ignore[misc]


def refused(name: str, row: Row) -> bool:
    """Postfix takes these for routes to elsewhere, which it does not relay to (allow_untrusted_routing = no).

    A route in front (RFC 5321 appendix C) it drops, even within quotes.
    """
    assert row.meant is not None
    return name == "postfix" and bool(set("@%!") & set(re.sub("^@[^:]*:", "", row.meant[0])))


@pytest.mark.parametrize(("name", "way"), CASES, ids=[f"{name}-{way}" for name, way in CASES])
async def test_everybody_gets_what_was_meant_for_him_and_nobody_anything_else(
    name: str, way: str, tmp_path: Path, start_foreign: Start
) -> None:
    """I1, I2, I3, I6, I9."""
    people = list(rows(SEED, 0, ROWS))
    meant = {row.mark: row for row in people if row.meant is not None}
    world = World()
    server = await start_foreign(name, list(DOMAINS), hostname="mx.a.test")
    for domain in DOMAINS:
        world.domain(domain).host(server.hostname)
    world.host(server.hostname).at(server.address)
    async with serve(world) as sandbox:
        campaign = config.load(write_campaign(tmp_path, people, server.port, sandbox.dns), environ=os.environ)
        with only(way), prepare.prepared(campaign, tell=lambda event: None) as ready, trio.fail_after(300):
            await runner.run(ready, tell=lambda event: None)
            fates = {state: marks_in(one.address for one in ready.store.export(state)) for state in SETTLED}
            composed = {
                own: ready.composer.letter(one.address, one.fields, id=one.id).content
                for one in ready.store.fetch([(1, len(meant))])
                for own in marks_in([one.address])
            }
            found = await arrived(server, len(fates["delivered"]))
    gone = {own for own, row in meant.items() if refused(name, row)}
    assert fates == {"delivered": meant.keys() - gone, "bounced": gone, "expired": set(), "cancelled": set()}
    assert sorted(own for own, _ in found) == sorted(meant.keys() - gone)
    assert {own for own, content in found if content != composed[own]} == set()
    assert {own for own, content in found if set(MARKS.findall(content.decode())) != {own}} == set()


# --- every boundary -----------------------------------------------------------------------------------

CONTENT = b"Subject: cut\r\n\r\n.\r\n..\r\nRSET\r\n.QUIT\r\n\r\n.\r\n"
PLACES = range(len(CONTENT) + 1)


class Talk:
    """A conversation of octets: nothing of how delivery speaks is in it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream, self._reader = stream, ReplyReader()

    async def say(self, *pieces: bytes) -> list[int]:
        """The codes of the replies to what is written in these pieces, each by itself."""
        for piece in pieces:
            await self._stream.send_all(piece)
        replies: list[int] = []
        while not replies or self._reader.partial:
            replies += [reply.code for reply in self._reader.feed(await self._stream.receive_some())]
        return replies


@pytest.mark.parametrize("name", ["postfix", "exim", "aiosmtpd"])
async def test_wherever_content_is_cut_it_arrives_as_it_was(name: str, start_foreign: Start) -> None:
    """I2, I3: in two writes behind DATA; in two chunks of BDAT, where that is offered."""
    server = await start_foreign(name, ["a.test"])
    ways = ("data",) if name == "aiosmtpd" else ("data", "bdat")
    with trio.fail_after(120):
        stream = await trio.open_tcp_stream(server.address, server.port)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Talk(stream)
        await talk.say()
        await talk.say(Ehlo("out.test").encode())
        for way in ways:
            for at in PLACES[way == "bdat" :]:  # Postfix does not take BDAT 0 without LAST
                await talk.say(Mail(None).encode())
                assert await talk.say(Rcpt(Mailbox.parse(f"{way}{at}@a.test")).encode()) == [250]
                if way == "data":
                    assert await talk.say(Data().encode()) == [354]
                    stuffed = stuff(CONTENT)
                    assert await talk.say(stuffed[:at], stuffed[at:]) == [250]
                else:
                    assert await talk.say(Bdat(CONTENT[:at], last=False).encode()) == [250]
                    assert await talk.say(Bdat(CONTENT[at:], last=True).encode()) == [250]
        await talk.say(Quit().encode())
        await stream.aclose()
        expected = sorted((f"{way}{at}@a.test",) for way in ways for at in PLACES[way == "bdat" :])
        found = await messages(server, len(expected))
    assert sorted(one.recipients for one in found) == expected
    assert {one.content for one in found} == {CONTENT}
