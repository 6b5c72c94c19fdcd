"""TLS over real sockets: STARTTLS and implicit, what is verified, what is fallen back to, what is refused."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from smtp_peer import CONTENT, SENDER, Peer, approach, introduced, listening, rcpt, route

from bulkmail.smtp.command import Data, EndOfData
from bulkmail.transport.approach import Approach, Credentials, TimeLimits, TlsPolicy, make_contexts
from bulkmail.transport.connection import Connection
from bulkmail.transport.dial import DeadAddresses, Dialer, Unreachable
from bulkmail.transport.stage import Stage
from bulkmail.transport.stream import Metered

OPPORTUNISTIC, REQUIRED, VERIFIED = TlsPolicy.OPPORTUNISTIC, TlsPolicy.REQUIRED, TlsPolicy.VERIFIED
MX = route(("mx.a.test", ["127.0.0.1"]))


class Authority:
    """A certificate authority that our verifying context trusts, and certificates by it."""

    def __init__(self, path: Path) -> None:
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(path / "ca.pem"))
        self.contexts = make_contexts(str(path / "ca.pem"))
        self.asked_for: list[str | None] = []

    def server(self, *names: str, ca: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (ca or self._ca).issue_cert(*names).configure_cert(context)
        context.sni_callback = lambda _, name, __: self.asked_for.append(name)
        return context

    def dialer(self, port: int, tls: TlsPolicy, **other: object) -> Dialer:
        verifying, lax = self.contexts
        return Dialer(
            approach(port, tls, verifying=verifying, lax=lax, **other),
            dead=DeadAddresses(),
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def forgotten(authority: Authority) -> None:
    authority.asked_for.clear()


async def rest(peer: Peer) -> None:
    """Whatever comes, until QUIT."""
    while True:
        match await peer.hear():
            case "QUIT":
                return await peer.say("221 bye")
            case "DATA":
                await peer.say("354 go")
                await peer.hear_content()
                await peer.say("250 taken")
            case _:
                await peer.say("250 ok")


def starttls(context: ssl.SSLContext, *after: str):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "STARTTLS", "SIZE 1000")
        match await peer.hear():
            case "STARTTLS":
                await peer.say("220 go")
                await peer.start_tls(context)
                await peer.answer_ehlo("PIPELINING", *after)
                await rest(peer)
            case "QUIT":
                await peer.say("221 bye")
            case _:
                await peer.say("250 ok")
                await rest(peer)

    return host


async def test_the_server_name_asked_for_is_the_mx_host_and_its_certificate_is_verified(authority):
    """S6."""
    async with listening(starttls(authority.server("mx.a.test"))) as port:
        connection = await authority.dialer(port, VERIFIED).open(MX)
        flight = await connection.exchange([SENDER, rcpt("ann"), Data(), EndOfData(CONTENT)])
        await connection.quit()
    assert authority.asked_for == ["mx.a.test"]
    assert (connection.tls.verified, connection.tls.note, flight.replies[-1].code) == (True, "", 250)


async def test_extensions_announced_before_tls_are_forgotten(authority):
    """S3."""
    async with listening(starttls(authority.server("mx.a.test"), "DSN")) as port:
        connection = await authority.dialer(port, OPPORTUNISTIC).open(MX)
        found = connection.extensions
        await connection.quit()
    assert (found.size, found.starttls, found.dsn) == (None, False, True)


@pytest.mark.parametrize("names", [["mx.a.test"], ["other.test"]])
async def test_opportunistic_tls_takes_any_certificate_and_notes_what_is_wrong(authority, names):
    """S5."""
    async with listening(starttls(authority.server(*names))) as port:
        connection = await authority.dialer(port, OPPORTUNISTIC).open(MX)
        tls = connection.tls
        await connection.quit()
    assert (tls.verified, tls.note) == (
        False,
        "not checked" if names == ["mx.a.test"] else "not for mx.a.test",
    )


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


async def test_a_reply_too_many_inside_tls_is_noticed_while_idle(authority):
    """G8: it may be in a record of its own, decrypted by nobody yet."""
    said = trio.Event()

    async def host(peer: Peer) -> None:
        await peer.hello("STARTTLS")
        await peer.hear("STARTTLS")
        await peer.say("220 go")
        await peer.start_tls(authority.server("mx.a.test"))
        await peer.answer_ehlo("PIPELINING")
        await peer.hear("MAIL")
        raw = peer.stream.transport_stream
        records: list[bytes] = []
        send, raw.send_all = raw.send_all, lambda data: _collect(records, data)
        await peer.say("250 ok")
        await peer.say("250 and one more")
        raw.send_all = send
        await raw.send_all(b"".join(records))  # two records in one packet
        said.set()
        await trio.sleep_forever()

    async with listening(host) as port:
        connection = await authority.dialer(port, VERIFIED).open(MX)
        await connection.exchange([SENDER])
        await said.wait()
        assert not connection.quiet
        connection.abandon()


class Clogged(Metered):
    """Takes a thousand octets of a write once `clogged`, and then no more."""

    clogged = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.clogged:
            self.handed += 1000
            await trio.sleep_forever()
        await super().send_all(data)


async def test_records_that_were_not_taken_whole_do_not_count_as_handed_over(authority):
    """P2: some of what was encrypted together left us, the last octet did not."""
    ours, theirs = trio.testing.memory_stream_pair()
    clogged = Clogged(ours)

    async def host(peer: Peer) -> None:
        await peer.start_tls(authority.server("mx.a.test"))
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "354 go")
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(host, Peer(theirs))
        connection = Connection(clogged, host="mx.a.test")
        await connection.start_tls(authority.contexts[0], implicit=True)
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann"), Data()])
        clogged.clogged = True
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel_when_blocked, scope)
            await connection.exchange([EndOfData(CONTENT)])
        assert (connection.interrupted.handed_over, connection.interrupted.sent) == (False, 0)
        nursery.cancel_scope.cancel()


async def _cancel_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


async def _collect(records: list[bytes], data: bytes) -> None:
    records.append(bytes(data))


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
