"""A submission relay: users, mechanisms, quotas, implicit TLS."""

from __future__ import annotations

import smtplib
import ssl

import pytest
import trio
from sandbox_client import connect, with_smtplib

from bulkmail.sandbox import World, serve
from bulkmail.smtp import ScramSha256

MESSAGE = b"Subject: x\r\n\r\n.leading dot\r\n\r\n..two\r\nend\r\n"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize(("password", "codes"), [("secret", [235, 250]), ("wrong", [535, 530])])
async def test_a_relay_knows_its_users(mechanism: str, password: str, codes: list[int]) -> None:
    world = World()
    world.host("relay.test").set(relay=True).users({"ann": "secret"})

    def work(client: smtplib.SMTP) -> None:
        client.starttls(context=ssl.create_default_context(cafile=path))
        client.ehlo()
        client.user, client.password = "ann", password  # type: ignore[assignment]
        scram = ScramSha256("ann", password)

        def respond(challenge: bytes | None = None) -> str:
            answer = scram.initial() if challenge is None else scram.respond(challenge)
            return (answer or b"").decode()

        by_name = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login, "SCRAM-SHA-256": respond}
        try:
            found.append(client.auth(mechanism, by_name[mechanism])[0])
        except smtplib.SMTPAuthenticationError as refused:
            found.append(refused.smtp_code)
        found.append(client.mail("a@out.test")[0])

    found: list[int] = []
    async with serve(world) as running:
        path = str(running.ca_pem_path)
        await with_smtplib(running, "relay.test", work)
    assert found == codes
    assert world.ledger.sessions[0].user == ("ann" if password == "secret" else "")


async def test_a_relay_offers_no_auth_in_clear_text() -> None:
    world = World()
    world.host("relay.test").set(relay=True).users({"ann": "secret"})
    async with serve(world) as running, connect(running, "relay.test") as client:
        assert await client.ask("AUTH PLAIN AGFubgBzZWNyZXQ=", "MAIL FROM:<>") == [502, 530]


async def test_a_quota_of_a_relay_begins_anew() -> None:
    world = World()
    world.host("relay.test").set(relay=True).quota(1, refusals=2)
    async with serve(world) as running, connect(running, "relay.test") as client:
        await client.deliver("x@anywhere.example")
        refused = [await client.ask("MAIL FROM:<>") for _ in range(2)]
        again = await client.deliver("x@anywhere.example")
    assert (refused, again) == ([[450], [450]], [250, 250, 354, 250])


async def test_implicit_tls_comes_before_the_greeting() -> None:
    world = World()
    world.host("relay.test").set(relay=True, implicit_tls=True)

    def session() -> None:
        context = ssl.create_default_context(cafile=path)
        with smtplib.SMTP_SSL(address, port, "out.test", context=context_for(context), timeout=30) as client:
            client.sendmail("a@out.test", "x@b.test", MESSAGE)

    def context_for(context: ssl.SSLContext) -> ssl.SSLContext:
        context.check_hostname = (
            False  # smtplib checks the address it connected to; the chain is still verified
        )
        return context

    async with serve(world) as running:
        path, port, address = running.ca_pem_path, running.smtp_port, running.address("relay.test")
        await trio.to_thread.run_sync(session)
    assert world.ledger.messages[0].tls
