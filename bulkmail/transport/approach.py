"""How hosts are to be spoken to: port, name, time limits, TLS posture, credentials. Values only.

One `Approach` serves a whole campaign. The two TLS contexts are built once, because building one loads the
certificate authorities (milliseconds), and because a context that verifies and one that does not are better
kept apart than switched to and fro.
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class TlsPolicy(enum.Enum):
    """What must be true of the connection before a recipient's name is told to it."""

    NONE = "none"  # clear text; STARTTLS is not even asked for
    OPPORTUNISTIC = "opportunistic"  # encrypted where it can be had, clear text otherwise (RFC 7435)
    REQUIRED = "required"  # encrypted, the certificate is not checked
    VERIFIED = "verified"  # encrypted, the certificate is valid for the host's name

    def stricter(self, other: TlsPolicy) -> TlsPolicy:
        return max(self, other, key=STRICTNESS.index)


STRICTNESS = tuple(TlsPolicy)


@dataclass(frozen=True, slots=True)
class Source:
    """An egress source: the address that connections come from, and the name that it has in the world."""

    address: str  # canonical; "": whatever the kernel chooses
    ehlo: str
    weight: int = 1  # its share of the mail is weight / sum of the weights
    warm: bool = False  # it has sent before: no warm-up

    def fits(self, address: str) -> bool:
        """It may reach `address`: they are of one family."""
        return not self.address or (":" in self.address) == (":" in address)

    def __str__(self) -> str:
        return self.address or "this machine"


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """The TLS session that a connection has."""

    version: str  # "TLSv1.3"
    cipher: str  # "TLS_AES_256_GCM_SHA384"
    verified: bool  # the certificate chain and the name were checked and hold
    note: str = ""  # why it is not verified, where somebody looked


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds. Each is for one reply, whole, however its bytes arrive (RFC 5321 section 4.5.3.2).

    `envelope` is for all replies of an exchange that has an envelope and no content. A host that takes nearly
    its whole time for each of a hundred recipients would otherwise hold a session for eight hours.
    """

    connect: float = 30.0  # one address; far below TCP's own two minutes, there are other addresses
    tls: float = 60.0  # the whole handshake
    greeting: float = 300.0
    ehlo: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    envelope: float = 900.0  # never applied to the end of data; never below mail, rcpt or data
    block: float = 180.0  # for the kernel to take 64 kB from us
    end_of_data: float = 600.0  # shorter means duplicates: the peer may have accepted already
    quit: float = 5.0  # nothing hangs on the answer


class Manner(NamedTuple):
    """What somebody demands of the connections to some hosts, beyond what holds for all."""

    tls: TlsPolicy = TlsPolicy.NONE
    time_limits: Mapping[str, float] = {}  # by the names of TimeLimits

    def within(self, other: Manner) -> Manner:
        """Both of them."""
        times = dict(self.time_limits)
        for name, limit in other.time_limits.items():
            times[name] = min(limit, times.get(name, limit))
        return Manner(self.tls.stricter(other.tls), times)


class Demand(NamedTuple):
    """What a connection was opened for: it serves nobody who demands anything else."""

    apart: str = ""  # the domain that has connections of its own
    manner: Manner | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a relay. The password is never shown."""

    user: str
    password: str = field(repr=False)
    mechanism: str | None = None  # a SASL mechanism to insist on; XOAUTH2 is used only when named here


def make_contexts(cafile: str | None = None, *, system: bool = True) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(verifying, lax). `cafile`: PEM authorities to trust besides the system's, or instead of them.

    The system's take 20 ms to read: who verifies nobody does without. Raises OSError or ssl.SSLError when
    `cafile` cannot be used.
    """
    verifying = ssl.create_default_context() if system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cafile is not None:
        verifying.load_verify_locations(cafile)
    return verifying, _lax()


def _lax() -> ssl.SSLContext:
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    # The alternative to a weak key here is clear text, never a stronger key (RFC 7435 section 3).
    lax.set_ciphers("DEFAULT:@SECLEVEL=0")
    return lax


@dataclass(frozen=True, slots=True)
class Approach:
    """How every host of a campaign is spoken to."""

    port: int
    ehlo: str  # the name we give, fully qualified, or an address literal (RFC 5321 section 4.1.4)
    tls: TlsPolicy
    implicit_tls: bool = False  # TLS from the first octet (RFC 8314)
    credentials: Credentials | None = None
    insecure_auth: bool = False  # the user allows credentials to leave without a verified certificate
    time_limits: TimeLimits = TimeLimits()
    verifying: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    lax: ssl.SSLContext = field(default_factory=_lax, repr=False)

    def within(self, manner: Manner) -> Approach:
        """That keeps to both: TLS is only ever raised, and time limits are only shortened."""
        limits = self.time_limits
        shorter = {name: min(getattr(limits, name), one) for name, one in manner.time_limits.items()}
        return replace(self, tls=self.tls.stricter(manner.tls), time_limits=replace(limits, **shorter))

    @property
    def posture(self) -> TlsPolicy:
        """The policy that really holds: credentials raise it to VERIFIED unless the user said otherwise."""
        if self.credentials is not None and not self.insecure_auth:
            return TlsPolicy.VERIFIED
        if self.implicit_tls and self.tls in (TlsPolicy.NONE, TlsPolicy.OPPORTUNISTIC):
            return TlsPolicy.REQUIRED  # there is no clear text to fall back to
        return self.tls
