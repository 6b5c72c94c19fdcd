"""A private key that signs mail (DKIM): loaded and judged once, at the start, then only used.

People hand over what they have: PEM of any kind, with its line ends written out or lost, or the bare seed
that Ed25519 tools of RFC 8463 write. Whatever is not a key that receivers would accept is refused here, in
words that say what it is instead and never with a part of it.

OpenSSL serialises the use of one RSA key (its blinding has a lock), so each thread opens a key object of its
own from the same octets: 64 µs once, and two threads then sign 1.5 times as much.
"""

from __future__ import annotations

import binascii
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from bulkmail.message import key_record
from bulkmail.smtp.address import domain_to_ascii

RSA, ED25519 = "rsa-sha256", "ed25519-sha256"
SHORTEST = 1024  # RFC 8301 section 3.2: MUST
RECOMMENDED = 2048  # and SHOULD
LONGEST = 4096  # more than that no receiver has to check
SEED = 32  # octets of an Ed25519 key (RFC 8032 section 5.1.5)

_PKCS1, _SHA256 = padding.PKCS1v15(), hashes.SHA256()
_PRIVATE = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]*PRIVATE KEY)-----(?P<body>.*?)-----END (?P=label)-----", re.DOTALL
)
_LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
# RFC 6376 section 3.1: selector = sub-domain *( "." sub-domain ); with the underscore that people use
_SELECTOR = re.compile(
    r"(?=.{1,200}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)

_ENCRYPTED = "it is encrypted with a passphrase; `openssl pkey -in KEY -out PLAIN` writes it without"
_INSTEAD = {
    "ENCRYPTED PRIVATE KEY": _ENCRYPTED,
    "OPENSSH PRIVATE KEY": "it is an OpenSSH key; DKIM wants PEM, as `openssl genrsa 2048` writes",
    "PUBLIC KEY": "it is a public key; what signs is the private one",
    "RSA PUBLIC KEY": "it is a public key; what signs is the private one",
    "CERTIFICATE": "it is a certificate; what signs is the private key",
}
_NO_KEY = "it is no private key in PEM (-----BEGIN PRIVATE KEY-----), nor one in base64"
_DAMAGED = "it is damaged or incomplete"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and where its public half is published: `selector`._domainkey.`domain`. Made by `load`.

    `domain`: in lower-case A-labels. `algorithm`: rsa-sha256 or ed25519-sha256, as in a=. `bits`: of the
    modulus; 256 for Ed25519. Threads may share it.
    """

    domain: str
    selector: str
    algorithm: str
    bits: int = field(repr=False)
    _public: bytes = field(repr=False)  # as in p=
    _der: bytes = field(repr=False, compare=False)
    _own: threading.local = field(repr=False, compare=False, default_factory=threading.local)

    @classmethod
    def load(cls, pem: str, *, domain: str, selector: str) -> SigningKey:
        """The key in `pem`. Raises ValueError, for people and without a part of the key."""
        if not (domain := domain.removesuffix(".")):
            raise ValueError("the domain that signs is missing")
        domain = domain_to_ascii(domain).decode("ascii")
        if _SELECTOR.fullmatch(selector) is None or "_domainkey" in selector.lower():
            raise ValueError(
                f"the selector is what stands before ._domainkey.{domain}: letters, digits, hyphens, dots"
            )
        key = _read(pem)
        der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return cls(domain, selector, ED25519, 256, key.public_key().public_bytes_raw(), der)
        if key.key_size < SHORTEST:
            raise ValueError(f"it has {key.key_size} bits; receivers reject less than {SHORTEST} (RFC 8301)")
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(domain, selector, RSA, key.key_size, public, der)

    @property
    def name(self) -> str:
        """Where the record is published."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def warning(self) -> str:
        """What is wrong with a key that can be used all the same, for people; "" where nothing is."""
        if self.algorithm == RSA and self.bits < RECOMMENDED:
            return f"{self.bits} bits: some receivers trust no RSA key of less than {RECOMMENDED} (RFC 8301)"
        if self.algorithm == RSA and self.bits > LONGEST:
            return f"{self.bits} bits: no receiver has to check more than {LONGEST} (RFC 8301)"
        return ""

    def record(self) -> str:
        """The TXT record to publish at `name`: its value, not split into character-strings."""
        p = binascii.b2a_base64(self._public, newline=False).decode("ascii")
        return f"v=DKIM1; k={self._kind}; p={p}"

    def mismatch(self, record: bytes) -> str | None:
        """Why `record`, found at `name`, is not this key's, for people; None where it is."""
        return key_record.mismatch(record, self._kind, self._public)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data` (RFC 6376 section 3.3.1; Ed25519 signs its SHA-256, RFC 8463 section 3)."""
        return self.signer()(data)

    def signer(self) -> Callable[[bytes], bytes]:
        """`sign`, for this thread: each has a key object of its own, since two would wait for one's lock."""
        try:
            sign: Callable[[bytes], bytes] = self._own.sign
        except AttributeError:
            sign = self._own.sign = self._signer()
        return sign

    @property
    def _kind(self) -> str:
        return self.algorithm.partition("-")[0]

    def _signer(self) -> Callable[[bytes], bytes]:
        """A function that signs, with a key object of its own."""
        # `load` has checked the numbers of the key: that costs a hundred times what opening it does.
        key = serialization.load_der_private_key(self._der, None, unsafe_skip_rsa_key_validation=True)
        if isinstance(key, rsa.RSAPrivateKey):
            sign_rsa = key.sign
            return lambda data: sign_rsa(data, _PKCS1, _SHA256)
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        sign_hash = key.sign
        return lambda data: sign_hash(sha256(data).digest())


def _read(pem: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    """Raises ValueError. Nothing is chained to it: what a library says of a key stays here."""
    # An environment variable often holds the line ends written out, or none.
    pem = pem.replace("\\n", "\n")
    block = _PRIVATE.search(pem)
    if block is None:
        labels = _LABEL.findall(pem)
        if labels:
            raise ValueError(_INSTEAD.get(labels[0], _DAMAGED))
        return _from_base64(pem, _NO_KEY)
    if block["label"] in _INSTEAD or ",ENCRYPTED" in block["body"]:
        raise ValueError(_INSTEAD.get(block["label"], _ENCRYPTED))
    return _from_base64(block["body"], _DAMAGED)


def _from_base64(text: str, otherwise: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    """The key that is a seed or DER in base64; `otherwise` is said of what is neither."""
    try:
        octets = binascii.a2b_base64("".join(text.split()).encode("utf-8"), strict_mode=True)
        if len(octets) == SEED:
            return ed25519.Ed25519PrivateKey.from_private_bytes(octets)
        key = serialization.load_der_private_key(octets, None)
    except TypeError:  # PKCS #8 whose armour does not say that it is encrypted
        raise ValueError(_ENCRYPTED) from None
    except ValueError:
        raise ValueError(otherwise) from None
    except UnsupportedAlgorithm:
        key = None
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("it is of a kind that DKIM does not know; RSA and Ed25519 are (RFC 6376, RFC 8463)")
    return key
