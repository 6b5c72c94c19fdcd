"""From a connected socket to a connection on which MAIL may be said: greeting, EHLO, STARTTLS, AUTH.

Each step returns None, or a `Refusal` that says at which stage and why this connection is of no use. What
that means (another host, another connection in clear text, later) is decided in `dial`.
RFC 5321 section 3.1 and 3.2, RFC 3207, RFC 4954.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from bulkmail.errors import ConversationEnded, RemoteProtocolError, ReplyTimeout, TlsRefused
from bulkmail.smtp import command as smtp
from bulkmail.smtp import sasl
from bulkmail.smtp.command import Command
from bulkmail.smtp.reply import Reply
from bulkmail.transport.approach import Approach, Credentials, TlsPolicy
from bulkmail.transport.connection import Connection
from bulkmail.transport.stage import Stage

ROUNDS = 8  # of challenge and response; SCRAM needs three


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the connection is of no use. Where the host said it, `reply` has it; else `failure` does."""

    stage: Stage
    reply: Reply | None
    failure: ConversationEnded | None = None

    @property
    def error(self) -> str:
        """For people; "" where the reply says it."""
        return "" if self.reply is not None else str(self.failure)

    @property
    def timed_out(self) -> bool:
        return self.reply is None and isinstance(self.failure, ReplyTimeout)


async def greet(connection: Connection, approach: Approach) -> Refusal | None:
    """Await the greeting, inside TLS where that is implicit."""
    if approach.implicit_tls:
        try:
            context = approach.verifying if approach.posture is TlsPolicy.VERIFIED else approach.lax
            await connection.start_tls(context, implicit=True)
        except TlsRefused as refused:
            return Refusal(Stage.STARTTLS, None, refused)
    reply, failure = await _ask(connection, None)
    if reply is None or not reply.positive:
        return Refusal(Stage.GREETING, reply, failure)
    return None


async def introduce(connection: Connection, approach: Approach, *, clear: bool) -> Refusal | None:
    """EHLO, STARTTLS, AUTH as the approach wants them. `clear`: opportunistic TLS is known not to work."""
    posture = approach.posture
    refusal = await _hello(connection, approach)
    if refusal is None and connection.tls is None and posture is not TlsPolicy.NONE and not clear:
        refusal = await _encrypt(connection, approach)
    if refusal is None and approach.credentials is not None:
        refusal = await _authenticate(connection, approach, approach.credentials)
    return refusal


async def _ask(
    connection: Connection, command: Command | None
) -> tuple[Reply | None, ConversationEnded | None]:
    flight = await connection.exchange(() if command is None else (command,))
    return (flight.replies[0] if flight.replies else None), flight.failure


async def _hello(connection: Connection, approach: Approach) -> Refusal | None:
    reply, failure = await _ask(connection, smtp.Ehlo(approach.ehlo))
    plain = approach.credentials is None and approach.posture in (TlsPolicy.NONE, TlsPolicy.OPPORTUNISTIC)
    if reply is not None and reply.permanent and failure is None and plain and connection.tls is None:
        # Older than 1995, or a filter that thinks so (G4, RFC 5321 section 3.2).
        reply, failure = await _ask(connection, smtp.Helo(approach.ehlo))
    if reply is None or not reply.positive or failure is not None:
        return Refusal(Stage.EHLO, reply, failure)
    return None


async def _encrypt(connection: Connection, approach: Approach) -> Refusal | None:
    optional = approach.posture is TlsPolicy.OPPORTUNISTIC
    if not connection.extensions.starttls:
        return None if optional else Refusal(Stage.STARTTLS, None, TlsRefused("STARTTLS is not offered"))
    reply, failure = await _ask(connection, smtp.StartTls())
    if failure is not None or reply is None:
        return Refusal(Stage.STARTTLS, reply, failure)
    if not reply.positive:
        return None if optional else Refusal(Stage.STARTTLS, reply)
    try:
        verified = approach.posture is TlsPolicy.VERIFIED
        await connection.start_tls(approach.verifying if verified else approach.lax)
    except (TlsRefused, RemoteProtocolError) as refused:
        return Refusal(Stage.STARTTLS, None, refused)
    refusal = await _hello(connection, approach)
    if refusal is not None and refusal.reply is None and not isinstance(refusal.failure, RemoteProtocolError):
        # In TLS 1.3 a client learns only from its first read that the server did not like the handshake.
        return Refusal(Stage.STARTTLS, None, TlsRefused(f"nothing came through TLS: {refusal.failure}"))
    return refusal


async def _authenticate(connection: Connection, approach: Approach, user: Credentials) -> Refusal | None:
    if not approach.insecure_auth and not (connection.tls is not None and connection.tls.verified):
        return Refusal(Stage.AUTH, None, TlsRefused("the password is not sent without verified TLS"))
    mechanism = _mechanism(connection.extensions.auth, user)
    if mechanism is None:
        offered = ", ".join(sorted(connection.extensions.auth)) or "none"
        return Refusal(Stage.AUTH, None, TlsRefused(f"no common SASL mechanism; offered: {offered}"))
    command: Command = smtp.Auth(mechanism.name, mechanism.initial())
    broken: RemoteProtocolError | None = None
    for _ in range(ROUNDS):
        reply, failure = await _ask(connection, command)
        if broken is not None:
            return Refusal(Stage.AUTH, None, broken)
        if reply is None or failure is not None:
            return Refusal(Stage.AUTH, reply, failure)
        if not reply.intermediate:
            return None if reply.positive else Refusal(Stage.AUTH, reply)
        try:
            challenge = base64.b64decode(reply.lines[0].strip(), validate=True)
            command = smtp.AuthResponse(mechanism.respond(challenge))
        except (RemoteProtocolError, binascii.Error) as error:
            # The challenge is not repeated here: it may hold what the password can be guessed from.
            if isinstance(error, RemoteProtocolError):
                broken = error
            else:
                broken = RemoteProtocolError("a challenge that is not base64")
            command = smtp.AuthAbort()
    return Refusal(Stage.AUTH, None, RemoteProtocolError("endless challenges"))


def _mechanism(offered: frozenset[str], user: Credentials) -> sasl.Mechanism | None:
    wanted = user.mechanism.upper() if user.mechanism else None
    if wanted == "XOAUTH2":
        return sasl.XOAuth2(user.user, user.password) if wanted in offered else None
    return sasl.choose(offered if wanted is None else offered & {wanted}, user.user, user.password)
