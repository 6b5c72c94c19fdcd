"""From a reply to a disposition: first digit, then stage; what it is about is read in a table (`replies`).

2yz is taken, and nothing more is looked at. For the rest there are two tables. The first digit is the law
(RFC 5321 section 4.2.1): 421 to MAIL is an answer like any other 4yz. What deviates from the digit is in LAW,
with its reason, and nowhere else; it is read top down, the first row that fits decides the fate. What a
refusal is about, and what is to be done about it beyond its recipient, `replies.toml` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.evidence import is_nameless
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.replies import Reading, Table
from bulkmail.delivery.stated_wait import stated_wait
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

# RFC 5321 section 4.5.3.1.10: 452 is "too many recipients"; 552 is its old code and then transient too
TOO_MANY_RECIPIENTS = re.compile(
    rb"too many (?:recipients|rcpt)|recipient limit|recipients? per", re.IGNORECASE
)

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

OF_THE_MAILBOX = frozenset({Meaning.UNKNOWN_USER, Meaning.DISABLED, Meaning.MAILBOX_FULL})


class Row(NamedTuple):
    fits: Callable[[Stage, Reply, bytes, Meaning], bool]
    fate: Fate
    scope: Scope | None  # None: by the stage
    note: str


def _detail(reply: Reply, subject: int, detail: int) -> bool:
    return reply.enhanced is not None and (reply.enhanced.subject, reply.enhanced.detail) == (subject, detail)


def _protocol(stage: Stage, reply: Reply, meaning: Meaning) -> bool:
    """X.5.z: it is the protocol that failed, but for 5.5.3, too many recipients.

    Unless the text says that it is the mailbox: "550 5.5.0 mailbox unavailable" is how Outlook.com
    knows nobody.
    """
    if reply.code in CONVERSATION:
        return True
    coded = reply.permanent and reply.enhanced is not None and reply.enhanced.subject == 5
    return coded and not (stage in (Stage.RCPT, Stage.END_OF_DATA) and meaning in OF_THE_MAILBOX)


TOO_MANY = "too many recipients in this transaction"
AGAINST_US = "the exchanger objects to how we speak, or wants TLS or authentication"
NOTES = (TOO_MANY, AGAINST_US)

LAW: tuple[Row, ...] = (
    Row(
        lambda stage, reply, text, _: (
            stage is Stage.RCPT
            and reply.code in (452, 552)
            and (_detail(reply, 5, 3) or TOO_MANY_RECIPIENTS.search(text) is not None)
        ),
        Fate.AGAIN,
        Scope.RECIPIENT,
        TOO_MANY,
    ),
    Row(lambda stage, reply, *_: reply.code == 421, Fate.DEFERRED, Scope.SESSION, ""),
    # a wait that was asked for, or a limit, is not mended by another connection or host
    Row(
        lambda stage, reply, _, meaning: (
            reply.transient and meaning in (Meaning.GREYLISTED, Meaning.THROTTLED)
        ),
        Fate.DEFERRED,
        None,
        "",
    ),
    # nobody but the sender is refused at MAIL with 4yz, and the next recipient has the same sender
    Row(lambda stage, reply, *_: reply.transient and stage is Stage.MAIL, Fate.DEFERRED, Scope.SESSION, ""),
    Row(lambda stage, reply, *_: reply.transient, Fate.DEFERRED, None, ""),
    Row(lambda stage, reply, _, meaning: _protocol(stage, reply, meaning), Fate.DEFERRED, None, AGAINST_US),
    Row(lambda stage, reply, *_: reply.permanent, Fate.BOUNCED, None, ""),
)
# Where it is our source that is refused for good, that says nothing of the recipient: he may be reached from
# another one, or from the same when it is off the list, or has a name; nor where we have sent as much as we
# may today.
UNWELCOME = Row(lambda *_: False, Fate.DEFERRED, None, "")


@cache
def replies() -> Table:
    """Ours, read when the first reply wants it: a run in which nobody is refused does without."""
    return Table.load()


def _scope(stage: Stage, row: Row, reading: Reading) -> Scope:
    """Whom it concerns. Of one recipient only that one is known to be throttled: a site may serve many
    (RFC 3463, X.2.x)."""
    if row.scope is not None:
        return row.scope
    usual = SCOPE[stage]
    if usual is Scope.SITE:
        return usual
    if row.note and stage is not Stage.RCPT:
        return Scope.SESSION
    if reading.scope is not None:
        return reading.scope
    if reading.meaning is Meaning.THROTTLED and row.fate is Fate.DEFERRED and stage is not Stage.RCPT:
        return Scope.SITE
    return usual


def _sends_too_much(reply: Reply, reading: Reading) -> bool:
    """For good, but of a day's or an hour's measure: what the sender may send is used up, and comes again.

    552 is of the size of the message, or of a mailbox.
    """
    return reply.permanent and reply.code != 552 and reading.consequence is Consequence.SLOW


def _about_us(stage: Stage, reply: Reply, row: Row, reading: Reading) -> bool:
    """The sender, his address, his standing or his message is refused (X.7.z where it is for good), not a
    recipient."""
    meaning = reading.meaning
    if stage is Stage.MAIL or row.note == AGAINST_US or meaning is Meaning.BLOCKED:
        return True
    if reply.permanent and reading.scope is Scope.RECIPIENT:
        return False
    if meaning is Meaning.THROTTLED:
        return not row.note
    policy = reply.permanent and reply.enhanced is not None and reply.enhanced.subject == 7
    return policy and meaning not in OF_THE_MAILBOX


def classify(stage: Stage, reply: Reply, host: str = "", table: Table | None = None) -> Disposition:
    """What `reply` to the command of `stage`, of the exchanger `host`, means for the recipients concerned.

    A refusal is read in `table`, or else in ours.
    Total over 2yz–5yz; a 3yz, which only DATA and AUTH may get, is deferred as a conversation gone wrong.
    """
    if reply.code < 300:  # whatever it says: taken is taken
        return Disposition(Fate.DELIVERED, SCOPE[stage], stage, reply)
    if reply.code < 400:
        note = "a reply that cannot stand here"
        return Disposition(Fate.DEFERRED, Scope.SESSION, stage, reply, note, meaning=Meaning.PROTOCOL)
    text = b" ".join(reply.lines)
    reading = (table or replies()).read(stage, reply.code, reply.enhanced, text, host)
    meaning = reading.meaning
    row = next(row for row in LAW if row.fits(stage, reply, text, meaning))
    consequence = reading.consequence
    if reply.permanent and meaning is Meaning.POLICY and is_nameless(reply):
        consequence = Consequence.SUSPEND
    spares = consequence is Consequence.SUSPEND or _sends_too_much(reply, reading)
    if spares and row.fate is Fate.BOUNCED:
        row = UNWELCOME
    if consequence is Consequence.SUPPRESS and row.fate is not Fate.BOUNCED:
        consequence = Consequence.NONE
    return Disposition(
        row.fate,
        _scope(stage, row, reading),
        stage,
        reply,
        row.note,
        wait_s=stated_wait(text) if row.fate is Fate.DEFERRED else None,
        about_us=_about_us(stage, reply, row, reading),
        meaning=meaning,
        consequence=consequence,
    )


def refusals(
    stage: Stage, replies: Sequence[Reply], host: str, table: Table | None = None
) -> list[Disposition | None]:
    """`classify` of each that is not 2yz, and None for each that is. Equal replies are looked at once."""
    known: dict[int, Disposition] = {}
    fates: list[Disposition | None] = []
    for reply in replies:
        if reply.code < 300:
            fates.append(None)
            continue
        fate = known.get(id(reply))  # the reader makes the same of the same line
        if fate is None:
            fate = known[id(reply)] = classify(stage, reply, host, table)
        fates.append(fate)
    return fates
