"""What a refusal meant, read again from how it was kept: for people, and for what is decided later.

By the same table as when it was heard. What is kept is a line for people: the codes, the text with what is
not printable escaped, and perhaps a note of ours in brackets at its end.
"""

from __future__ import annotations

import re

from bulkmail.delivery.classify import NOTES, replies
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.replies import Reading, Table
from bulkmail.smtp import EnhancedStatus
from bulkmail.transport.stage import Stage

# What we have put behind it: a note, or which of the exchangers it was.
_NOTE = re.compile(
    rf" \((?:{'|'.join(map(re.escape, NOTES))}|\S+ \[[^]]*\]|(?:[^()]*; )?so were others: [^()]*)\)$"
)

# Stages at which a conversation fails without a word because of what we are or want.
_OF_POLICY = (Stage.STARTTLS, Stage.AUTH)


def retold(
    stage: str,
    code: int | None,
    enhanced: str | None,
    text: str,
    host: str = "",
    table: Table | None = None,
) -> Reading:
    """`stage` as Stage has it, "" where there was none. Total; without a code it was no host that said it.

    Read in `table`, or else in ours.
    """
    try:
        where = Stage(stage)
    except ValueError:
        return Reading(Meaning.OTHER, None, Consequence.NONE)
    if code is None or not 400 <= code <= 599:
        meaning = Meaning.NETWORK
        if where in _OF_POLICY:
            meaning = Meaning.POLICY
        elif where is Stage.MAIL and enhanced in ("5.6.7", "5.3.4"):  # decided by us, by what was announced
            meaning = Meaning.PROTOCOL
        return Reading(meaning, None, Consequence.NONE)
    said = _NOTE.sub("", text).removeprefix(str(code)).encode("ascii", "replace")
    status = EnhancedStatus.parse(enhanced.encode()) if enhanced else None
    return (table or replies()).read(where, code, status, said, host)


# What bulkmail does about a refusal, in plain words: what leads to a retry, and what does not.
_AGAIN = {
    Meaning.GREYLISTED: "the host wants to see us come back; tried again from the same address{}",
    Meaning.THROTTLED: "too much at once or in too short a time; tried again{}, and this site is slowed down",
    Meaning.BLOCKED: "the host takes nothing from this source for now; tried again{}, with less from there",
    Meaning.CONTENT: "the host dislikes this message; tried again{}, in case it changes its mind",
    Meaning.MAILBOX_FULL: "there is no room in the mailbox; tried again{}, in case somebody makes some",
    Meaning.UNKNOWN_USER: "the host does not know the mailbox, and is not sure; tried again{}",
    Meaning.DISABLED: "the mailbox takes no mail for now; tried again{}",
    Meaning.POLICY: "a rule of the host, on authentication, names, TLS or senders; tried again{}",
    Meaning.NETWORK: "nobody could be spoken to, or the conversation broke off; tried again{}",
    Meaning.SYSTEM: "the host has trouble of its own; tried again{}",
    Meaning.PROTOCOL: "the host objects to how we speak, or cannot take this message; tried again{}",
    Meaning.OTHER: "the host does not say why; tried again{}",
}
_NO_MORE = {
    Meaning.GREYLISTED: "the host said so, but for good",
    Meaning.THROTTLED: "too much at once or in too short a time, and the host gave up on us",
    Meaning.BLOCKED: "the host takes nothing from this source or sender",
    Meaning.CONTENT: "the host takes this message for spam or a virus, or as malformed",
    Meaning.MAILBOX_FULL: "there is no room in the mailbox, and the host said for good",
    Meaning.UNKNOWN_USER: "there is no such mailbox",
    Meaning.DISABLED: "the mailbox exists and takes no mail",
    Meaning.POLICY: "a rule of the host, on authentication, names, TLS or senders",
    Meaning.NETWORK: "no way leads to the host",
    Meaning.SYSTEM: "the host has trouble of its own, and said for good",
    Meaning.PROTOCOL: "the host objects to how we speak, or cannot take this message",
    Meaning.OTHER: "the host does not say why",
}


def in_words(state: str, reading: Reading, due: str = "", *, suppressed: bool = False) -> str:
    """One line for people: the class, what it means, what bulkmail does. "" where nothing was refused.

    `due`: when it is tried again, as text. `suppressed`: the address is, by now.
    """
    meaning = reading.meaning
    if state == "deferred":
        return f"{meaning.value}: {_AGAIN[meaning].format(f' at {due}' if due else '')}"
    if state == "expired":
        why = _AGAIN[meaning].partition("; tried again")[0]
        return f"{meaning.value}: {why}; tried for as long as delivery.retry.give_up says"
    if state != "bounced":
        return ""
    then = "not tried again"
    if suppressed and reading.consequence is Consequence.SUPPRESS:
        then += ", and left out by the campaigns that follow"
    return f"{meaning.value}: {_NO_MORE[meaning]}; {then}"
