"""STARTTLS of the sandbox: real certificates, good and bad, as smtplib and a plain client see them."""

from __future__ import annotations

import smtplib
import ssl

import pytest
from sandbox_client import MESSAGE, connect, with_smtplib

from bulkmail.sandbox import World, serve


async def test_smtplib_delivers_over_starttls_with_a_certificate_for_the_host() -> None:
    world = World()
    world.domain("a.test").refuse("bob")

    def work(client: smtplib.SMTP) -> None:
        client.starttls(context=ssl.create_default_context(cafile=path))
        refused.update(client.sendmail("a@out.test", ["ann@a.test", "bob@a.test"], MESSAGE))

    refused: dict[str, tuple[int, bytes]] = {}
    async with serve(world) as running:
        path = str(running.ca_pem_path)
        await with_smtplib(running, "mx.a.test", work)
    [received] = world.ledger.messages
    assert refused == {"bob@a.test": (550, b"5.1.1 No such user here")}
    assert (received.recipients, received.content, received.tls) == (("ann@a.test",), MESSAGE, True)
    assert world.ledger.sessions[0].sni == "mx.a.test"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("untrusted", "unable to get|self-signed|self signed"),
        ("wrong-name", "mismatch"),
        ("expired", "expired"),
    ],
)
async def test_a_bad_certificate_is_bad_in_one_way(kind: str, problem: str) -> None:
    """S5."""
    world = World()
    world.domain("a.test").tls(kind)

    def work(client: smtplib.SMTP) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match=problem):
            client.starttls(context=context)
        client.close()

    async with serve(world) as running:
        context = ssl.create_default_context(cafile=running.ca_pem_path)
        await with_smtplib(running, "mx.a.test", work)
    assert world.ledger.sessions[0].commands == ["EHLO out.test", "STARTTLS"]


async def test_ehlo_that_arrives_with_the_end_of_the_handshake_is_answered() -> None:
    world = World()
    world.domain("a.test")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        assert await client.ask("STARTTLS") == [220]
        context = ssl.create_default_context(cafile=running.ca_pem_path)
        tls = context.wrap_bio(incoming, outgoing, server_hostname="mx.a.test")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await client.stream.send_all(outgoing.read())
                incoming.write(await client.raw())
        tls.write(b"EHLO out.test\r\n")
        await client.stream.send_all(outgoing.read())  # our Finished and EHLO, in one segment
        while True:
            incoming.write(await client.raw())
            try:
                answer = tls.read()
                break
            except ssl.SSLWantReadError:  # session tickets
                pass
    assert answer.startswith(b"250-mx.a.test")


async def test_flights_within_tls_are_not_cut_into_records() -> None:
    world = World()
    world.domain("a.test")
    people = [f"{'r' * 50}{i}@a.test" for i in range(400)]  # 30 kB: two records
    async with serve(world) as running, connect(running, "mx.a.test") as client:
        await client.start_tls(running, "mx.a.test")
        await client.ask("EHLO out.test")
        await client.deliver(*people)
    assert world.ledger.sessions[0].flight_sizes("RCPT") == [400]
