"""Targets of single values: addresses, SASL challenges, tokens, key records, and what the accounting
tells.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise

from fuzz_smtp import SAID, heard
from fuzz_target import same, target

from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.plain_address import plain_domains
from bulkmail.delivery.classify import classify
from bulkmail.delivery.work import Verdict, Where
from bulkmail.errors import RemoteProtocolError
from bulkmail.message.key_record import is_key_record, is_testing, mismatch, tags
from bulkmail.message.token import Tokens
from bulkmail.smtp import (
    AddressError,
    AuthResponse,
    Login,
    Mailbox,
    Plain,
    Rcpt,
    ScramSha256,
    XOAuth2,
    parse_command,
    paths_of,
)
from bulkmail.transport.certificate import read_certificate
from bulkmail.transport.stage import Stage
from bulkmail.transport.tls import doubts

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@target(
    seeds=(b"ann@a.test", b'"a b"@a.test', "ü@bücher.test".encode(), b"a@[192.0.2.1]", b"a@[IPv6:::1]"),
    words=(b"@", b'"', b"\\", b"<", b">", b"a.test", b"\r\n", b"\n", b"\0", b"(c)", b",", b"xn--", b".", b" ",
    b"[", b"]",
           "é".encode(), "．".encode(), "＠".encode(), "\u2028".encode(), "\u200d".encode(), "ß".encode(),
           b"x" * 64),
    longest=512, examples=200,
)  # fmt: skip
def address(data: bytes) -> None:
    """A mailbox or AddressError; its canonical form parses to itself, is one path on the wire for us and for
    the server half, and holds nothing that ends one."""
    text = data.decode("utf-8", "surrogateescape")
    # a cell that is plain has no newline in it
    domains, odd = ([], [0]) if "\n" in text else plain_domains([text])
    try:
        mailbox = Mailbox.parse(text)
    except AddressError:
        assert odd == [0], f"plain, and no address: {text!r}"
        return
    if not odd:
        same((str(mailbox), mailbox.domain.decode()), (text, domains[0]), "plain, and not canonical")
    again = str(mailbox)
    same(Mailbox.parse(again), mailbox, "not canonical")
    assert not CONTROL.search(again), again
    wire = paths_of([again]).wire
    same(wire, b"RCPT TO:<%b>\r\n" % mailbox.wire)
    same(parse_command(wire), Rcpt(mailbox), "the server half reads another path")
    same(paths_of([again, "ann@a.test"]).wire, wire + b"RCPT TO:<ann@a.test>\r\n")


SCRAM = b"r=nonceserver,s=QSXCR+Q6sek8bf92,i=4096"
DEAR = re.compile(rb"i=0*[0-9]{5}")  # iterations: up to a million are done, which is a second of work


@target(
    seeds=(b"\3" + base64.b64encode(SCRAM) + b"\n" + base64.b64encode(b"v=AAAA"), b"\0\n",
    b"\1VXNlcm5hbWU6\nUGFzc3dvcmQ6\n"),
    words=(SCRAM, base64.b64encode(SCRAM), b"\n", b"v=", b"e=other-error", b",", b"=", b"i=4096", b"s=",
    b"r=nonce"),
    longest=512, examples=100,
)  # fmt: skip
def sasl(data: bytes) -> None:
    """Whatever the challenges, in base64 or not: a response, or RemoteProtocolError; nobody is verified by
    chance, and a password goes out only where its mechanism says so."""
    kind, *challenges = (data[:1] or b"\0")[0] % 4, *data[1:].split(b"\n")
    mechanism = (Plain, Login, XOAuth2, ScramSha256)[kind]("user", "pencil")
    if isinstance(mechanism, ScramSha256):
        mechanism = ScramSha256("user", "pencil", nonce="nonce")
    mechanism.initial()
    for challenge in challenges:
        try:
            plain = base64.b64decode(challenge.strip(), validate=True)
        except binascii.Error:
            plain = challenge
        if DEAR.search(plain):
            return
        try:
            response = mechanism.respond(plain)
        except RemoteProtocolError:
            continue
        same(AuthResponse(response).encode().count(b"\n"), 1)
        if isinstance(mechanism, ScramSha256):
            assert b"pencil" not in response
            assert not mechanism.verified


TOKENS = Tokens("a secret of sixteen", "hello")
GOOD = TOKENS.token(7)


@target(
    seeds=(GOOD.encode(), GOOD.upper().encode()),
    words=(GOOD[:8].encode(), GOOD[8:16].encode(), GOOD[16:].encode(), "\u212a".encode(), b"a", b"7", b"\0",
    b"="),
    longest=80, examples=150,
)  # fmt: skip
def token(data: bytes) -> None:
    """An id whose token it is, in whatever case, or None."""
    text = data.decode("utf-8", "surrogateescape")
    number = TOKENS.verify(text)
    if number is not None:
        same(TOKENS.token(number), text.lower(), "another token of the same id")
    for one, other in pairwise(TOKENS.tokens([len(data), len(data) + 1])):
        assert one != other


@target(
    seeds=(b"v=DKIM1; k=rsa; p=MIGf", b"v=DKIM1; p=", b"v=spf1 -all"),
    words=(b"v=DKIM1", b"; ", b"p=", b"k=rsa", b"k=ed25519", b"h=sha256:*", b"s=email", b"t=y", b'"', b"\\",
    b"\xff", b"=", b"n="),
    longest=512, examples=80,
)  # fmt: skip
def key_record(data: bytes) -> None:
    """Whatever stands in a TXT record: what is wrong with it as one printable line, or nothing."""
    tags(data), is_key_record(data), is_testing(data)
    for kind in ("rsa", "ed25519"):
        why = mismatch(data, kind, b"0123456789abcdef")
        assert why is None or why.isprintable(), why


@target(seeds=(b"550 5.1.1 unknown\r\n",), words=SAID, examples=60)
def accounting(data: bytes) -> None:
    """Whatever a host said, the accounting has one line of JSON for each recipient, which says it."""
    log = AccountingLog.__new__(AccountingLog)
    log._campaign = data[:40].decode("utf-8", "replace")
    for one in heard([data])[0]:
        given = classify(Stage.RCPT, one)
        verdict = Verdict(1, 2, given, 1.5, Where("mx.a.test", "192.0.2.1"), due=9.0)
        lines = log.lines([verdict], [_Person(1, "ann@a.test"), _Person(2, '"\u2028"@b.test')])
        assert lines.count(b"\n") == 2, lines
        told = [json.loads(line) for line in lines.splitlines()]
        same([line["recipient"] for line in told], ["ann@a.test", '"\u2028"@b.test'])
        same({(line["reply"], line["code"]) for line in told}, {(given.text, one.code)})


class _Person:
    attempts, since = 0, None

    def __init__(self, id: int, address: str) -> None:
        self.id, self.address, self.fields = id, address, {}


# Of a host mx.a.test at 192.0.2.1, by an authority that nobody knows.
DER = base64.b64decode(
    "MIICMjCCAdmgAwIBAgIUbxXFjrHZeEpxhVQLxyCf59XZYiQwCgYIKoZIzj0EAwIwQDEXMBUGA1UECgwOdHJ1c3RtZSB2MS4yLjExJTAj"
    "BgNVBAsMHFRlc3RpbmcgQ0EgI1hqblczckxLQkc0MEx5Sk8wIBcNMDAwMTAxMDAwMDAwWhgPMzAwMDAxMDEwMDAwMDBaMEIxFzAVBgNV"
    "BAoMDnRydXN0bWUgdjEuMi4xMScwJQYDVQQLDB5UZXN0aW5nIGNlcnQgI1RzZGNqcC1yOGxiUUZ2MEowWTATBgcqhkjOPQIBBggqhkjO"
    "PQMBBwNCAARBQ/qld5+mjz7TOAqiYtHZv0HZ9ba7UCeE83n4z8KVtlXEfqKh2a8wy0b984wjgP4zccctPsrU8ZVRjUMJfEXHo4GsMIGp"
    "MB0GA1UdDgQWBBSg62TTd5l3IpxX8Tl8x29Oa0c4aDAMBgNVHRMBAf8EAjAAMB8GA1UdIwQYMBaAFF0NSg+GS+IIK2HWyUdogLFXVdib"
    "MB0GA1UdEQEB/wQTMBGCCW14LmEudGVzdIcEwAACATAOBgNVHQ8BAf8EBAMCBaAwKgYDVR0lAQH/BCAwHgYIKwYBBQUHAwIGCCsGAQUF"
    "BwMBBggrBgEFBQcDAzAKBggqhkjOPQQDAgNHADBEAiAMApFNN5uqAMRs1oDDT0vjmW+7qskDeL7dXJw7vDqE8wIgNtkSF3dhy+2ZBooG"
    "9WXxGbUjmnELAwX5A0OY3mUYpLQ="
)
OIDS = (
    b"\x06\x03\x55\x1d\x11",
    b"\x06\x03\x55\x1d\x13",
    b"\x06\x03\x55\x04\x0a",
    b"\x2a\x86\x48\xce\x3d\x02\x01",
)


@target(
    seeds=(DER,),
    words=(
        *OIDS, b"\x30\x82\x01", b"\x82\x09", b"\x87\x10", b"\xa0\x03\x02\x01\x02", b"\x18\x0f30000101000000Z",
        b"\0", b"\xff",
    ),
    longest=900,
)  # fmt: skip
def certificate(data: bytes) -> None:
    """What it says about itself, or ValueError; and what is wrong with it, as text for people."""
    with suppress(ValueError):
        read_certificate(data)
    assert doubts(data, "mx.a.test", datetime(2026, 11, 22, tzinfo=UTC))
