"""One conversation with one host, for people: what it says, whether TLS works, whose certificate it has.

`Connection` delivers mail and keeps only what that needs; here every octet is kept, in the order in which it
was said. The certificate is first judged as `tls: verified` judges it, by OpenSSL during the handshake. Where
that fails the host is called once more without judging, as most senders do, so that the certificate can be
looked at and the conversation goes on. Nothing here sends mail: there is no MAIL in it.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime

import trio

from bulkmail.dns.resolver import Resolver
from bulkmail.dns.routes import NoRoute, Routes
from bulkmail.dns.shortage import NO_WAY, in_words
from bulkmail.errors import (
    ConnectionLost,
    ConversationEnded,
    LocalResourceError,
    RemoteProtocolError,
    ReplyTimeout,
    TlsRefused,
)
from bulkmail.smtp import command as smtp
from bulkmail.smtp.client import ClientProtocol
from bulkmail.smtp.command import Command
from bulkmail.smtp.reply import Reply
from bulkmail.transport.approach import TlsInfo
from bulkmail.transport.certificate import read_certificate
from bulkmail.transport.inquiry import Inquiry, Line, Probed
from bulkmail.transport.race import connect_tcp, race
from bulkmail.transport.said import name_of
from bulkmail.transport.stream import Transport
from bulkmail.transport.tls import doubts, handshake

STAGGER_S = 0.25  # between the addresses of a host (RFC 8305 section 5)
LONGEST = 1000  # octets of a line that are kept
CHUNK = 4096  # octets of nonsense that are kept at most, beyond what a reply may have


class _Unverified(Exception):
    """The handshake that judges the certificate failed; the message says why."""


async def probe(inquiry: Inquiry, resolver: Resolver) -> Probed:
    """Look up, connect, talk, say QUIT. Raises LocalResourceError where this machine ran out of something."""
    probed = Probed(inquiry.host, inquiry.port)
    route = await Routes(resolver, allow_private=True).relay(inquiry.host)
    if isinstance(route, NoRoute):
        probed.find("no_address" if route.permanent else "lookup_failed", route.reason)
        return probed
    probed.addresses = route.hosts[0].addresses
    try:
        await _Visit(inquiry, probed).pay(probed.addresses, inquiry.verifying)
    except _Unverified as refused:
        probed.note("once more, without checking the certificate")
        probed.findings = [one for one in probed.findings if one.code == "address_unreachable"]
        await _Visit(inquiry, probed, unverified=str(refused)).pay((probed.address,), inquiry.lax)
    return probed


class _Visit:
    """One connection. `unverified`: why the certificate did not hold, if that is known already."""

    def __init__(self, inquiry: Inquiry, probed: Probed, *, unverified: str = "") -> None:
        self._inquiry, self._probed, self._unverified = inquiry, probed, unverified
        self._protocol = ClientProtocol()
        self._held = b""  # of an unfinished line
        self._arrived = b""  # and not looked at yet
        self._stream: Transport

    async def pay(self, addresses: Sequence[str], context: ssl.SSLContext) -> None:
        """Raises _Unverified if `context` is the verifying one and the handshake fails."""
        stream = await self._connect(addresses)
        if stream is None:
            return
        self._stream = stream
        try:
            await self._talk(context)
        except TlsRefused as refused:
            if context is self._inquiry.verifying:
                raise _Unverified(
                    str(refused).removeprefix("the TLS handshake failed: ").rstrip(".")
                ) from None
            self._probed.find("tls_failed", str(refused))
        except (RemoteProtocolError, ConnectionLost, ReplyTimeout) as ended:
            self._probed.note(str(ended))
            self._probed.find(_ENDS[type(ended)], str(ended))
        finally:
            if self._held:
                self._heard(self._held)
            stream.close()

    async def _connect(self, addresses: Sequence[str]) -> Transport | None:
        inquiry, probed = self._inquiry, self._probed
        result = await race(
            addresses, inquiry.port, connect_tcp, limit_s=inquiry.limit_s, stagger_s=STAGGER_S
        )
        if result.shortage is not None:
            raise LocalResourceError(f"cannot connect: {in_words(result.shortage)}")
        failures = []
        for address, error in result.failures.items():
            failures.append(f"{address} port {inquiry.port}: {in_words(error)}")
            probed.note(failures[-1])
            # where this machine has no way to the address (mostly: no IPv6) the host is not to blame
            if result.stream is not None and error.errno not in NO_WAY:
                probed.find("address_unreachable", failures[-1])
        for address in result.overtaken:
            probed.note(f"{address} port {inquiry.port}: had not answered yet when another did")
        if result.stream is None:
            probed.find("unreachable", f"no connection could be made: {'; '.join(failures)}")
            return None
        probed.address = result.address
        probed.note(f"connected to {result.address} port {inquiry.port}")
        return result.stream

    # --- the conversation ---------------------------------------------------------------------------------

    async def _talk(self, context: ssl.SSLContext) -> None:
        inquiry, probed = self._inquiry, self._probed
        if inquiry.way == "implicit":
            await self._encrypt(context)
        probed.greeting = await self._ask(None)
        if not probed.greeting.positive:
            probed.find("greeting_refused", f"the host greets with a refusal: {probed.greeting.text}")
            return await self._quit()
        if not await self._hello():
            return await self._quit()
        if inquiry.way == "starttls" and await self._may_encrypt():
            await self._encrypt(context)
            if not await self._hello():
                return await self._quit()
        for question in inquiry.questions:
            probed.answers.append((question, await self._ask(question)))
        return await self._quit()

    async def _hello(self) -> bool:
        name = self._inquiry.ehlo or _literal(self._stream.local_address)
        reply = await self._ask(smtp.Ehlo(name))
        if reply.positive:
            self._probed.extensions = tuple(
                line.decode("utf-8", "backslashreplace") for line in reply.lines[1:]
            )
            return True
        self._probed.find("ehlo_refused", f"EHLO is refused: {reply.text}")
        reply = await self._ask(smtp.Helo(name))
        if not reply.positive:
            self._probed.find("helo_refused", f"HELO is refused as well: {reply.text}")
        return reply.positive

    async def _may_encrypt(self) -> bool:
        if not self._protocol.extensions.starttls:
            self._probed.find("starttls_missing", "STARTTLS is not offered: mail comes here in clear text")
            return False
        reply = await self._ask(smtp.StartTls())
        if not reply.positive:
            self._probed.find("starttls_refused", f"STARTTLS is offered and refused: {reply.text}")
            return False
        self._protocol.start_tls()
        return True

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        inquiry, probed = self._inquiry, self._probed
        try:
            stream = await handshake(self._stream, context, inquiry.name, inquiry.limit_s)
        except TlsRefused as refused:
            probed.note(str(refused))
            raise
        self._stream = stream
        der = stream.session.getpeercert(binary_form=True)
        cipher = stream.session.cipher()
        reason = self._unverified
        if reason:
            seen = doubts(der, inquiry.name, datetime.now(UTC))
            reason = reason if seen == "not checked" else f"{reason} ({seen})"
            probed.find("certificate", f"TLS does not hold when it is verified: {reason}")
        probed.tls = TlsInfo(stream.session.version() or "", cipher[0] if cipher else "", not reason, reason)
        probed.note(f"{probed.tls.version}, {probed.tls.cipher}")
        try:
            probed.certificate = read_certificate(der) if der else None
        except ValueError as error:
            probed.find("certificate_unreadable", f"the certificate cannot be read: {error}")

    async def _quit(self) -> None:
        try:
            await self._ask(smtp.Quit())
        except (RemoteProtocolError, ConnectionLost, ReplyTimeout) as ended:
            self._probed.note(str(ended))  # nothing hangs on a good-bye

    # --- octets -------------------------------------------------------------------------------------------

    async def _ask(self, command: Command | None) -> Reply:
        """The reply to `command`; to None, the greeting. Raises what ended the conversation."""
        if self._protocol.closing and not isinstance(command, smtp.Quit):
            raise ConnectionLost("the host is closing the connection")
        with trio.move_on_after(self._inquiry.limit_s):
            try:
                if command is not None:
                    await self._say(self._protocol.send(command))
                return await self._answer()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as broken:
                cause = broken.__cause__
                reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else "closed"
                raise ConnectionLost(f"the connection was lost: {reason}") from None
        awaited = "the greeting" if command is None else f"the reply to {name_of(command)}"
        raise ReplyTimeout(f"no end of {awaited} within {self._inquiry.limit_s:g} s")

    async def _say(self, octets: bytes) -> None:
        self._probed.lines.append(Line(">", octets.removesuffix(b"\r\n")))
        await self._stream.send_all(octets)

    async def _answer(self) -> Reply:
        while True:
            # in parts, so that no more nonsense is kept than CHUNK
            arrived = self._arrived or await self._stream.receive_some()
            octets, self._arrived = arrived[:CHUNK], arrived[CHUNK:]
            *whole, self._held = (self._held + octets).split(b"\n")
            for line in whole:
                self._heard(line.removesuffix(b"\r"))
            if not octets:
                raise ConnectionLost("the host closed the connection")
            for answer in self._protocol.receive(octets):
                return answer.reply

    def _heard(self, line: bytes) -> None:
        rest = len(line) - LONGEST
        shown = line if rest <= 0 else line[:LONGEST] + b" ... and %d octets more" % rest
        self._probed.lines.append(Line("<", shown))


_ENDS: dict[type[ConversationEnded], str] = {
    RemoteProtocolError: "protocol_error",
    ConnectionLost: "connection_lost",
    ReplyTimeout: "timeout",
}


def _literal(address: str) -> str:
    """RFC 5321 section 4.1.3."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
