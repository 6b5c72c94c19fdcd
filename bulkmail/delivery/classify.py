"""From a reply to a disposition: first digit, then stage, then enhanced code and a few known texts.

2yz is taken. For the rest there is one table, read top down; the first row that fits decides. The reply's
first digit is the law (RFC 5321 section 4.2.1): 421 to MAIL is an answer like any other 4yz. What deviates
from the digit is listed here with its reason and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

# RFC 5321 section 4.5.3.1.10: 452 is "too many recipients"; 552 is its old code and then transient too
TOO_MANY_RECIPIENTS = re.compile(
    rb"too many (?:recipients|rcpt)|recipient limit|recipients? per", re.IGNORECASE
)
THROTTLED = re.compile(
    rb"too many (?:connections|messages|concurrent)|rate.?limit|throttl|slow down", re.IGNORECASE
)
GREYLISTED = re.compile(rb"gr[ae]y.?list|postgrey", re.IGNORECASE)
# "Try again in 300 seconds", "please retry after 5 minutes", "greylisted for 00:05:00" is left alone
STATED_WAIT = re.compile(
    rb"(?i)\b(?:in|after|for|within)\s+(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b"
)
BLOCKED = re.compile(rb"(?i)black.?list|block.?list|\bblocked\b|spamhaus|\brbl\b|dnsbl|reputation")
UNIT_S = {b"s": 1.0, b"m": 60.0, b"h": 3600.0}

# Codes that speak of the conversation, not of the recipient: somebody lost the thread, dislikes our EHLO or
# our parameters, or wants TLS or AUTH first (RFC 3207, RFC 4954). A list must not bounce because of them.
CONVERSATION = frozenset({500, 502, 503, 504, 530, 534, 535, 538, 555})

# Whom a refusal concerns, by the command it answers.
SCOPE = {
    Stage.DNS: Scope.SITE,
    Stage.CONNECT: Scope.SITE,
    Stage.GREETING: Scope.SITE,
    Stage.EHLO: Scope.SITE,
    Stage.STARTTLS: Scope.SITE,
    Stage.AUTH: Scope.SITE,
    Stage.MAIL: Scope.MESSAGE,
    Stage.RCPT: Scope.RECIPIENT,
    Stage.DATA: Scope.MESSAGE,
    Stage.END_OF_DATA: Scope.MESSAGE,
    Stage.RSET: Scope.SESSION,
}


class Row(NamedTuple):
    fits: Callable[[Stage, Reply, bytes], bool]
    fate: Fate
    scope: Scope | None  # None: by the stage
    note: str


def _detail(reply: Reply, subject: int, detail: int) -> bool:
    return reply.enhanced is not None and (reply.enhanced.subject, reply.enhanced.detail) == (subject, detail)


def _protocol(reply: Reply) -> bool:
    """X.5.z: it is the protocol that failed, but for 5.5.3, too many recipients."""
    return reply.permanent and reply.enhanced is not None and reply.enhanced.subject == 5


THROTTLE = "throttled"
AGAINST_US = "the exchanger objects to how we speak, or wants TLS or authentication"

TABLE: tuple[Row, ...] = (
    Row(
        lambda stage, reply, text: (
            stage is Stage.RCPT
            and reply.code in (452, 552)
            and (_detail(reply, 5, 3) or TOO_MANY_RECIPIENTS.search(text) is not None)
        ),
        Fate.AGAIN,
        Scope.RECIPIENT,
        "too many recipients in this transaction",
    ),
    Row(lambda stage, reply, _: reply.code == 421, Fate.DEFERRED, Scope.SESSION, ""),
    Row(
        lambda stage, reply, text: reply.transient and GREYLISTED.search(text) is not None,
        Fate.DEFERRED,
        None,
        "greylisted",
    ),
    # of one recipient only that one is known to be throttled: a site may serve many (RFC 3463, X.2.x)
    Row(
        lambda stage, reply, text: reply.transient and THROTTLED.search(text) is not None,
        Fate.DEFERRED,
        None,
        THROTTLE,
    ),
    # nobody but the sender is refused at MAIL with 4yz, and the next recipient has the same sender
    Row(lambda stage, reply, _: reply.transient and stage is Stage.MAIL, Fate.DEFERRED, Scope.SESSION, ""),
    Row(lambda stage, reply, _: reply.transient, Fate.DEFERRED, None, ""),
    Row(
        lambda stage, reply, _: reply.code in CONVERSATION or _protocol(reply),
        Fate.DEFERRED,
        None,
        AGAINST_US,
    ),
    Row(lambda stage, reply, _: reply.permanent, Fate.BOUNCED, None, ""),
)


def stated_wait(text: bytes) -> float | None:
    """Seconds that the peer asks us to wait, or None. Unbounded: the retry policy bounds it (X14)."""
    match = STATED_WAIT.search(text)
    if match is None:
        return None
    return int(match[1]) * UNIT_S[match[2][:1].lower()]


def _scope(stage: Stage, note: str) -> Scope:
    if stage is Stage.RCPT or not note:
        return SCOPE[stage]
    return {THROTTLE: Scope.SITE, AGAINST_US: Scope.SESSION}.get(note, SCOPE[stage])


def _about_us(stage: Stage, reply: Reply, text: bytes, note: str) -> bool:
    """The sender, his address or his standing is refused (X.7.z where it is for good), not a recipient."""
    policy = reply.permanent and reply.enhanced is not None and reply.enhanced.subject == 7
    return stage is Stage.MAIL or note in (THROTTLE, AGAINST_US) or policy or BLOCKED.search(text) is not None


def classify(stage: Stage, reply: Reply) -> Disposition:
    """What `reply` to the command of `stage` means for the recipients it concerns.

    Total over 2yz–5yz; a 3yz, which only DATA and AUTH may get, is deferred as a conversation gone wrong.
    """
    if reply.positive:  # whatever it says: taken is taken
        return Disposition(Fate.DELIVERED, _scope(stage, ""), stage, reply)
    text = b" ".join(reply.lines)
    for row in TABLE:
        if row.fits(stage, reply, text):
            wait_s = stated_wait(text) if row.fate is Fate.DEFERRED else None
            scope = row.scope or _scope(stage, row.note)
            us = _about_us(stage, reply, text, row.note)
            return Disposition(row.fate, scope, stage, reply, row.note, wait_s=wait_s, about_us=us)
    return Disposition(Fate.DEFERRED, Scope.SESSION, stage, reply, "a reply that cannot stand here")
