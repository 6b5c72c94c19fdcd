"""Credentials leave over a verified connection, or where the user says so, and are shown nowhere."""

from __future__ import annotations

import ssl

import pytest
from smtp_peer import Peer, listening, route
from tls_authority import OPPORTUNISTIC, REQUIRED, VERIFIED

from bulkmail.transport.approach import Approach, Credentials, TlsPolicy
from bulkmail.transport.dial import Unreachable
from bulkmail.transport.stage import Stage


def auth_host(context: ssl.SSLContext, heard: list[str], reply: str = "235 2.7.0 welcome"):
    async def host(peer: Peer) -> None:
        await peer.hello("STARTTLS", "AUTH PLAIN")
        while True:
            line = await peer.hear()
            heard.append(line)
            if line == "STARTTLS":
                await peer.say("220 go")
                await peer.start_tls(context)
                await peer.answer_ehlo("AUTH PLAIN")
            else:
                await peer.say(reply if line.startswith("AUTH") else "221 bye")

    return host


ANN = Credentials("ann", "s3cret-passw0rd")


async def test_credentials_are_sent_over_verified_tls(authority):
    heard: list[str] = []
    async with listening(auth_host(authority.server("relay.test"), heard)) as port:
        dialer = authority.dialer(port, OPPORTUNISTIC, credentials=ANN)  # they raise it to verified
        connection = await dialer.open(route(("relay.test", ["127.0.0.1"])))
        await connection.quit()
    assert [line.split()[0] for line in heard] == ["STARTTLS", "AUTH", "QUIT"]


async def test_credentials_never_leave_without_a_verified_certificate(authority):
    """S5."""
    heard: list[str] = []
    async with listening(auth_host(authority.server("other.test"), heard)) as port:
        dialer = authority.dialer(port, REQUIRED, credentials=ANN)
        with pytest.raises(Unreachable, match="Hostname mismatch"):
            await dialer.open(route(("relay.test", ["127.0.0.1"])))
    assert heard == ["STARTTLS"]


async def test_credentials_leave_in_clear_text_only_if_the_user_says_so(authority):
    """S5."""
    heard: list[str] = []
    async with listening(auth_host(authority.server("relay.test"), heard)) as port:
        dialer = authority.dialer(port, TlsPolicy.NONE, credentials=ANN, insecure_auth=True)
        connection = await dialer.open(route(("relay.test", ["127.0.0.1"])))
        await connection.quit()
    assert [line.split()[0] for line in heard] == ["AUTH", "QUIT"]


async def test_a_refused_password_is_a_verdict_and_is_shown_nowhere(authority):
    """P4."""
    heard: list[str] = []
    host = auth_host(authority.server("relay.test"), heard, "535 5.7.8 wrong")
    async with listening(host) as port:
        dialer = authority.dialer(port, VERIFIED, credentials=ANN)
        with pytest.raises(Unreachable) as caught:
            await dialer.open(route(("relay.test", ["127.0.0.1"])))
    (attempt,) = caught.value.attempts
    assert (attempt.stage, attempt.reply.code) == (Stage.AUTH, 535)
    assert ANN.password not in repr(caught.value) + repr(attempt) + repr(dialer.approach)


def test_a_tls_policy_that_credentials_raise():
    policy = Approach(25, "out.acme.test", OPPORTUNISTIC, credentials=ANN).posture
    assert policy is VERIFIED
