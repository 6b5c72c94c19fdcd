"""TLS over real sockets: STARTTLS and implicit, what is verified, what is fallen back to, what is refused."""

from __future__ import annotations

import pytest
import trustme
from smtp_peer import CONTENT, SENDER, Peer, listening, rcpt, route
from tls_authority import MX, OPPORTUNISTIC, REQUIRED, VERIFIED, rest, starttls

from bulkmail.smtp.command import Data, EndOfData
from bulkmail.transport.approach import TimeLimits
from bulkmail.transport.dial import Unreachable
from bulkmail.transport.stage import Stage


async def test_the_server_name_asked_for_is_the_mx_host_and_its_certificate_is_verified(authority):
    """S6."""
    async with listening(starttls(authority.server("mx.a.test"))) as port:
        connection = await authority.dialer(port, VERIFIED).open(MX)
        flight = await connection.exchange([SENDER, rcpt("ann"), Data(), EndOfData(CONTENT)])
        await connection.quit()
    assert authority.asked_for == ["mx.a.test"]
    assert (connection.tls.verified, flight.replies[-1].code) == (True, 250)


async def test_extensions_announced_before_tls_are_forgotten(authority):
    """S3."""
    async with listening(starttls(authority.server("mx.a.test"), "DSN")) as port:
        connection = await authority.dialer(port, OPPORTUNISTIC).open(MX)
        found = connection.extensions
        await connection.quit()
    assert (found.size, found.starttls, found.dsn) == (None, False, True)


@pytest.mark.parametrize("names", [["mx.a.test"], ["other.test"]])
async def test_opportunistic_tls_takes_any_certificate_and_says_that_it_was_not_verified(authority, names):
    """S5."""
    async with listening(starttls(authority.server(*names))) as port:
        connection = await authority.dialer(port, OPPORTUNISTIC).open(MX)
        tls = connection.tls
        await connection.quit()
    assert (tls.version, tls.verified) == ("TLSv1.3", False)


@pytest.mark.parametrize(
    ("names", "foreign", "reason"),
    [
        (["other.test"], False, "Hostname mismatch"),
        (["mx.a.test"], True, "unable to get local issuer certificate"),
    ],
)
async def test_verified_tls_refuses_a_certificate_that_does_not_hold_and_says_why(
    authority, names, foreign, reason
):
    """S5."""
    context = authority.server(*names, ca=trustme.CA() if foreign else None)
    async with listening(starttls(context)) as port:
        with pytest.raises(Unreachable) as caught:
            await authority.dialer(port, VERIFIED).open(MX)
    (attempt,) = caught.value.attempts
    assert (attempt.stage, attempt.reply) == (Stage.STARTTLS, None)
    assert reason in attempt.error


@pytest.mark.parametrize("tls", [OPPORTUNISTIC, REQUIRED, VERIFIED])
async def test_starttls_not_offered_means_clear_text_or_not_at_all(authority, tls):
    """S1."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await rest(peer)

    async with listening(host) as port:
        dialer = authority.dialer(port, tls)
        if tls is OPPORTUNISTIC:
            connection = await dialer.open(MX)
            assert (connection.tls, connection.usable) == (None, True)
            await connection.quit()
        else:
            with pytest.raises(Unreachable, match="STARTTLS is not offered"):
                await dialer.open(MX)


@pytest.mark.parametrize("tls", [OPPORTUNISTIC, REQUIRED])
async def test_starttls_refused_means_clear_text_on_the_same_connection_or_not_at_all(authority, tls):
    """S1."""

    async def host(peer: Peer) -> None:
        await peer.hello("STARTTLS")
        await peer.hear("STARTTLS")
        await peer.say("454 4.7.0 not now")
        await rest(peer)

    async with listening(host) as port:
        dialer = authority.dialer(port, tls)
        if tls is OPPORTUNISTIC:
            connection = await dialer.open(MX)
            assert (connection.tls, connection.usable) == (None, True)
            await connection.quit()
        else:
            with pytest.raises(Unreachable) as caught:
                await dialer.open(MX)
            assert [(a.stage, a.reply.code) for a in caught.value.attempts] == [(Stage.STARTTLS, 454)]


@pytest.mark.parametrize("tls", [OPPORTUNISTIC, REQUIRED])
async def test_bytes_behind_the_220_to_starttls_abort_the_connection(authority, tls):
    """S2."""
    sessions = 0

    async def host(peer: Peer) -> None:
        nonlocal sessions
        sessions += 1
        await peer.hello("STARTTLS")
        await peer.hear("STARTTLS")
        await peer.say("220 go", "250-mx.evil.test", "250 AUTH PLAIN")
        await peer.eof()

    async with listening(host) as port:
        with pytest.raises(Unreachable) as caught:
            await authority.dialer(port, tls).open(MX)
    assert (sessions, [attempt.stage for attempt in caught.value.attempts]) == (1, [Stage.STARTTLS])


async def garbage(peer: Peer) -> None:
    await peer.take(1)  # of the ClientHello; any earlier, and it would stand behind the 220 (S2)
    await peer.say("This is not a TLS record at all")


async def hang_up(peer: Peer) -> None:
    await peer.close()


async def say_nothing(peer: Peer) -> None:
    await peer.eof()


@pytest.mark.parametrize("instead", [garbage, hang_up, say_nothing])
@pytest.mark.parametrize("tls", [OPPORTUNISTIC, REQUIRED])
async def test_a_failing_handshake_means_one_new_connection_in_clear_text_or_none(authority, instead, tls):
    """S4."""
    sessions: list[str] = []

    async def host(peer: Peer) -> None:
        await peer.hello("STARTTLS")
        sessions.append(line := await peer.hear())
        if line == "STARTTLS":
            await peer.say("220 go")
            await instead(peer)
        else:
            await peer.say("250 ok")
            await rest(peer)

    async with listening(host) as port:
        dialer = authority.dialer(port, tls, time_limits=TimeLimits(tls=0.05))
        told: list[str] = []
        dialer.on_clear_text = told.append
        if tls is REQUIRED:
            with pytest.raises(Unreachable, match="TLS handshake") as caught:
                await dialer.open(MX)
            assert [attempt.stage for attempt in caught.value.attempts] == [Stage.STARTTLS]
            return
        for _ in range(2):  # the second time it is remembered
            connection = await dialer.open(MX)
            flight = await connection.exchange([SENDER])
            assert (connection.tls, flight.replies[0].code) == (None, 250)
            await connection.quit()
    assert [line.split()[0] for line in sessions] == ["STARTTLS", "MAIL", "MAIL"]
    assert bool(told) is (
        instead is garbage
    )  # for others, and for tomorrow: only what was no moment's trouble


@pytest.mark.parametrize("tls", [REQUIRED, VERIFIED])
async def test_tls_from_the_first_octet(authority, tls):
    async def host(peer: Peer) -> None:
        await peer.start_tls(authority.server("relay.test"))
        await peer.hello("PIPELINING")
        await rest(peer)

    async with listening(host) as port:
        dialer = authority.dialer(port, tls, implicit_tls=True)
        connection = await dialer.open(route(("relay.test", ["127.0.0.1"])))
        flight = await connection.exchange([SENDER, rcpt("ann"), Data(), EndOfData(CONTENT)])
        await connection.quit()
    assert (connection.tls.verified, flight.replies[-1].code) == (tls is VERIFIED, 250)
    assert authority.asked_for == ["relay.test"]


async def test_a_relay_named_by_its_address_has_its_certificate_verified_for_that_address(authority):
    """S6."""
    by_address = route(("127.0.0.1", ["127.0.0.1"]))
    async with listening(starttls(authority.server("127.0.0.1"))) as port:
        connection = await authority.dialer(port, VERIFIED).open(by_address)
        await connection.quit()
    assert (connection.tls.verified, authority.asked_for) == (True, [None])
    async with listening(starttls(authority.server("relay.test"))) as port:
        with pytest.raises(Unreachable, match="IP address mismatch"):
            await authority.dialer(port, VERIFIED).open(by_address)
