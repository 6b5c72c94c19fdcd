"""What a refusal meant, read again from how it was kept: for people, and for what is decided later.

By the same table as when it was heard. What is kept is a line for people: the codes, the text with what is
not printable escaped, and perhaps a note of ours in brackets at its end.
"""

from __future__ import annotations

import re

from bulkmail.delivery.classify import NOTES, REPLIES
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.replies import Reading
from bulkmail.smtp import EnhancedStatus
from bulkmail.transport.stage import Stage

# What we have put behind it: a note, or which of the exchangers it was.
_NOTE = re.compile(
    rf" \((?:{'|'.join(map(re.escape, NOTES))}|\S+ \[[^]]*\]|(?:[^()]*; )?so were others: [^()]*)\)$"
)

# Stages at which a conversation fails without a word because of what we are or want.
_OF_POLICY = (Stage.STARTTLS, Stage.AUTH)


def retold(stage: str, code: int | None, enhanced: str | None, text: str, host: str = "") -> Reading:
    """`stage` as Stage has it, "" where there was none. Total; without a code it was no host that said it."""
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
    return REPLIES.read(where, code, status, said, host)
