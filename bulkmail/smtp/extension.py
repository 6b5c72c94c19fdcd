"""What a server announced with EHLO, as one value.

Reading is tolerant, because announcements are written by people: unknown keywords are ignored, a number that
is none is as if it were absent, and the form "AUTH=LOGIN" of old servers is understood.
RFC 5321 section 4.1.1.1; RFC 2920, 6152, 6531, 3030, 3207, 2034, 3461, 1870, 4954, 9422.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bulkmail.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Limits:
    """RFC 9422. None where nothing was announced."""

    mailmax: int | None = None  # transactions in a session
    rcptmax: int | None = None  # RCPT commands in a transaction
    rcptdomainmax: int | None = None  # domains in a transaction


NO_LIMITS = Limits()
_LIMITS = ("MAILMAX", "RCPTMAX", "RCPTDOMAINMAX")


@dataclass(frozen=True, slots=True)
class Extensions:
    """Everything off is what HELO gives."""

    pipelining: bool = False
    eightbitmime: bool = False
    smtputf8: bool = False
    chunking: bool = False
    starttls: bool = False
    enhanced_status_codes: bool = False
    dsn: bool = False
    size: int | None = None  # octets; None: nothing said, or announced without a limit
    announces_size: bool = False  # whether MAIL may carry SIZE=
    auth: frozenset[str] = frozenset()  # SASL mechanisms in upper case
    limits: Limits = NO_LIMITS
    esmtp: bool = False  # whether EHLO was accepted at all

    @classmethod
    def parse(cls, reply: Reply) -> Extensions:
        """What the reply to an EHLO announces; nothing if it refuses."""
        return cls.announced_by(reply.lines[1:]) if reply.positive else NONE

    @classmethod
    def announced_by(cls, lines: Iterable[bytes]) -> Extensions:
        """From the keyword lines alone, such as b"SIZE 1000"."""
        words: dict[str, list[str]] = {}
        for line in b"\n".join(lines).decode("ascii", "replace").upper().split("\n"):
            keyword, *values = line.split() or ("",)
            if "=" in keyword and keyword.startswith("AUTH="):
                keyword, values = "AUTH", [*keyword[5:].split(), *values]
            words[keyword] = words[keyword] + values if keyword in words else values
        said = dict(value.partition("=")[::2] for value in words["LIMITS"]) if "LIMITS" in words else {}
        return cls(
            pipelining="PIPELINING" in words,
            eightbitmime="8BITMIME" in words,
            smtputf8="SMTPUTF8" in words,
            chunking="CHUNKING" in words,
            starttls="STARTTLS" in words,
            enhanced_status_codes="ENHANCEDSTATUSCODES" in words,
            dsn="DSN" in words,
            # RFC 1870 section 4: zero means that there is no fixed maximum
            size=_number("".join(words.get("SIZE", ())[:1])),
            announces_size="SIZE" in words,
            auth=frozenset(words.get("AUTH", ())),
            limits=Limits(*[_number(said.get(name, "")) for name in _LIMITS]) if said else NO_LIMITS,
            esmtp=True,
        )


def _number(text: str) -> int | None:
    """A positive number, or None for everything else; zero is no limit in any of these."""
    return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 20 else None


NONE = Extensions()
