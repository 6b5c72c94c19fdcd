"""Signatures as receivers check them: dkimpy has never seen our code and reads only the message."""

from __future__ import annotations

import base64
import email
import email.policy
import threading
from hashlib import sha256

import dkim
import pytest
from dkim_keys import (
    ED25519_SEED,
    RSA_PEM,
    TIMESTAMP,
    ed25519_key,
    rsa_key,
    sign,
    verified,
)
from hypothesis import example, given
from hypothesis import strategies as st

from bulkmail.message.dkim import Signature, relaxed_field
from bulkmail.message.signing_key import SigningKey

KEYS = {
    "Ed25519": ed25519_key,
    "RSA-1024": rsa_key,
    "RSA-1096": lambda: rsa_key(1096),  # 137 octets: no line of b= is full, and base64 is padded
    "RSA-2048": lambda: rsa_key(2048),
    "RSA-4096": lambda: rsa_key(4096),
}
FROM = b"From: Acme <news@mail.acme.test>\r\n"
TO = b"To: Ann <ann@example.test>\r\n"
SUBJECT = b"Subject: The news of today\r\n"
BODY = b"Hello Ann,\r\n\r\nthis is new.\r\n"

# RFC 8463 appendix A.3, as printed there without the indent
RFC_FIELDS = [
    b"From: Joe SixPack <joe@football.example.com>\r\n",
    b"To: Suzie Q <suzie@shopping.example.net>\r\n",
    b"Subject: Is dinner ready?\r\n",
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n",
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n",
]
RFC_BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
RFC_SIGNATURES = {
    "brisbane": b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    b" subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n",
    "test": b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    b" date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    b" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    b" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n",
}
RFC_KEYS = {
    "brisbane": (ED25519_SEED, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
    "test": (
        RSA_PEM,
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
        "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
        "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
        "Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    ),
}


@pytest.mark.parametrize("selector", RFC_SIGNATURES)
def test_the_example_of_rfc_8463_comes_out_octet_by_octet(selector: str) -> None:
    """Appendix A: the fields and the signature's own tags as printed (they stand in another order than ours,
    with i= and q=), canonicalised and signed here; what is compared is the value of b=, which depends on
    every octet before it, bh= and the record in DNS."""
    secret, record = RFC_KEYS[selector]
    key = SigningKey.load(secret, domain="football.example.com", selector=selector)
    printed, _, value = RFC_SIGNATURES[selector].partition(b" b=")
    signed = b"".join(map(relaxed_field, [*RFC_FIELDS, printed + b" b=\r\n"]))[:-2]
    body = RFC_BODY.replace(b"  ", b" ")  # relaxed: the one thing in it that is not canonical
    bh = base64.b64encode(sha256(body).digest())
    b = base64.b64encode(key.sign(signed))
    assert (b" bh=%b;" % bh in printed, b, key.record()) == (True, b"".join(value.split()), record)


@pytest.mark.parametrize("selector", RFC_KEYS)
def test_the_example_of_rfc_8463_with_our_own_tags_is_valid(selector: str) -> None:
    """Appendix A: the same message, the same h=; what we write ourselves, as dkimpy reads it."""
    secret, record = RFC_KEYS[selector]
    key = SigningKey.load(secret, domain="football.example.com", selector=selector)
    body = RFC_BODY.replace(b"  ", b" ")
    field = sign(key, RFC_FIELDS, body, oversigned=["From", "Subject", "Date"])
    message = b"".join([field, *RFC_FIELDS, b"\r\n", RFC_BODY])
    assert dkim.verify(message, dnsfunc=lambda name, timeout=5: record.encode())


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_is_valid(kind: str) -> None:
    key = KEYS[kind]()
    message = b"".join([sign(key, [FROM, TO, SUBJECT], BODY), FROM, TO, SUBJECT, b"\r\n", BODY])
    assert verified(message, [key])


@pytest.mark.parametrize("kind", KEYS)
def test_no_line_of_a_signature_is_longer_than_78(kind: str) -> None:
    """RFC 5322 section 2.1.1."""
    names = ["List-Unsubscribe-Post", "List-Unsubscribe", "Content-Transfer-Encoding", "From", "Reply-To"]
    field = sign(KEYS[kind](), [FROM, TO, SUBJECT], BODY, oversigned=names)
    lines = field.split(b"\r\n")
    assert all(line.startswith(b" ") and len(line) <= 78 for line in lines[1:-1])
    assert (len(lines[0]) <= 78, lines[-1]) == (True, b"")


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
ours = st.lists(st.from_regex(r"X-[A-Za-z0-9]{1,60}", fullmatch=True), max_size=20, unique_by=str.lower)


@given(st.lists(labels, min_size=1, max_size=3), labels, ours, ours)
def test_whatever_has_to_be_folded_the_tags_are_the_same(
    domain: list[str], selector: str, signed: list[str], absent: list[str]
) -> None:
    key = SigningKey.load(ED25519_SEED, domain=".".join([*domain, "test"]), selector=selector)
    fields = [FROM, *(f"{name}: x\r\n".encode() for name in signed)]
    field = sign(key, fields, BODY, oversigned=absent)
    tags = dict(
        tag.split(b"=", 1) for tag in field[len("DKIM-Signature:") :].translate(None, b"\r\n ").split(b";")
    )
    assert max(map(len, field.split(b"\r\n"))) <= 78
    assert (tags[b"d"], tags[b"s"]) == (key.domain.encode(), selector.encode())
    assert tags[b"h"].split(b":") == [name.lower().encode() for name in ["From", *signed, *absent]]
    assert verified(b"".join([field, *reversed(fields), b"\r\n", BODY]), [key])


def test_several_signatures_stand_on_one_message() -> None:
    keys = [rsa_key(1024), ed25519_key(), rsa_key(2048, "two")]
    fields = [sign(key, [FROM, TO, SUBJECT], BODY) for key in keys]
    message = b"".join([*fields, FROM, TO, SUBJECT, b"\r\n", BODY])
    assert [verified(message, keys, index=index) for index in range(3)] == [True, True, True]


def test_the_tags_say_what_is_signed_and_by_whom() -> None:
    """RFC 6376 section 3.5."""
    key = ed25519_key()
    message = email.message_from_bytes(
        sign(key, [FROM, TO, SUBJECT], BODY, oversigned=["From", "List-Unsubscribe"]) + FROM + b"\r\n",
        policy=email.policy.compat32,
    )
    unfolded = "".join(message["DKIM-Signature"].split())
    tags = dict(tag.split("=", 1) for tag in unfolded.split(";"))
    signature = tags.pop("b")
    assert (list(tags.items()), len(base64.b64decode(signature, validate=True))) == (
        [
            ("v", "1"),
            ("a", "ed25519-sha256"),
            ("c", "relaxed/relaxed"),
            ("d", "mail.acme.test"),
            ("s", "ed"),
            ("t", str(TIMESTAMP)),
            ("h", "from:to:subject:from:list-unsubscribe"),
            ("bh", base64.b64encode(sha256(BODY).digest()).decode()),
        ],
        64,
    )


@pytest.mark.parametrize(
    "field",
    [
        b"Subject: one\r\n two\r\n\tthree\r\n",
        b"Subject: \t spaces   everywhere \t \r\n",
        b"Subject:\r\n",
        b"Subject: \r\n \t\r\n x\r\n",
        "Subject: Größe für Ålice 日本語\r\n".encode(),
        b"Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\n =?utf-8?b?8J+Yig==?=\r\n",
        b"SUBJECT: a: b; b=c; bh=d: h=e\r\n",
        b"Subject: " + b"x" * 900 + b"\r\n",
    ],
)
@pytest.mark.parametrize("constant", [1, 3])
def test_whatever_stands_in_a_field_its_signature_is_valid(field: bytes, constant: int) -> None:
    key = ed25519_key()
    fields = [FROM, field, TO]
    message = b"".join([sign(key, fields, BODY, constant=constant), *fields, b"\r\n", BODY])
    assert verified(message, [key])


@given(
    st.binary(max_size=60).map(lambda octets: octets.translate(None, b"\r\n\v\f")),
    st.sampled_from([b"", b"\r\n ", b"\r\n\t", b"  ", b"\t"]),
    st.binary(max_size=60).map(lambda octets: octets.translate(None, b"\r\n\v\f")),
)
@example(b"", b"\r\n ", b"")
def test_any_octets_in_a_folded_field_are_signed_as_they_are_read(a: bytes, fold: bytes, b: bytes) -> None:
    """VT and FF are left out: dkimpy takes them for white space at the ends, which RFC 6376 does not."""
    key = ed25519_key()
    fields = [FROM, b"Subject: " + a + fold + b + b"\r\n", TO]
    assert verified(b"".join([sign(key, fields, BODY), *fields, b"\r\n", BODY]), [key])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"ann@", b"eve@"),
        (b"news@", b"evil@"),
        (b"The news", b"The views"),
        (b"Hello", b"HELLO"),
        (b"\r\n\r\nHello", b"\r\nFrom: eve@example.test\r\n\r\nHello"),
        (b"\r\n\r\nHello", b"\r\nSubject: Another\r\n\r\nHello"),
        (b"\r\n\r\nHello", b"\r\nReply-To: eve@example.test\r\n\r\nHello"),
    ],
)
def test_what_is_changed_or_added_on_the_way_breaks_it(before: bytes, after: bytes) -> None:
    """The last three add fields that are oversigned, one of which the message does not have."""
    key = rsa_key()
    field = sign(key, [FROM, TO, SUBJECT], BODY, oversigned=["From", "Subject", "Reply-To"])
    message = b"".join([field, FROM, TO, SUBJECT, b"\r\n", BODY])
    changed = message.replace(before, after)
    assert (verified(message, [key]), changed != message, verified(changed, [key])) == (True, True, False)


def test_fields_of_one_name_are_signed_from_the_last_to_the_first() -> None:
    """RFC 6376 section 5.4.2."""
    key = ed25519_key()
    first, last = b"Comments: first\r\n", b"Comments: last\r\n"
    field = sign(key, [FROM, last, first], BODY)
    assert verified(b"".join([field, first, FROM, last, b"\r\n", BODY]), [key])


def test_a_message_without_body_is_signed() -> None:
    """RFC 6376 section 3.4.4: the canonical form of no body is empty."""
    key = ed25519_key()
    assert verified(sign(key, [FROM, TO], b"") + FROM + TO + b"\r\n", [key])


@pytest.mark.parametrize("constant", range(5))
def test_what_is_the_same_for_everybody_makes_no_difference(constant: int) -> None:
    fields = [FROM, SUBJECT, TO, b"X-A:\r\n"]
    for key in (ed25519_key(), rsa_key()):
        assert sign(key, fields, BODY, constant=constant) == sign(key, fields, BODY, constant=0)


def test_a_domain_of_full_length_is_signed_on_lines_that_servers_pass() -> None:
    """RFC 5322 section 2.1.1: 998 octets are the most; a domain cannot be folded."""
    domain = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 40, "test"])
    key = SigningKey.load(ED25519_SEED, domain=domain, selector="s" * 63)
    field = sign(key, [FROM, TO, SUBJECT], BODY, oversigned=[f"X-Field-{number}" for number in range(60)])
    message = b"".join([field, FROM, TO, SUBJECT, b"\r\n", BODY])
    long_lines = [line for line in field.split(b"\r\n") if len(line) > 78]
    assert (verified(message, [key]), len(long_lines), len(long_lines[0]) < 998) == (True, 1, True)


def test_threads_that_share_a_key_sign_alike() -> None:
    key = rsa_key(2048)
    signature = Signature(
        key, constant=relaxed_field(FROM), names=["From", "To"], oversigned=[], timestamp=TIMESTAMP
    )
    fields: list[list[bytes]] = []

    def work() -> None:
        fields.append([signature.field(b"to:%d\r\n" % number, bytes(32)) for number in range(20)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(fields), len(set(map(tuple, fields))), len(set(fields[0]))) == (4, 1, 20)


def test_a_signature_that_does_not_cover_from_is_refused() -> None:
    """RFC 6376 section 5.4."""
    with pytest.raises(ValueError, match="From"):
        Signature(ed25519_key(), constant=b"", names=["To"], oversigned=["From"], timestamp=TIMESTAMP)


def test_what_is_no_body_hash_is_refused() -> None:
    signature = Signature(ed25519_key(), constant=b"", names=["From"], oversigned=[], timestamp=TIMESTAMP)
    with pytest.raises(ValueError, match="32"):
        signature.field(relaxed_field(FROM), sha256(BODY).hexdigest().encode())
