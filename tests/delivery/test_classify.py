"""What a reply means: a table of replies and the dispositions they must become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.classify import classify
from bulkmail.delivery.disposition import Fate, Scope
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

TABLE = [
    (Stage.END_OF_DATA, 250, "2.0.0", "queued as 1A2B", Fate.DELIVERED, Scope.MESSAGE),
    (Stage.RCPT, 550, "5.1.1", "unknown user", Fate.BOUNCED, Scope.RECIPIENT),
    (Stage.RCPT, 552, "5.2.2", "mailbox full", Fate.BOUNCED, Scope.RECIPIENT),
    (Stage.RCPT, 452, "4.2.2", "mailbox full", Fate.DEFERRED, Scope.RECIPIENT),
    (Stage.RCPT, 452, "4.5.3", "no more", Fate.AGAIN, Scope.RECIPIENT),
    (Stage.RCPT, 452, None, "Too many recipients", Fate.AGAIN, Scope.RECIPIENT),
    (Stage.RCPT, 552, "5.5.3", "Too many recipients", Fate.AGAIN, Scope.RECIPIENT),
    (Stage.RCPT, 451, "4.7.1", "Greylisted, try again in 5 minutes", Fate.DEFERRED, Scope.RECIPIENT),
    (Stage.RCPT, 450, "4.2.1", "rate limit of this mailbox", Fate.DEFERRED, Scope.RECIPIENT),
    (Stage.RCPT, 450, "4.7.0", "rate limited, slow down", Fate.DEFERRED, Scope.RECIPIENT),
    (Stage.MAIL, 450, "4.7.0", "rate limited, slow down", Fate.DEFERRED, Scope.SITE),
    (Stage.RCPT, 504, "5.5.2", "<x>: Helo command rejected", Fate.DEFERRED, Scope.RECIPIENT),
    (Stage.MAIL, 555, "5.5.4", "Unsupported option", Fate.DEFERRED, Scope.SESSION),
    (Stage.RCPT, 421, "4.7.0", "closing", Fate.DEFERRED, Scope.SESSION),
    (Stage.MAIL, 421, None, "too busy", Fate.DEFERRED, Scope.SESSION),
    (Stage.MAIL, 451, None, "later", Fate.DEFERRED, Scope.SESSION),
    (Stage.MAIL, 550, "5.7.1", "sender refused", Fate.BOUNCED, Scope.MESSAGE),
    (Stage.MAIL, 530, "5.7.0", "Must issue STARTTLS first", Fate.DEFERRED, Scope.SESSION),
    (Stage.DATA, 503, "5.5.1", "need RCPT", Fate.DEFERRED, Scope.SESSION),
    (Stage.DATA, 554, "5.5.1", "no valid recipients", Fate.DEFERRED, Scope.SESSION),
    (Stage.DATA, 554, "5.7.1", "not from you", Fate.BOUNCED, Scope.MESSAGE),
    (Stage.END_OF_DATA, 451, "4.3.0", "disk", Fate.DEFERRED, Scope.MESSAGE),
    (Stage.END_OF_DATA, 554, "5.7.1", "spam", Fate.BOUNCED, Scope.MESSAGE),
    (Stage.RCPT, 554, "5.7.1", "Client host blocked using zen.spamhaus.org", Fate.DEFERRED, Scope.SOURCE),
    (Stage.MAIL, 550, "5.7.1", "Our system has blocked your IP address", Fate.DEFERRED, Scope.SOURCE),
    (Stage.GREETING, 554, None, "no", Fate.DEFERRED, Scope.SITE),
    (Stage.MAIL, 550, "5.4.5", "Daily user sending limit exceeded", Fate.DEFERRED, Scope.SITE),
    (Stage.RCPT, 550, "5.4.5", "Daily user sending limit exceeded", Fate.DEFERRED, Scope.SITE),
    (Stage.RCPT, 550, None, "Domain x has exceeded the max emails per hour", Fate.DEFERRED, Scope.SITE),
    (
        Stage.END_OF_DATA,
        550,
        "5.1.90",
        "you've reached your daily limit for message recipients",
        Fate.DEFERRED,
        Scope.SITE,
    ),
    (
        Stage.RCPT,
        550,
        "5.2.1",
        "user you are trying to contact is receiving mail at a rate that",
        Fate.BOUNCED,
        Scope.RECIPIENT,
    ),
    (Stage.END_OF_DATA, 552, None, "Too much mail data", Fate.BOUNCED, Scope.MESSAGE),
]


@pytest.mark.parametrize(("stage", "code", "enhanced", "text", "fate", "scope"), TABLE)
def test_a_reply_becomes_this_disposition(stage, code, enhanced, text, fate, scope):
    disposition = classify(stage, Reply.of(code, text, enhanced=enhanced))
    assert (disposition.fate, disposition.scope) == (fate, scope)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("try again in 300 seconds", 300.0),
        ("please retry after 5 minutes", 300.0),
        ("come back in 2 hours", 7200.0),
        ("closing after 100 messages", None),
        ("max 5 in 10 sessions", None),
        ("later", None),
    ],
)
def test_a_stated_wait_is_understood(text, wait_s):
    """X14."""
    assert classify(Stage.RCPT, Reply.of(451, text, enhanced="4.7.1")).wait_s == wait_s


@pytest.mark.parametrize(
    ("stage", "code", "enhanced", "text", "about_us"),
    [
        (Stage.MAIL, 550, "5.7.1", "your address is listed", True),
        (Stage.MAIL, 550, "5.4.5", "daily sending quota exceeded", True),
        (Stage.RCPT, 554, "5.7.1", "rejected by Spamhaus", True),
        (Stage.RCPT, 550, None, "blocked, see our blacklist", True),
        (Stage.RCPT, 504, "5.5.2", "Helo command rejected", True),
        (Stage.RCPT, 550, "5.4.5", "daily sending quota exceeded", True),
        (Stage.RCPT, 550, "5.2.1", "user you are trying to contact is receiving mail at a rate", False),
        (Stage.RCPT, 550, None, "High probability of spam", False),
        (Stage.END_OF_DATA, 554, None, "Message rejected as spam by Content Filtering", False),
        (Stage.END_OF_DATA, 552, "5.2.0", "suspicious content", False),
        (Stage.END_OF_DATA, 554, "5.6.0", "no", False),
        (Stage.END_OF_DATA, 451, "4.7.1", "looks like spam, later perhaps", False),
        (Stage.RCPT, 550, "5.1.1", "unknown user", False),
        (Stage.RCPT, 451, "4.7.1", "greylisted", False),
        (Stage.RCPT, 450, "4.2.0", "later", False),
        (Stage.END_OF_DATA, 250, "2.0.0", "queued", False),
    ],
)
def test_a_refusal_of_the_sender_is_told_from_one_of_a_recipient(stage, code, enhanced, text, about_us):
    assert classify(stage, Reply.of(code, text, enhanced=enhanced)).about_us == about_us


@given(st.sampled_from(Stage), st.integers(200, 599), st.text(max_size=30))
def test_the_first_digit_is_never_crossed_towards_success(stage, code, text):
    """X15: whatever else it says, only 2yz delivers, and 4yz never bounces."""
    safe = "".join(ch for ch in text if ch.isprintable())
    fate = classify(stage, Reply.of(code, safe)).fate
    assert (fate is Fate.DELIVERED) == (code < 300)
    assert not (400 <= code < 500 and fate is Fate.BOUNCED)
