"""The harness itself: each foreign server takes mail from smtplib and gives it back byte for byte."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from servers import SERVERS, ForeignServer, LogEntry

CONTENT = (
    b"Date: Sat, 21 Nov 2026 20:00:00 +0000\r\n"
    b"From: Acme <news@acme.test>\r\n"
    b"To: readers@acme.test\r\n"
    b"Message-ID: <1@acme.test>\r\n"
    b"Received: from nowhere by nobody; Sat, 21 Nov 2026 20:00:00 +0000\r\n"  # ours, to be kept
    b"Subject: one\r\n two\r\n"
    b"\r\n"
    b".a dot\r\n"
    b"..\r\n"
    b"\r\n"
    b"trailing space \r\n"
    b"From here\r\n"
    b"\r\n"
)


def send(server: ForeignServer, recipients: list[str], *, times: int = 1) -> dict[str, tuple[int, bytes]]:
    """With STARTTLS, verified, where the server has a certificate. Returns what was refused."""
    refused = {}
    with smtplib.SMTP(server.address, server.port, local_hostname="client.test", timeout=60) as client:
        client.ehlo()
        if server.ca_pem:
            client._host = server.hostname  # type: ignore[attr-defined]  # the name that is verified
            client.starttls(context=ssl.create_default_context(cadata=server.ca_pem))
        for _ in range(times):
            refused |= client.sendmail("news@acme.test", recipients, CONTENT)
    return refused


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "STARTTLS"])
@pytest.mark.parametrize("name", SERVERS)
async def test_a_foreign_server_receives_what_was_sent(
    name: str, tls: bool, start_foreign: Callable[..., Any]
) -> None:
    server = await start_foreign(name, ["a.test", "b.test"], tls=tls, refuse=["no@a.test"])
    refused = await trio.to_thread.run_sync(send, server, ["ann@a.test", "no@a.test", "Bob@b.test"])
    with trio.fail_after(60):
        await server.settled(2)
    received = {address: content for addresses, content in server.messages() for address in addresses}
    entries = server.log_entries()
    ids = {entry.queue_id for entry in entries if entry.status == "delivered"}
    assert received == {"ann@a.test": CONTENT, "Bob@b.test": CONTENT}
    assert {address: code for address, (code, _) in refused.items()} == {"no@a.test": 550}
    assert sorted(entries) == sorted(
        [
            LogEntry("ann@a.test", *ids, "delivered"),
            LogEntry("Bob@b.test", *ids, "delivered"),
            LogEntry("no@a.test", "", "refused"),
        ]
    )


@pytest.mark.parametrize("name", SERVERS)
async def test_a_foreign_server_refuses_to_relay(name: str, start_foreign: Callable[..., Any]) -> None:
    server = await start_foreign(name, ["a.test"])
    refused = await trio.to_thread.run_sync(send, server, ["ann@a.test", "ann@elsewhere.test"])
    assert [(address, code // 100) for address, (code, _) in refused.items()] == [("ann@elsewhere.test", 5)]


async def test_servers_share_one_port_on_different_addresses(start_foreign: Callable[..., Any]) -> None:
    servers = [await start_foreign(name, ["a.test"]) for name in SERVERS]
    assert len({server.port for server in servers}) == 1
    assert len({server.address for server in servers}) == len(SERVERS)


@pytest.mark.parametrize("name", ["postfix", "exim"])
async def test_a_server_that_holds_shows_in_its_queue_what_it_was_given(
    name: str, start_foreign: Callable[..., Any]
) -> None:
    server = await start_foreign(name, ["a.test"], hold=True)
    assert server.queued() == []
    await trio.to_thread.run_sync(partial(send, server, ["ann@a.test", "bob@a.test"], times=2))
    await trio.to_thread.run_sync(send, server, ["cid@a.test"])
    assert sorted(map(sorted, server.queued())) == [
        ["ann@a.test", "bob@a.test"],
        ["ann@a.test", "bob@a.test"],
        ["cid@a.test"],
    ]
    assert server.messages() == []
