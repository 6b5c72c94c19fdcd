"""A probe as values: what is asked of a host, and what came of it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal

from bulkmail.smtp import command as smtp
from bulkmail.smtp.reply import Reply
from bulkmail.transport.approach import TlsInfo
from bulkmail.transport.certificate import Certificate

Way = Literal["starttls", "implicit", "none"]
Mark = Literal[">", "<", "*"]  # we said, the host said, what happened besides


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked of a host. `name`: what its certificate must be for."""

    host: str
    port: int
    name: str
    way: Way
    verifying: ssl.SSLContext
    lax: ssl.SSLContext
    ehlo: str = ""  # default: our address as a literal
    questions: tuple[smtp.Vrfy | smtp.Expn, ...] = ()
    limit_s: float = 60.0  # for connecting, for the TLS handshake and for each reply


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the transcript, without its end."""

    mark: Mark
    text: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong. `code` is for scripts and does not change; `text` is for people."""

    code: str
    text: str


@dataclass(slots=True)
class Probed:
    """What came of it, written while it happens; what was not reached is empty."""

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    address: str = ""  # the one that answered
    greeting: Reply | None = None
    extensions: tuple[str, ...] = ()  # as last announced, inside TLS where there is TLS
    tls: TlsInfo | None = None
    certificate: Certificate | None = None
    answers: list[tuple[smtp.Vrfy | smtp.Expn, Reply]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, code: str, text: str) -> None:
        self.findings.append(Finding(code, text))

    def note(self, text: str) -> None:
        self.lines.append(Line("*", text.encode()))
