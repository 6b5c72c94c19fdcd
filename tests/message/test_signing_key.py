"""Keys as people hand them over, and records as they publish them."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from dkim_keys import ED25519_SEED, RSA_PEM, ed25519_key, pem, rsa_key, rsa_pem

from bulkmail.message.key_record import is_key_record, is_testing
from bulkmail.message.signing_key import SigningKey

ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(ED25519_SEED))
# A key that openssl would still make: 512 bits
TOO_SHORT = """\
-----BEGIN RSA PRIVATE KEY-----
MIIBOwIBAAJBAM8JcIqgUIWig1X8dp1DmpXOdL6sIeIIIL5cnV7u19/2B4e3b4FC
/bHVniLk6+Angga2iI9C5wpKK+ZngVDBUZECAwEAAQJBAIzQIMlIbDvX4nfzNEGW
H2fQebrNnGX9nTecCjTtQcpCdGulmRS/oIYr/oBDIYYZ1pjnHmN7oImndl17FI8n
qLkCIQDsM15n552r9qKPZQ7DMjVkA4JfVwIv5bF3L46mZdFWBwIhAOBkPrisoQEn
jHzcfwX+noadsANA2ym5n2Ek+LT/13WnAiEAt3kTfQyKCljTXyV1uSQYGu8q5xn0
BfaaymTznsd6OyMCID3KfRcfuop12JL9qSD+d6r8O175+iAoVIJMywwUs8FbAiAI
sepF0Tw8OWWljEjBSe4lmok4PrGiNANaD+gQDuqZmA==
-----END RSA PRIVATE KEY-----
"""


def load(text: str) -> SigningKey:
    return SigningKey.load(text, domain="mail.acme.test", selector="s1")


def one_line(text: str) -> str:
    return " ".join(text.split("\n"))


def written_out(text: str) -> str:
    return text.replace("\n", "\\n")


@pytest.mark.parametrize(
    ("text", "algorithm", "bits"),
    [
        (RSA_PEM, "rsa-sha256", 1024),
        (pem(load_pem_private_key(RSA_PEM.encode(), None)), "rsa-sha256", 1024),
        (RSA_PEM.replace("\n", "\r\n"), "rsa-sha256", 1024),
        (written_out(RSA_PEM), "rsa-sha256", 1024),
        (one_line(RSA_PEM), "rsa-sha256", 1024),
        ("\ufeffBag Attributes\n  friendlyName: dkim\n" + RSA_PEM + "\n\n", "rsa-sha256", 1024),
        (pem(ED25519), "ed25519-sha256", 256),
        (ED25519_SEED, "ed25519-sha256", 256),
        (f"  {ED25519_SEED}\r\n", "ed25519-sha256", 256),
        ("".join(RSA_PEM.split("\n")[1:-2]), "rsa-sha256", 1024),  # as some providers want it, without armour
    ],
)
def test_a_key_is_read_in_every_form_that_people_have(text: str, algorithm: str, bits: int) -> None:
    key = load(text)
    same = rsa_key() if bits == 1024 else ed25519_key()
    assert (key.algorithm, key.bits, key.record()) == (algorithm, bits, same.record())


PUBLIC = ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no private key"),
        ("dkim.pem", "no private key"),
        (ED25519_SEED[:-4], "no private key"),
        (base64.b64encode(bytes(33)).decode(), "no private key"),
        ("Schlüssel", "no private key"),
        (PUBLIC, "a public key"),
        ("-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n", "a public key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate"),
        (pem(ED25519, password="open sesame"), "encrypted with a passphrase"),
        (
            pem(load_pem_private_key(RSA_PEM.encode(), None), form="TraditionalOpenSSL", password="sesame"),
            "encrypted with a passphrase",
        ),
        (pem(ED25519, password="sesame").replace("ENCRYPTED ", ""), "encrypted with a passphrase"),
        (pem(ED25519, form="OpenSSH"), "OpenSSH"),
        (pem(ec.derive_private_key(4711, ec.SECP256R1())), "of a kind"),
        (pem(ed448.Ed448PrivateKey.from_private_bytes(bytes(57))), "of a kind"),
        (TOO_SHORT.replace("MIIB", "MIIF"), "damaged"),
        (RSA_PEM[:400], "damaged"),
        (RSA_PEM.replace("oBTz", "oBTy"), "damaged"),
        (RSA_PEM.replace("oBTz", "oB%z"), "damaged"),
        ("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "damaged"),
    ],
)
def test_what_is_no_usable_key_is_refused_in_words_and_without_a_part_of_it(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        load(text)
    # As a traceback prints it: what is chained stands above
    told = "".join(traceback.format_exception_only(refused.value)) + str(refused.value.__cause__)
    body = max(text.split("\n"), key=len)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert len(body) < 12 or body not in told


def test_an_rsa_key_that_receivers_reject_is_refused() -> None:
    """RFC 8301 section 3.2."""
    with pytest.raises(ValueError, match="512 bits"):
        load(TOO_SHORT)


@pytest.mark.parametrize(
    ("key", "warning"),
    [
        (rsa_key, "1024 bits: some receivers"),
        (lambda: rsa_key(2048), ""),
        (lambda: rsa_key(4096), ""),
        (ed25519_key, ""),
    ],
)
def test_a_short_key_is_warned_of(key: Callable[[], SigningKey], warning: str) -> None:
    assert key().warning.partition(" trust")[0] == warning


@pytest.mark.parametrize("key", [rsa_key, ed25519_key])
def test_a_key_shows_no_secret(key: Callable[[], SigningKey]) -> None:
    shown = f"{key()!r} {key()} {key().record()} {key().warning}"
    assert repr(key()) in shown
    assert ("domain='mail.acme.test'" in shown, "MIICXQ" in shown, "_der" in shown, "nWGxne" in shown) == (
        True,
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    "selector", ["", "s1._domainkey", "s 1", "ä", ".s1", "s1.", "-s", "s" * 64, "s1\r\nx"]
)
def test_a_selector_that_cannot_be_looked_up_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        SigningKey.load(ED25519_SEED, domain="acme.test", selector=selector)


@pytest.mark.parametrize(
    "domain", ["", "acme test", "a..test", "acme.test\r\nx", "@acme.test", "a@acme.test"]
)
def test_a_domain_that_is_none_is_refused(domain: str) -> None:
    with pytest.raises(ValueError):
        SigningKey.load(ED25519_SEED, domain=domain, selector="s1")


@pytest.mark.parametrize(
    ("domain", "selector", "name"),
    [
        ("acme.test", "s1", "s1._domainkey.acme.test"),
        ("Größe.TEST.", "2026.k_1", "2026.k_1._domainkey.xn--gre-6ka8i.test"),
    ],
)
def test_a_record_is_published_below_the_domain(domain: str, selector: str, name: str) -> None:
    assert SigningKey.load(ED25519_SEED, domain=domain, selector=selector).name == name


def test_what_an_rsa_key_signs_its_record_verifies() -> None:
    key = rsa_key(2048)
    public = load_der_public_key(base64.b64decode(key.record().rpartition("p=")[2]))
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(key.sign(b"data"), b"data", padding.PKCS1v15(), SHA256())


def test_keys_are_equal_where_their_public_halves_are() -> None:
    assert (load(RSA_PEM) == load(one_line(RSA_PEM)), load(RSA_PEM) == load(rsa_pem(2048))) == (True, False)


RSA_P = rsa_key().record().rpartition("p=")[2]
OTHER_P = rsa_key(2048).record().rpartition("p=")[2]
ED_P = ed25519_key().record().rpartition("p=")[2]
PKCS1_P = base64.b64encode(
    load_pem_private_key(RSA_PEM.encode(), None).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
).decode()


@pytest.mark.parametrize(
    "record",
    [
        f"v=DKIM1; k=rsa; p={RSA_P}",
        f"v=DKIM1;k=rsa;p={RSA_P};",
        f"p={RSA_P}",
        f'v = DKIM1 ; t = s:y ; n=a "note"; p = {RSA_P[:50]} {RSA_P[50:]} ; ',
        f"v=DKIM1; h=sha1:sha256; s=email:tlsrpt; x_own=1; p={RSA_P}",
        f"v=DKIM1; s=*; p={PKCS1_P}",  # RSAPublicKey, as RFC 6376 section 3.6.1 says
    ],
)
def test_a_record_of_this_key_fits(record: str) -> None:
    assert rsa_key().mismatch(record.encode()) is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=DKIM1; k=rsa; p=", "revoked"),
        ("v=DKIM1; k=rsa", "no p="),
        (f"v=DKIM1; p={OTHER_P}", "another key (of 2048 bits)"),
        (f"v=DKIM1; k=ed25519; p={ED_P}", "type ed25519, this one is rsa"),
        (f"v=DKIM1; h=sha1; p={RSA_P}", "does not allow sha256 (h=sha1)"),
        (f"v=DKIM1; s=tlsrpt; p={RSA_P}", "not for email (s=tlsrpt)"),
        (f"v=DKIM2; p={RSA_P}", "begin with v=DKIM1"),
        (f"p={RSA_P}; v=DKIM1", "begin with v=DKIM1"),
        (f"v=DKIM1; p={RSA_P[:180]}", f"cut off: 180 of {len(RSA_P)}"),
        (f'"v=DKIM1; k=rsa; p={RSA_P}"', "quotes"),
        (f"v=DKIM1\\; k=rsa\\; p={RSA_P}", "backslashes"),
        (f"v=DKIM1; p={RSA_P}; p={RSA_P}", "not a list of tags"),
        (f"v=DKIM1 k=rsa p={RSA_P}", "begin with v=DKIM1"),
        ("v=DKIM1; p=no base64!", "not base64"),
        ("v=DKIM1; p=AAAA", "another key"),
        ("v=DKIM1; k=\x1b[31mrsa; p=AAAA", "type ?[31mrsa"),
        ("v=DKIM1; p=größe", "not base64"),
        (f"v=DKIM1; x-own=1; p={RSA_P}", "not a list of tags"),  # tag-name has no hyphen
        ("", "not a list of tags"),
    ],
)
def test_a_record_that_is_not_this_keys_is_told_apart(record: str, reason: str) -> None:
    assert reason in str(rsa_key().mismatch(record.encode()))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (f"v=DKIM1; k=ed25519; p={ED_P}", None),
        (f"v=DKIM1; p={ED_P}", "it is for a key of type rsa, this one is ed25519"),
        (f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(32)).decode()}", "it holds another key"),
        (
            "v=DKIM1; k=ed25519; p=" + "".join(PUBLIC.split("\n")[1:-2]),
            "p= holds this key with a wrapping; RFC 8463 wants its 32 octets alone",
        ),
    ],
)
def test_a_record_for_ed25519_holds_the_bare_key(record: str, reason: str | None) -> None:
    """RFC 8463 section 4.2."""
    assert ed25519_key().mismatch(record.encode()) == reason


@pytest.mark.parametrize(
    ("record", "meant"),
    [
        (b"v=DKIM1; p=", True),
        (b"p=AAAA", True),
        (b'"v=DKIM1; p=AAAA"', True),
        (b"v=DKIM1; p=AAAA; p=AAAA", True),
        (b"v=spf1 -all", False),
        (b"v=DMARC1; p=none", False),
        (b"google-site-verification=abc", False),
        (b"", False),
        (b"\xff\x00", False),
    ],
)
def test_a_wildcards_other_records_are_no_keys(record: bytes, meant: bool) -> None:
    assert is_key_record(record) is meant


@pytest.mark.parametrize(
    ("flags", "testing"),
    [("", False), ("t=s;", False), ("t=y;", True), ("t=s : y;", True), ("t=yes;", False)],
)
def test_test_mode_is_seen(flags: str, testing: bool) -> None:
    assert is_testing(f"v=DKIM1; {flags} p=AAAA".encode()) is testing
