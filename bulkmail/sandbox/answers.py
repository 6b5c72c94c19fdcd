"""What the usual host answers to each event of a session: plain functions of the world, no I/O.

One `Answers` per connection holds the transaction. It is strict where a strict server is the better witness:
8-bit content where 8BITMIME is not offered, bare CR or LF, recipients of domains that the host does not
serve are all refused. Departures by stage are not its business; those by recipient are.
"""

from __future__ import annotations

import base64

import trio

from bulkmail.sandbox.behaviour import Manner, Said
from bulkmail.sandbox.ledger import Received, Session
from bulkmail.sandbox.names import Domain, Host
from bulkmail.sandbox.sasl import MECHANISMS, Exchange
from bulkmail.sandbox.world import World
from bulkmail.smtp import (
    Auth,
    AuthAbort,
    AuthResponse,
    Chunk,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Mail,
    Mailbox,
    Message,
    Noop,
    Quit,
    Rcpt,
    Refused,
    Reply,
    Rset,
    ServerProtocol,
    StartTls,
    Vrfy,
)

Event = Command | Message | Chunk | Refused

_SENDER_OK = Reply.of(250, "Sender OK", enhanced="2.1.0")
_RECIPIENT_OK = Reply.of(250, "Recipient OK", enhanced="2.1.5")
_GO_AHEAD = Reply.of(354, "End data with <CR><LF>.<CR><LF>")
_OK = Reply.of(250, "OK", enhanced="2.0.0")
_READY_FOR_TLS = Reply.of(220, "Ready to start TLS", enhanced="2.0.0")
_NO_TLS_NOW = Reply.of(454, "TLS not available due to temporary reason", enhanced="4.7.0")
_BYE = Reply.of(221, "Bye", enhanced="2.0.0")
_CANNOT_VRFY = Reply.of(252, "Send some mail, I'll try my best", enhanced="2.1.5")
_NOT_EXPN = Reply.of(502, "EXPN not implemented", enhanced="5.5.1")
_TLS_FIRST = Reply.of(530, "Must issue a STARTTLS command first", enhanced="5.7.0")
_AUTH_FIRST = Reply.of(530, "Authentication required", enhanced="5.7.0")
_ONE_DOMAIN = Reply.of(451, "Multiple destination domains per transaction is unsupported", enhanced="4.3.0")
_TOO_MANY = Reply.of(452, "Too many recipients", enhanced="4.5.3")
_TOO_BIG = Reply.of(552, "Message size exceeds fixed limit", enhanced="5.3.4")
_NO_RECIPIENTS = Reply.of(554, "No valid recipients", enhanced="5.5.1")
_EIGHT_BIT = Reply.of(554, "8-bit content, and 8BITMIME is not offered", enhanced="5.6.3")
_BARE = Reply.of(550, "Bare CR or LF in the content", enhanced="5.6.0")
_LOGGED_IN = Reply.of(235, "Authentication successful", enhanced="2.7.0")
_BAD_LOGIN = Reply.of(535, "Authentication credentials invalid", enhanced="5.7.8")
_BAD_MECHANISM = Reply.of(504, "Mechanism not supported", enhanced="5.5.4")
_ABORTED = Reply.of(501, "Authentication aborted", enhanced="5.0.0")


class Answers:
    """One connection's transaction. `shared`: the address is no host's own, so the recipient decides."""

    def __init__(
        self, world: World, host: Host, session: Session, protocol: ServerProtocol, *, shared: bool
    ) -> None:
        self._world, self.host, self._session, self._protocol = world, host, session, protocol
        self._shared = shared
        self._messages = 0  # taken on this connection
        self._mails = 0
        self._login: Exchange | None = None
        self._reverse_path: Mailbox | None = None
        self._recipients: list[str] = []
        self._domains: list[str] = []
        self._refused = 0  # RCPTs of this transaction that the wire heard refused

    @property
    def manner(self) -> Manner:
        return self.host.manner

    def keywords(self) -> tuple[str, ...]:
        return self.manner.announces(encrypted=self._session.tls)

    def usual(self, event: Event) -> Reply | Said:
        """The answer, acted on: a recipient is remembered, a message recorded."""
        match event:
            case Rcpt():
                return self._rcpt(event)
            case Mail():
                return self._mail(event)
            case Message(content):
                return self._message(content)
            case Data():
                return _GO_AHEAD
            case Chunk():
                return _OK
            case Rset():
                self._reset()
                return _OK
            case Noop():
                return _OK
            case Ehlo(name):
                self._hello(name)
                return Reply.of(250, f"{self.host.name} greets {name}", *self.keywords())
            case Helo(name):
                self._hello(name)
                return Reply.of(250, self.host.name)
            case StartTls():
                return _NO_TLS_NOW if self.manner.tls == "refused" else _READY_FOR_TLS
            case Auth(mechanism, initial):
                return self._auth(mechanism, initial)
            case AuthResponse(data):
                return self._go_on(data)
            case AuthAbort():
                self._login = None
                return _ABORTED
            case Quit():
                return _BYE
            case Vrfy():
                return _CANNOT_VRFY
            case Expn():
                return _NOT_EXPN
            case Refused(reply, command):
                if isinstance(command, Data) and self.manner.always_354 and self._refused:
                    return _GO_AHEAD
                return reply
            case _:
                raise AssertionError(f"no event of a server: {event!r}")

    def forget(self) -> None:
        """The session begins anew over TLS (RFC 3207 section 4.2)."""
        self._session.helo = ""
        self._reset()

    def named(self, sni: str | None) -> None:
        """TLS asked for a host by name: on a shared address that says who is meant."""
        host = self._world.hosts.get(sni.lower()) if self._shared and sni else None
        if host is not None:
            self.host = host
            self._session.host = host.name

    def _hello(self, name: str) -> None:
        self._session.helo = name
        self._reset()

    def _reset(self) -> None:
        self._reverse_path = None
        self._recipients, self._domains, self._refused = [], [], 0

    # --- the envelope -----------------------------------------------------------------------------------

    def _mail(self, mail: Mail) -> Reply | Said:
        manner, session, host = self.manner, self._session, self.host
        if manner.tls == "required" and not session.tls:
            return _TLS_FIRST
        if manner.users and not session.user:
            return _AUTH_FIRST
        if manner.close_after is not None and self._messages >= manner.close_after:
            return Said(raw=manner.close_after_reply)
        most = self._protocol.announced.limits.mailmax
        if most is not None and self._mails >= most:
            return Said(raw=manner.close_after_reply)
        if manner.quota is not None and host.messages >= manner.quota:
            host.refused += 1
            if manner.quota_refusals is not None and host.refused >= manner.quota_refusals:
                host.messages = host.refused = 0
            return Said(raw=manner.quota_reply)
        if manner.provider is not None:
            refused = manner.provider.mail(session.client, trio.current_time())
            if refused is not None:
                return refused
        self._reset()
        self._mails += 1
        self._reverse_path = mail.reverse_path
        return _SENDER_OK

    def _rcpt(self, rcpt: Rcpt) -> Reply | Said:
        said = self._judge(rcpt.forward_path)
        if isinstance(said, Said):
            if said.raw is None or said.code is None or said.code >= 400:
                self._refused += 1
                return said
        elif not said.positive:
            self._refused += 1
            return said
        self._recipients.append(str(rcpt.forward_path))
        name = rcpt.forward_path.domain.decode()
        if name not in self._domains:
            self._domains.append(name)
        return said

    def _judge(self, path: Mailbox) -> Reply | Said:
        name = path.domain.decode()
        manner = self.manner
        if not manner.relay:
            domain = self._world.find(name)
            if domain is None or not self._is_ours(domain):
                return Reply.of(550, f"Relay access denied: {name} is not ours", enhanced="5.7.1")
            manner = self.manner
            said = self._world.verdict(domain, path.local.decode())
            # who greylists knows the sender, too: under another reverse-path one begins anew (X13)
            if said is not None and self._world.holds(said, "RCPT TO", str(path), str(self._reverse_path)):
                if manner.provider is not None and said.raw is not None and said.raw.startswith(b"550 5.1."):
                    manner.provider.unknown(self._session.client, trio.current_time())
                return said
        if manner.rcpt_limit is not None and len(self._recipients) >= manner.rcpt_limit:
            return Said(raw=manner.rcpt_limit_reply)
        if name not in self._domains and self._domains and manner.one_domain:
            return _ONE_DOMAIN
        limits = self._protocol.announced.limits
        if limits.rcptmax is not None and len(self._recipients) >= limits.rcptmax:
            return _TOO_MANY
        most = limits.rcptdomainmax
        if most is not None and name not in self._domains and len(self._domains) >= most:
            return _TOO_MANY
        if manner.provider is not None:
            sender = str(self._reverse_path)
            refused = manner.provider.rcpt(self._session.client, sender, str(path), trio.current_time())
            if refused is not None:
                return refused
        return _RECIPIENT_OK

    def _is_ours(self, domain: Domain) -> bool:
        if not self._shared:
            return self._world.serves(self.host, domain)
        if not self._recipients and not self._refused and domain.hosts:
            self.host = domain.hosts[0]  # the first recipient says whom this address stands for
            self._session.host = self.host.name
        return True

    # --- the content ------------------------------------------------------------------------------------

    def _message(self, content: bytes) -> Reply | Said:
        recipients, reverse_path, domains = self._recipients, self._reverse_path, self._domains
        self._reset()
        announced = self._protocol.announced
        if not recipients:
            return _NO_RECIPIENTS
        if announced.size is not None and len(content) > announced.size:
            return _TOO_BIG
        if not announced.eightbitmime and not content.isascii():
            return _EIGHT_BIT
        lines = content.count(b"\r\n")
        if content.count(b"\n") != lines or content.count(b"\r") != lines:
            return _BARE
        self._messages += 1
        self.host.messages += 1
        session, ledger = self._session, self._world.ledger
        if self.manner.provider is not None:
            self.manner.provider.accepted(session.client, trio.current_time())
        ledger.accept(
            Received(
                domain=domains[0],
                host=self.host.name,
                helo=session.helo,
                tls=session.tls,
                reverse_path="" if reverse_path is None else str(reverse_path),
                recipients=tuple(recipients),
                content=content,
                session=session.id,
                user=session.user,
            )
        )
        return Reply.of(250, f"OK queued as {ledger.transactions}", enhanced="2.0.0")

    # --- AUTH -------------------------------------------------------------------------------------------

    def _auth(self, name: str, initial: bytes | None) -> Reply:
        if name not in self.manner.mechanisms or name not in MECHANISMS:
            return _BAD_MECHANISM
        self._login = MECHANISMS[name](self.manner.users, initial)
        return self._go_on(None)

    def _go_on(self, response: bytes | None) -> Reply:
        if self._login is None:
            return _BAD_LOGIN
        try:
            challenge = next(self._login) if response is None else self._login.send(response)
        except StopIteration as done:
            self._login = None
            self._session.user = done.value or ""
            return _BAD_LOGIN if done.value is None else _LOGGED_IN
        return _challenge(challenge)


def _challenge(data: bytes) -> Reply:
    return Reply.of(334, base64.b64encode(data))
