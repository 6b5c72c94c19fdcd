"""Keys that sign in tests: those of RFC 8463 appendix A, which everybody knows, and new ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bulkmail.message.dkim import Signature, relaxed_field
from bulkmail.message.signing_key import SigningKey

TIMESTAMP = 1_700_000_000

# RFC 8463 appendix A.1
ED25519_SEED = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RSA_PEM = """\
-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""


@cache
def rsa_pem(bits: int) -> str:
    """A new RSA key of this length, the same for all tests of one process."""
    return pem(rsa.generate_private_key(65537, bits))


def pem(key: object, *, form: str = "PKCS8", password: str = "") -> str:
    """A private key of the cryptography library as text."""
    encryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    return key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption
    ).decode()


def ed25519_key(selector: str = "ed") -> SigningKey:
    return SigningKey.load(ED25519_SEED, domain="mail.acme.test", selector=selector)


def rsa_key(bits: int = 1024, selector: str = "rsa") -> SigningKey:
    text = RSA_PEM if bits == 1024 else rsa_pem(bits)
    return SigningKey.load(text, domain="mail.acme.test", selector=selector)


def name_of(field: bytes) -> str:
    return field.partition(b":")[0].strip().decode()


def sign(
    key: SigningKey,
    fields: Sequence[bytes],
    body: bytes,
    *,
    constant: int = 1,
    oversigned: Sequence[str] = (),
) -> bytes:
    """The signature of `key` over `fields`, in this order, the first `constant` the same for everybody."""
    canonical = [relaxed_field(field) for field in fields]
    signature = Signature(
        key,
        constant=b"".join(canonical[:constant]),
        names=[name_of(field) for field in fields],
        oversigned=oversigned,
        timestamp=TIMESTAMP,
    )
    return signature.field(b"".join(canonical[constant:]), sha256(body).digest())


def verified(message: bytes, keys: Sequence[SigningKey], *, index: int = 0) -> bool:
    """What dkimpy says of the signature `index`, counted from the top; `keys` are published."""
    published = {f"{key.name}.".encode(): key.record().encode() for key in keys}
    try:
        return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=lambda name, timeout=5: published.get(name)))
    except dkim.ValidationError:  # bh= does not fit the body
        return False
