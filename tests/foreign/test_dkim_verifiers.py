"""The verifiers themselves: both accept what is signed, and both see every change to it.

Signed by dkimpy, and once by the authors of RFC 8463, so that nothing of ours is needed to trust them.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence

import dkim
import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dkim_verifier import AT_ONCE, Verdict, dkimpy, opendkim
from servers import NotInstalled

Verifier = Callable[[Sequence[bytes], Mapping[str, str]], list[list[Verdict]]]

CONTENT = (
    b"From: Acme <news@acme.test>\r\n"
    b"Reply-To: B\xc3\xbcro <b\xc3\xbcro@acme.test>\r\n"
    b"List-Unsubscribe: <https://acme.test/%b>\r\n"
    b"To: readers@acme.test\r\n"
    b"Subject: one\r\n two\r\n"
    b"Date: Sat, 21 Nov 2026 20:00:00 +0000\r\n"
    b"\r\n"
    b".a dot\r\n"
    b"the last line\r\n"
) % (b"far/" * 230)
SIGNED = [
    b"from",
    b"from",
    b"to",
    b"subject",
    b"subject",
    b"date",
    b"reply-to",
    b"list-unsubscribe",
    b"list-id",
]

# RFC 8463, appendix A.3, with the records of A.2.
RFC_8463 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
RFC_8463_RECORDS = {
    "brisbane._domainkey.football.example.com": (
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    ),
    "test._domainkey.football.example.com": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
        "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
        "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
        "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}

# Each is one change on the way that a signature must not survive, as what is replaced by what.
CHANGES = {
    "a word of the text": (b"last line", b"last lime"),
    "a line at the end": (b"the last line\r\n", b"the last line\r\nand one more\r\n"),
    "a dot too few": (b"\r\n.a dot", b"\r\na dot"),
    "a field": (b"Subject: one", b"Subject: won"),
    "who wrote it": (b"From: Acme <news@acme.test>", b"From: Evil <news@acme.test>"),
    "a second author": (b"From: Acme", b"From: Evil <evil@acme.test>\r\nFrom: Acme"),
    "a second subject": (b"Subject: one", b"Subject: none\r\nSubject: one"),
    "a field that was not there": (b"Subject: one", b"List-Id: <evil.test>\r\nSubject: one"),
    "a field that is gone": (b"To: readers@acme.test\r\n", b""),
    "the day of the signature": (b"; t=1", b"; t=0"),
    "the domain that signed": (b"d=acme.test", b"d=evil.test"),
    "the selector": (b"s=key", b"s=yek"),
}


@pytest.fixture(params=[dkimpy, opendkim])
def verifier(request: pytest.FixtureRequest) -> Verifier:
    asked: Verifier = request.param
    try:
        asked([], {})
    except NotInstalled as reason:
        if os.environ.get("BULKMAIL_REQUIRE_FOREIGN") == "1":
            raise
        pytest.skip(str(reason))
    return asked


@pytest.fixture(scope="module", params=["rsa-sha256", "ed25519-sha256"])
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def signed(algorithm: str) -> tuple[bytes, dict[str, str]]:
    """A message that dkimpy signed, and the record of its key."""
    if algorithm == "rsa-sha256":
        key = rsa.generate_private_key(65537, 2048)
        private = key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()
        )
        public = key.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    else:
        edwards = ed25519.Ed25519PrivateKey.generate()
        private = base64.b64encode(edwards.private_bytes_raw())
        public = edwards.public_key().public_bytes_raw()
    signature = dkim.sign(
        CONTENT,
        b"key",
        b"acme.test",
        private,
        canonicalize=(b"relaxed", b"relaxed"),
        signature_algorithm=algorithm.encode(),
        include_headers=SIGNED,
    )
    kind = algorithm.partition("-")[0]
    record = f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"
    return signature + CONTENT, {
        "key._domainkey.acme.test": record,
        "old._domainkey.acme.test": "v=DKIM1; p=",
    }


def test_both_signatures_of_rfc_8463_hold(verifier: Verifier) -> None:
    domain = "football.example.com"
    assert verifier([RFC_8463], RFC_8463_RECORDS) == [
        [
            Verdict(domain, "brisbane", "ed25519-sha256", "pass"),
            Verdict(domain, "test", "rsa-sha256", "pass"),
        ]
    ]


def test_what_is_signed_holds_and_what_was_changed_does_not(
    verifier: Verifier, algorithm: str, signed: tuple[bytes, dict[str, str]]
) -> None:
    message, records = signed
    changed = {name: message.replace(old, new, 1) for name, (old, new) in CHANGES.items()}
    assert [name for name, other in changed.items() if other == message] == []
    verdicts = verifier([message, *changed.values()], records)
    assert verdicts[0] == [Verdict("acme.test", "key", algorithm, "pass")]
    believed = zip(changed, verdicts[1:], strict=True)
    assert [name for name, (verdict,) in believed if verdict.result == "pass"] == []


def test_without_its_record_no_signature_holds(
    verifier: Verifier, algorithm: str, signed: tuple[bytes, dict[str, str]]
) -> None:
    message, records = signed
    revoked = {"key._domainkey.acme.test": "v=DKIM1; p="}
    elsewhere = {"key._domainkey.evil.test": records["key._domainkey.acme.test"]}
    verdicts = [verdict for kept in (revoked, elsewhere) for verdict in verifier([message], kept)[0]]
    assert [(verdict.selector, verdict.result == "pass") for verdict in verdicts] == [("key", False)] * 2


def test_each_of_many_messages_has_its_own_verdict(
    verifier: Verifier, algorithm: str, signed: tuple[bytes, dict[str, str]]
) -> None:
    message, records = signed
    several = [message, CONTENT, message.replace(b"a dot", b"no dot"), message]
    verdicts = verifier([*several, *[CONTENT] * AT_ONCE, message], records)
    good = [Verdict("acme.test", "key", algorithm, "pass")]
    bad = verdicts.pop(2)
    assert verdicts == [good, [], good, *[[]] * AT_ONCE, good]
    assert [verdict.result == "pass" for verdict in bad] == [False]
