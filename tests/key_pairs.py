"""A pair of keys to sign with, one of each kind that DKIM knows, and new ones each time."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from bulkmail.message.signing_key import SigningKey


def pems() -> dict[str, str]:
    """PEM by selector: `rsa` has 2048 bits, `ed` is Ed25519."""
    keys: dict[str, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed": ed25519.Ed25519PrivateKey.generate(),
    }
    return {
        selector: key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
        for selector, key in keys.items()
    }


def signing_keys(domain: str, pems: dict[str, str]) -> list[SigningKey]:
    return [SigningKey.load(pem, domain=domain, selector=selector) for selector, pem in pems.items()]
