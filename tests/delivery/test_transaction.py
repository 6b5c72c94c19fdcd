"""What the answers to one transaction mean for each of its recipients: pure, so a table."""

from __future__ import annotations

import pytest

from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.transaction import commands, judge_content, judge_envelope, unsendable
from bulkmail.delivery.work import Letter
from bulkmail.errors import ConnectionLost, RemoteProtocolError
from bulkmail.smtp import Extensions, Mail, Mailbox, Reply
from bulkmail.transport.flight import Flight

LOST = ConnectionLost("the connection was closed")


def flight(*codes: int | Reply, failure=None, handed_over=True) -> Flight:
    replies = tuple(code if isinstance(code, Reply) else Reply.of(code, "text") for code in codes)
    return Flight(replies, handed_over, failure)


def fates(verdict):
    return [None if fate is None else fate.fate for fate in verdict.fates]


D, B = Fate.DEFERRED, Fate.BOUNCED
TOO_MANY = Reply.of(452, "no more", enhanced="4.5.3")


@pytest.mark.parametrize(
    ("story", "came", "expected", "go", "lone_dot"),
    [
        ("X1: three verdicts", flight(250, 250, 451, 550, 354), [None, D, B], True, False),
        ("X2: nobody accepted, 354 all the same", flight(250, 550, 550, 550, 354), [B] * 3, False, True),
        ("X3: MAIL refused is everybody's", flight(550, 503, 503, 503, 503), [B] * 3, False, False),
        ("X3: MAIL refused, 354 all the same", flight(451, 503, 503, 503, 354), [D] * 3, False, True),
        ("X3: MAIL refused, the rest accepted", flight(550, 250, 250, 250, 354), [B] * 3, False, False),
        (
            "G8: 354, and the thread lost",
            flight(250, 250, 250, 250, 354, failure=LOST),
            [D] * 3,
            False,
            False,
        ),
        ("X4: 550 and then close", flight(250, 550, failure=LOST), [B, D, D], False, False),
        ("X6: DATA refused concerns the accepted", flight(250, 250, 451, 550, 554), [B, D, B], False, False),
        ("G2: 421 at RCPT", flight(250, 250, 421, failure=LOST), [D, D, D], False, False),
        ("nobody accepted and DATA refused", flight(250, 550, 451, 550, 503), [B, D, B], False, False),
        ("nothing answered", flight(failure=LOST), [D] * 3, False, False),
        ("lost before DATA was answered", flight(250, 250, 250, 250, failure=LOST), [D] * 3, False, False),
        (
            "X5: too many, after some",
            flight(250, 250, TOO_MANY, TOO_MANY, 354),
            [None, Fate.AGAIN, Fate.AGAIN],
            True,
            False,
        ),
        ("too many, of nobody", flight(250, TOO_MANY, TOO_MANY, TOO_MANY, 503), [D] * 3, False, False),
    ],
)
def test_the_envelope(story, came, expected, go, lone_dot):
    verdict = judge_envelope(3, came)
    assert (fates(verdict), verdict.go, verdict.lone_dot) == (expected, go, lone_dot), story


@pytest.mark.parametrize(
    ("story", "came", "expected"),
    [
        ("accepted", flight(250), Fate.DELIVERED),
        ("refused for now", flight(451), Fate.DEFERRED),
        ("refused for good", flight(554), Fate.BOUNCED),
        ("421 is a final reply", flight(421, failure=LOST), Fate.DEFERRED),
        (
            "X7: an error in mid-body, read after EPIPE",
            flight(552, failure=LOST, handed_over=False),
            Fate.BOUNCED,
        ),
        ("X8: lost after the last octet", flight(failure=LOST), Fate.IN_DOUBT),
        ("lost before the last octet", flight(failure=LOST, handed_over=False), Fate.DEFERRED),
        ("X15: an ill-formed final reply", flight(failure=RemoteProtocolError("999")), Fate.IN_DOUBT),
    ],
)
def test_the_end_of_data(story, came, expected):
    assert judge_content(came).fate is expected, story


def test_an_eai_recipient_asks_for_smtputf8_and_fails_alone_without_it():
    """X11."""
    plain, utf8 = Mailbox.parse("ann@a.test"), Mailbox.parse("jörg@a.test")
    letter = Letter(plain, (b"hello\r\n.\r\n",))
    offered = Extensions(smtputf8=True, esmtp=True)
    mail = commands(letter, [plain, utf8], offered)[0]
    assert isinstance(mail, Mail)
    refusal = unsendable(letter, utf8, Extensions(esmtp=True))
    assert mail.parameters == (("SMTPUTF8", None),)
    assert unsendable(letter, plain, Extensions(esmtp=True)) is None
    assert refusal is not None
    assert refusal.status == "5.6.7"


@pytest.mark.parametrize(
    ("reverse_path", "in_header", "expected"),
    [
        ("bounces@acme.test", False, False),
        ("bounces@acme.test", True, True),
        ("grüße@acme.test", False, True),
        (None, False, False),
        (None, True, True),
    ],
)
def test_a_sender_whose_own_address_needs_smtputf8_needs_it_for_everybody(reverse_path, in_header, expected):
    """X11."""
    path = None if reverse_path is None else Mailbox.parse(reverse_path)
    letter = Letter(path, (b"hello\r\n", b".\r\n"), in_header)
    ann = Mailbox.parse("ann@a.test")
    mail = commands(letter, [ann], Extensions(smtputf8=True, esmtp=True))[0]
    assert isinstance(mail, Mail)
    refusal = unsendable(letter, ann, Extensions(esmtp=True))
    assert (mail.reverse_path, ("SMTPUTF8", None) in mail.parameters) == (path, expected)
    assert (refusal is not None and refusal.status == "5.6.7") is expected


def test_a_message_that_is_too_large_is_not_even_offered():
    """X10."""
    plain = Mailbox.parse("ann@a.test")
    refusal = unsendable(
        Letter(plain, (bytes(1000), bytes(1000))),
        plain,
        Extensions(esmtp=True, announces_size=True, size=1000),
    )
    assert refusal is not None
    assert (refusal.fate, refusal.status, refusal.note) == (
        Fate.BOUNCED,
        "5.3.4",
        "the message has 2,000 octets and this exchanger takes 1,000 (SIZE, RFC 1870): "
        "too large for whoever is behind it, which says nothing of other sites",
    )
