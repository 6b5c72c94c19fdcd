"""Mailboxes: what is one, what is not and why, and that none can carry more than an address."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.smtp import AddressError, Mailbox, domain_to_ascii


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("ann@example.org", b"ann@example.org"),
        ("  ann@example.org\t", b"ann@example.org"),
        ("Ann.Lee@EXAMPLE.Org", b"Ann.Lee@example.org"),
        ("ann+news@example.org", b"ann+news@example.org"),
        ("!#$%&'*+-/=?^_`{|}~@example.org", b"!#$%&'*+-/=?^_`{|}~@example.org"),
        ('"ann lee"@example.org', b'"ann lee"@example.org'),
        ('"a@b"@example.org', b'"a@b"@example.org'),
        ('"a\\"b\\\\"@example.org', b'"a\\"b\\\\"@example.org'),
        ('""@example.org', b'""@example.org'),
        ("ann@bücher.example", b"ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", b"ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", b"ann@xn--bcher-kva.example"),
        ("ann@straße.example", b"ann@xn--strae-oqa.example"),
        ("用户@例え.jp", "用户@xn--r8jz45g.jp".encode()),
        ("ann@[192.0.2.1]", b"ann@[192.0.2.1]"),
        ("ann@[ipv6:2001:DB8:0:0::1]", b"ann@[IPv6:2001:db8::1]"),
        ("ann@localhost", b"ann@localhost"),
        ("a@3com.com", b"a@3com.com"),
        ("a" * 64 + "@example.org", b"a" * 64 + b"@example.org"),
    ],
)
def test_a_legal_address_has_one_form_on_the_wire(text: str, wire: bytes) -> None:
    """I6."""
    assert Mailbox.parse(text).wire == wire


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("ann", "no @"),
        ("ann@", "nothing after"),
        ("@example.org", "nothing before"),
        ("ann@b@example.org", "more than one @"),
        ("ann lee@example.org", "a space before the @"),
        ("ann@exam ple.org", "a space in the domain"),
        (".ann@example.org", "dots before"),
        ("ann..lee@example.org", "dots before"),
        ('an"n@example.org', "a stray quote"),
        ('"ann"lee@example.org', "between the closing quote"),
        ("ann(x)@example.org", "not allowed there without quotes"),
        ("Ann <ann@example.org>", "without a name"),
        ("ann@example.org.", "dots in the domain"),
        ("ann@example..org", "dots in the domain"),
        ("ann@-example.org", "hyphen"),
        ("ann@exam_ple.org", "underscore"),
        ("ann@192.0.2.1", "in brackets"),
        ("ann@[192.0.2.256]", "not an address literal"),
        ("ann@[IPv6:fe80::1%eth0]", "not an address literal"),
        ("ann@[2001:db8::1]", "not an address literal"),
        ("ann@\u2764.example", "not a valid international name"),
        ("a" * 65 + "@example.org", "64 octets"),
        ("ü" * 33 + "@example.org", "64 octets"),
        ("ann@" + "a" * 64 + ".org", "63 octets"),
        ("ann@" + ".".join(["a" * 60] * 5), "253 octets"),
        ("a" * 60 + "@" + ".".join(["a" * 60] * 3) + ".example.com", "254 octets"),
        ("ann\u202eee@example.org", "not allowed there"),
        ("ann\u200b@example.org", "not allowed there"),
    ],
)
def test_an_illegal_address_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason):
        Mailbox.parse(text)


@pytest.mark.parametrize("poison", ["\r", "\n", "\r\n", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize(
    "form", ["{}ann@a.test", "an{}n@a.test", '"an{}n"@a.test', "ann@a{}.test", "ann@a.test{}"]
)
def test_no_control_character_gets_into_a_mailbox_by_parsing(form: str, poison: str) -> None:
    """I1."""
    with pytest.raises(AddressError):
        Mailbox.parse(form.format(poison))


@pytest.mark.parametrize(
    ("local", "domain"),
    [
        (b"ann\r\nDATA", b"a.test"),
        (b'"ann\r\n"', b"a.test"),
        (b'"\\\r"', b"a.test"),
        (b"ann", b"a.test\r\n"),
        (b"ann", b"a.test\n"),
        (b"ann\0", b"a.test"),
        (b"ann>", b"a.test"),
        (b"ann lee", b"a.test"),
        (b"ann", b"a.test> SIZE=1"),
        (b"ann", b""),
        (b"", b"a.test"),
        (b"\xff", b"a.test"),
        (b"ann", "ü.test".encode()),
        (b"ann", b"A.test"),  # canonical forms only, or == would not mean the same mailbox
        (b'"ann"', b"a.test"),
        (b"ann", b"[127.0.0.1]\r\n"),
    ],
)
def test_no_constructor_makes_an_invalid_mailbox(local: bytes, domain: bytes) -> None:
    """I1."""
    with pytest.raises(AddressError):
        Mailbox(local, domain)


def test_replacing_a_part_is_checked_like_constructing() -> None:
    """I1."""
    with pytest.raises(AddressError):
        dataclasses.replace(Mailbox.parse("ann@a.test"), local=b"ann\r\nRSET")


def test_a_mailbox_survives_pickling_and_copying() -> None:
    mailbox = Mailbox.parse("ü+x@bücher.example")
    assert pickle.loads(pickle.dumps(mailbox)) == copy.deepcopy(mailbox) == mailbox


def test_no_pickle_makes_an_invalid_mailbox() -> None:
    """I1."""
    forged = pickle.dumps(Mailbox.parse("ann@a.test")).replace(b"ann", b"a\r\n")
    with pytest.raises(AddressError):
        pickle.loads(forged)


def test_the_same_mailbox_written_differently_is_equal() -> None:
    """I5."""
    forms = [
        "ann@bücher.example",
        '"ann"@BÜCHER.EXAMPLE',
        '"a\\nn"@xn--bcher-kva.example',
        " ann@Bücher.example",
    ]
    assert len({Mailbox.parse(form) for form in forms}) == 1


def test_the_case_of_the_local_part_is_kept() -> None:
    assert Mailbox.parse("Ann@a.test") != Mailbox.parse("ann@a.test")


@pytest.mark.parametrize(("text", "needs"), [("ann@bücher.example", False), ("änn@a.test", True)])
def test_only_a_local_part_beyond_ascii_needs_smtputf8(text: str, needs: bool) -> None:
    """X11."""
    assert Mailbox.parse(text).smtputf8 is needs


def test_an_international_domain_becomes_a_labels() -> None:
    assert domain_to_ascii("Bücher.Example") == b"xn--bcher-kva.example"


_PIECES = st.sampled_from(
    [*list('ab.@"\\ +-_[]<>:,;()\r\n\x00\x7f\x85'), "ü", "例", "\u2028", "IPv6:", "1.2", "::1"]
)


@given(st.lists(_PIECES, max_size=14).map("".join) | st.text(max_size=20))
def test_whatever_parses_is_safe_and_parses_again_to_itself(text: str) -> None:
    try:
        mailbox = Mailbox.parse(text)
    except AddressError:
        return
    assert not set(mailbox.wire) & {0, 10, 13, 127}
    assert Mailbox.parse(str(mailbox)) == Mailbox(mailbox.local, mailbox.domain) == mailbox


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_whatever_is_constructed_is_safe_and_parses_again_to_itself(local: bytes, domain: bytes) -> None:
    """I1."""
    try:
        mailbox = Mailbox(local, domain)
    except AddressError:
        return
    assert Mailbox.parse(str(mailbox)) == mailbox
