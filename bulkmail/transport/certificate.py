"""What a certificate says about itself, for people. Whether it holds is for OpenSSL to say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa


@dataclass(frozen=True, slots=True)
class Certificate:
    """A host's own certificate, without its chain. All text is the host's: escape it where it is shown."""

    subject: str  # as RFC 4514 writes names; empty in many certificates of today
    issuer: str
    names: tuple[str, ...]  # DNS names and IP addresses it is for (subjectAltName)
    not_before: datetime  # UTC
    not_after: datetime
    key: str  # "RSA 2048", "EC secp256r1"


def read_certificate(der: bytes) -> Certificate:
    """Raises ValueError where `der` is no certificate that can be read."""
    try:
        leaf = x509.load_der_x509_certificate(der)
        return Certificate(
            leaf.subject.rfc4514_string(),
            leaf.issuer.rfc4514_string(),
            _names(leaf),
            leaf.not_valid_before_utc,
            leaf.not_valid_after_utc,
            _key(leaf),
        )
    except (
        KeyError,
        TypeError,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        x509.InvalidVersion,
    ) as error:
        # KeyError, TypeError: a name whose parts are not of the types that cryptography knows of them
        raise ValueError(str(error)) from error


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = names.get_values_for_type(x509.DNSName)
    return (*dns, *(str(address) for address in names.get_values_for_type(x509.IPAddress)))


def _key(leaf: x509.Certificate) -> str:
    try:
        key = leaf.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return "of a kind unknown here"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.strip("_").removesuffix("PublicKey")
