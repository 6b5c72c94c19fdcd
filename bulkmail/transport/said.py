"""What a command is to a conversation: what its replies are about and how long they take, what content is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bulkmail.smtp import command as smtp
from bulkmail.smtp.client import IN_ONE_BREATH, Said
from bulkmail.smtp.reply import Reply
from bulkmail.smtp.whole import Envelope, Whole
from bulkmail.transport.approach import TimeLimits

_CONTENT = (smtp.EndOfData, smtp.Bdat, Whole)
_OF_AN_ENVELOPE = (smtp.Mail, smtp.Rcpt, Envelope)

# Which of TimeLimits is meant. What is not listed answers as fast as MAIL should.
LIMIT: dict[type, str] = {
    smtp.Greeting: "greeting",
    smtp.Helo: "ehlo",
    smtp.Ehlo: "ehlo",
    smtp.Rcpt: "rcpt",
    smtp.Data: "data",
    smtp.EndOfData: "end_of_data",
    smtp.Bdat: "end_of_data",
    smtp.Quit: "quit",
}


def part_of(command: Said, answered: int) -> type:
    """What the next reply to `command` is about, once `answered` of them have come."""
    if not isinstance(command, IN_ONE_BREATH):
        return type(command)
    if answered == command.replies - 1:
        return smtp.Bdat if isinstance(command, Whole) else smtp.Data
    at = answered - command.reset
    return smtp.Rset if at < 0 else smtp.Mail if at == 0 else smtp.Rcpt


def name_of(command: Said, answered: int = 0) -> str:
    """What people call it; never its arguments, which may be secrets."""
    if isinstance(command, IN_ONE_BREATH):
        part = part_of(command, answered)
        return "the end of data" if part is smtp.Bdat else part.__name__.upper()
    if isinstance(command, smtp.Greeting):
        return "the greeting"
    if isinstance(command, smtp.EndOfData):
        return "the end of data"
    return {"StartTls": "STARTTLS", "AuthResponse": "AUTH", "AuthAbort": "AUTH"}.get(
        type(command).__name__, type(command).__name__.upper()
    )


def is_content(command: Said) -> bool:
    return isinstance(command, _CONTENT)


def ends_message(command: Said) -> bool:
    return isinstance(command, _CONTENT) and (type(command) is not smtp.Bdat or command.last)


def closes(command: Said, reply: Reply) -> bool:
    """The conversation ends with this reply; what stands behind it was not processed (G2, X16)."""
    return reply.code == 421 or (not reply.positive and isinstance(command, (smtp.Greeting, smtp.Rset)))


def patience(commands: Sequence[Said], limits: TimeLimits) -> float:
    """Seconds for all of an exchange: inf unless it has an envelope and no content."""
    if any(map(is_content, commands)):
        return math.inf
    if not any(isinstance(c, _OF_AN_ENVELOPE) for c in commands):
        return math.inf
    return max(limits.envelope, limits.mail, limits.rcpt, limits.data)
