"""What a host does at each stage of the conversation, as plain values.

The usual host says yes to everything. `Said` is one departure from that at one stage: other words, no words,
too many words, silence, delay, an end of the connection. `Manner` is how one host speaks as a whole: its
`Said` by stage, what it announces, and its limits. Nothing here knows sockets; smtp.py acts it out.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bulkmail.sandbox.provider import Provider

STAGES = (
    "CONNECT",
    "GREETING",
    "EHLO",
    "HELO",
    "STARTTLS",
    "AUTH",
    "MAIL",
    "RCPT",
    "DATA",
    "BODY",  # some of the content has come, not all
    "END_OF_DATA",  # the final dot, or the last BDAT chunk
    "BDAT",  # a chunk, whether or not it is the last
    "RSET",
    "NOOP",
    "VRFY",
    "EXPN",
    "QUIT",
)
_OTHER_NAMES = {"DOT": "END_OF_DATA", "EOD": "END_OF_DATA", "RCPT_TO": "RCPT", "MAIL_FROM": "MAIL"}

DEFAULT_EXTENSIONS = (
    "PIPELINING",
    "SIZE 52428800",
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
    "DSN",
    "SMTPUTF8",
    "CHUNKING",
)

Tls = Literal[
    "offered", "none", "refused", "extra", "broken", "untrusted", "wrong-name", "expired", "required"
]
TLS_KINDS: tuple[str, ...] = (
    "offered",
    "none",
    "refused",
    "extra",
    "broken",
    "untrusted",
    "wrong-name",
    "expired",
    "required",
)
Listening = Literal["accept", "refuse", "reset", "black hole"]
Endless = Literal["", "line", "lines"]

# Reply-line = *( Reply-code "-" textstring CRLF ) Reply-code [ SP textstring ] CRLF      (RFC 5321 §4.2)
_WELL_FORMED = re.compile(rb"([2-5][0-5][0-9])(?:-[^\r\n]*\r\n\1)*(?: [^\r\n]*)?\r\n")


def stage_of(stage: object) -> str:
    """The canonical name of a stage, from a string in any case or an enum member. Raises ValueError."""
    name = str(getattr(stage, "name", stage)).upper().replace("-", "_").replace(" ", "_")
    name = _OTHER_NAMES.get(name, name)
    if name not in STAGES:
        near = difflib.get_close_matches(name, STAGES, 1)
        raise ValueError(f"no stage {stage!r}" + (f", did you mean {near[0]}?" if near else ""))
    return name


def line(raw: bytes | str) -> bytes:
    """Raw words for the wire; one CRLF is added where none ends them. Empty stays empty: nothing is said."""
    data = raw.encode() if isinstance(raw, str) else raw
    return data if not data or data.endswith(b"\n") else data + b"\r\n"


def code_of(raw: bytes) -> int | None:
    """The reply code of exactly one well-formed reply, None of anything else (nonsense, 1yz, 6yz)."""
    match = _WELL_FORMED.fullmatch(raw)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Said:
    """One departure from the usual, at one stage or for one recipient."""

    raw: bytes | None = None  # the words on the wire instead of the usual; b"" = no reply at all
    times: int | None = None  # then as usual; None = always
    after: int = 0  # so many times as usual first
    close: bool = False  # the connection is closed after it (a 421 always closes)
    reset: bool = False  # … and with a TCP reset
    accepted: bool = False  # at the end of data: the message is taken before the connection is closed
    delay_s: float = 0.0  # before the reply
    acted: bool = False  # words of refusal, and acted on all the same
    stall: bool = False  # never answered; the connection stays open
    deaf: bool = False  # … and nothing more is read: the peer's window closes
    extra: bytes = b""  # behind the reply
    endless: Endless = ""

    @property
    def code(self) -> int | None:
        return None if self.raw is None else code_of(self.raw)

    def holds(self, count: int) -> bool:
        """Whether it applies the `count`th time (from 1)."""
        if count <= self.after:
            return False
        return self.times is None or count <= self.after + self.times


@dataclass(slots=True)
class Manner:
    """How one host speaks. Mutable: the fluent API and the YAML file build it up before anybody connects."""

    said: dict[str, Said] = field(default_factory=dict)
    listening: Listening = "accept"
    dead_addresses: int = 0  # so many addresses that refuse stand before the live one
    ipv6: Listening | None = None  # ::1 has no other address for another host: one IPv6 kind per world
    without: set[str] = field(default_factory=set)
    with_: list[str] = field(default_factory=list)
    tls: Tls = "offered"
    implicit_tls: bool = False
    seconds_per_byte: float = 0.0
    rcpt_limit: int | None = None  # recipients per transaction
    rcpt_limit_reply: bytes = b"452 4.5.3 Too many recipients\r\n"
    close_after: int | None = None  # messages per connection
    close_after_reply: bytes = b"421 4.7.0 Too many messages on this connection\r\n"
    quota: int | None = None  # messages per host, whatever the connection
    quota_refusals: int | None = None  # after so many refused MAILs the quota begins anew; None: never
    quota_reply: bytes = b"450 4.2.1 Quota exceeded, try again in 2 seconds\r\n"
    idle_s: float | None = None  # so long between transactions, then the connection is closed
    idle_reply: bytes = b"421 4.4.2 Idle for too long\r\n"  # with these words; b"": with none
    max_connections: int | None = None
    max_connections_reply: bytes = b"421 4.7.0 Too many connections from your address\r\n"
    users: dict[str, str] = field(default_factory=dict)
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN", "SCRAM-SHA-256")
    auth_without_tls: bool = False
    relay: bool = False  # takes mail for every domain and has no opinion on recipients
    one_domain: bool = False  # refuses a second domain within one transaction, as Gmail does
    flushes_input: bool = False  # announces PIPELINING and throws away what came behind a command
    always_354: bool = False  # answers DATA with 354 though every recipient was refused
    provider: Provider | None = None  # under whose policy it stands, with other hosts
    withhold: int = 0  # RCPT replies are held back until so many stand, or something else came

    def announces(self, *, encrypted: bool) -> tuple[str, ...]:
        """The EHLO keywords with their parameters, in order (RFC 5321 §4.1.1.1)."""
        mine = {keyword.split(" ", 1)[0].upper() for keyword in self.with_}
        keywords = [k for k in DEFAULT_EXTENSIONS if k.split(" ", 1)[0] not in self.without | mine]
        if not encrypted and self.tls != "none" and "STARTTLS" not in self.without:
            keywords.append("STARTTLS")
        if self.users and (encrypted or self.auth_without_tls):
            keywords.append("AUTH " + " ".join(self.mechanisms))
        return (*keywords, *self.with_)
