"""SASL mechanisms for AUTH: what to say first, and what to each challenge.

Responses and challenges are plain octets here; base64 is the business of the commands. A secret never shows
in a `repr`. SCRAM proves the password without sending it, and makes the server prove that it knows it too.
RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM-SHA-256), RFC 4013 (SASLprep); LOGIN and XOAUTH2 have no RFC.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from dataclasses import dataclass, field
from typing import Protocol

from bulkmail.errors import RemoteProtocolError

# A server names its iteration count; a hostile one could keep us busy for hours.
MAX_ITERATIONS = 1_000_000
MIN_ITERATIONS = 4096  # RFC 7677 section 4


class Mechanism(Protocol):
    """One authentication; an instance is used once."""

    name: str

    def initial(self) -> bytes | None:
        """The initial response, or None where the server speaks first."""

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a 334. Raises `RemoteProtocolError` if the challenge is no sense or no proof."""


@dataclass(slots=True)
class Plain:
    """RFC 4616. Raises `ValueError` for a NUL in user or password."""

    user: str
    password: str = field(repr=False)
    name: str = field(default="PLAIN", init=False)

    def __post_init__(self) -> None:
        if "\0" in self.user + self.password:
            raise ValueError("a NUL in user or password")

    def initial(self) -> bytes | None:
        return f"\0{self.user}\0{self.password}".encode()

    def respond(self, challenge: bytes) -> bytes:
        # A server that ignored the initial response asks for it with an empty challenge.
        if challenge:
            raise RemoteProtocolError("PLAIN has no challenge")
        return f"\0{self.user}\0{self.password}".encode()


@dataclass(slots=True)
class Login:
    """draft-murchison-sasl-login: two questions, whatever their wording."""

    user: str
    password: str = field(repr=False)
    name: str = field(default="LOGIN", init=False)
    _asked: int = field(default=0, init=False, repr=False)

    def initial(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        self._asked += 1
        if self._asked > 2:
            raise RemoteProtocolError("LOGIN asks twice only")
        return (self.user if self._asked == 1 else self.password).encode()


@dataclass(slots=True)
class XOAuth2:
    """Google's and Microsoft's: a bearer token instead of a password."""

    user: str
    token: str = field(repr=False)
    name: str = field(default="XOAUTH2", init=False)

    def __post_init__(self) -> None:
        if "\1" in self.user + self.token:
            raise ValueError("a control character in user or token")

    def initial(self) -> bytes | None:
        return f"user={self.user}\1auth=Bearer {self.token}\1\1".encode()

    def respond(self, challenge: bytes) -> bytes:
        # The challenge is an error in JSON; an empty response makes the server say 535.
        return b""


class ScramSha256:
    """RFC 5802 and 7677, without channel binding. `nonce` is for tests.

    Raises `ValueError` for a user or password that SASLprep prohibits.
    """

    name = "SCRAM-SHA-256"

    def __init__(self, user: str, password: str, nonce: str | None = None) -> None:
        self.user = user
        self._password = saslprep(password).encode()
        self._nonce = nonce or secrets.token_urlsafe(24)
        name = saslprep(user).replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={name},r={self._nonce}"
        self._server_signature: bytes | None = None
        self._verified = False

    def __repr__(self) -> str:
        return f"ScramSha256(user={self.user!r})"

    def initial(self) -> bytes | None:
        return f"n,,{self._first_bare}".encode()

    def respond(self, challenge: bytes) -> bytes:
        if self._verified:
            raise RemoteProtocolError("SCRAM-SHA-256 is over")
        if self._server_signature is None:
            return self._prove(challenge)
        self._verify(challenge)
        return b""

    @property
    def verified(self) -> bool:
        """Whether the server has proved that it knows the password too."""
        return self._verified

    def verify(self, data: bytes) -> None:
        """Check a proof that came with the 235 instead of a challenge. Raises `RemoteProtocolError`."""
        self._verify(data)

    def _prove(self, challenge: bytes) -> bytes:
        match = re.fullmatch(rb"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,9})(?:,.*)?", challenge)
        nonce = match[1].decode() if match else ""
        if match is None or not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise RemoteProtocolError("SCRAM-SHA-256: not a valid first message, or not an answer to ours")
        iterations = int(match[3])
        if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise RemoteProtocolError(f"SCRAM-SHA-256: {iterations} iterations")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, _decode(match[2]), iterations)
        client_key = _hmac(salted, b"Client Key")
        final = f"c=biws,r={nonce}".encode()
        message = b",".join((self._first_bare.encode(), challenge, final))
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), message)
        return final + b",p=" + base64.b64encode(proof)

    def _verify(self, challenge: bytes) -> None:
        match = re.fullmatch(rb"v=([A-Za-z0-9+/=]+)(?:,.*)?", challenge)
        expected = self._server_signature
        if match is None or expected is None or not hmac.compare_digest(_decode(match[1]), expected):
            raise RemoteProtocolError("SCRAM-SHA-256: the server did not prove that it knows the password")
        self._verified = True


def choose(offered: frozenset[str], user: str, password: str) -> Mechanism | None:
    """The strongest of the offered mechanisms that take a password, or None."""
    for mechanism in (ScramSha256, Plain, Login):
        if _NAMES[mechanism] in offered:
            made: Mechanism = mechanism(user, password)
            return made
    return None


_NAMES: dict[type[ScramSha256 | Plain | Login], str] = {
    ScramSha256: "SCRAM-SHA-256",
    Plain: "PLAIN",
    Login: "LOGIN",
}


def saslprep(text: str) -> str:
    """RFC 4013, for stored strings. Raises `ValueError` for what it prohibits."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    for char in prepared:
        if any(table(char) for table in _PROHIBITED):
            raise ValueError("a character that SASLprep prohibits")
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        raise ValueError("right-to-left text mixed in a way that SASLprep prohibits")
    return prepared


_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise RemoteProtocolError("SCRAM-SHA-256: not base64") from None
