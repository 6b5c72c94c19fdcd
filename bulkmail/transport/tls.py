"""The TLS handshake of a connection, and what is to be said of the certificate (RFC 3207, RFC 7435).

The name that goes into SNI, and that the certificate must have, is the host's: the MX host for a mail
exchanger, the relay's for a relay, never the address (S6), unless the user named the relay by its address;
then the certificate must be for that address (and SNI stays empty, RFC 6066 section 3).

Where the certificate is not checked it is kept, so that who wants to know can tell "encrypted, but anybody's"
from "encrypted, their certificate expired last week" (S5). To read it costs a sixth of a handshake.
"""

from __future__ import annotations

import ssl
from datetime import datetime

import trio

from bulkmail.errors import TlsRefused
from bulkmail.transport.approach import TlsInfo
from bulkmail.transport.stream import Transport
from bulkmail.transport.tls_stream import TlsStream


async def handshake(
    transport: Transport, context: ssl.SSLContext, host: str, limit_s: float, *, speaks: bool = False
) -> TlsStream:
    """TLS over `transport`. `speaks`: what is written next takes the end of the handshake along.

    Raises TlsRefused with the reason.
    """
    stream = TlsStream(transport, context, host)
    try:
        finished = await stream.handshake(trio.current_time() + limit_s, speaks=speaks)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise TlsRefused(f"the TLS handshake failed: {_reason(error)}", lasting=_was_said(error)) from None
    if not finished:
        raise TlsRefused(f"the TLS handshake was not finished within {limit_s:g} s")
    return stream


def describe(stream: TlsStream, context: ssl.SSLContext) -> TlsInfo:
    """What the session is, after the handshake."""
    cipher = stream.session.cipher()
    verified = context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    return TlsInfo(stream.session.version() or "", cipher[0] if cipher else "", verified)


def doubts(certificate: bytes | None, host: str, now: datetime) -> str:
    """Why a certificate that nobody checked should not be trusted, as far as it alone can tell."""
    if not certificate:
        return "no certificate"
    from cryptography import x509  # 30 ms to import, and only looked at when TLS is in use

    try:
        leaf = x509.load_der_x509_certificate(certificate)
        found = []
        if now > leaf.not_valid_after_utc:
            found.append(f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
        if now < leaf.not_valid_before_utc:
            found.append(f"not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
        if leaf.issuer == leaf.subject:
            found.append("self-signed")
        if not _names(leaf, host):
            found.append(f"not for {host}")
    except (
        KeyError,  # an alphabet that some releases of cryptography do not know
        TypeError,
        ValueError,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ):
        return "the certificate cannot be read"
    return ", ".join(found) or "not checked"


def _names(leaf: object, host: str) -> bool:
    from cryptography import x509

    assert isinstance(leaf, x509.Certificate)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    if host in {str(address) for address in names.get_values_for_type(x509.IPAddress)}:
        return True
    host = host.lower()
    # A wildcard stands for exactly one label, the leftmost (RFC 9525 section 6.3).
    wanted = {host, "*." + host.partition(".")[2]}
    return any(name.lower() in wanted for name in names.get_values_for_type(x509.DNSName))


def _was_said(error: Exception) -> bool:
    """By the host, in octets: a connection that broke, or nothing at all, may be a bad moment."""
    cause = error.__cause__
    return isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError)


def _reason(error: Exception) -> str:
    """OpenSSL's reason in its own words, without file names and line numbers."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message or "certificate verify failed"
    if isinstance(cause, ssl.SSLEOFError) or cause is None:
        return "the host closed the connection"
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or str(cause)).lower().replace("_", " ")
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    return str(cause)
