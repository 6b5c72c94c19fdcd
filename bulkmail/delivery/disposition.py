"""What a reply, or the lack of one, means for a recipient.

A disposition is a value: the fate, the scope it concerns, the stage it was met at, and the reply that said
so. `classify` makes them from replies; `envelope` makes them where a conversation ended; nothing else does.
The scopes are Postfix's (smtp_trouble.c): who else is concerned by what happened to one recipient.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage


class Fate(enum.Enum):
    DELIVERED = "delivered"  # the exchanger took responsibility: 2yz to the end of data
    DEFERRED = "deferred"  # again later, under the retry policy
    BOUNCED = "bounced"  # refused for good
    IN_DOUBT = "in_doubt"  # the last octet was handed over and no final reply came
    AGAIN = "again"  # in the next transaction at once; nothing is charged
    SUPPRESSED = "suppressed"  # the suppression store learned of the address after the plan
    SKIPPED = "skipped"  # the message cannot be rendered for this row
    POSTPONED = "postponed"  # for our own reasons, and not tried: again at `until`; nothing is charged


class Scope(enum.Enum):
    RECIPIENT = "recipient"
    MESSAGE = "message"
    SESSION = "session"
    SITE = "site"
    SOURCE = "source at the site"  # others are concerned who are sent to from the same address
    CAMPAIGN = "campaign"  # everybody whom this campaign writes to


OF_US = frozenset({Consequence.SLOW, Consequence.SUSPEND, Consequence.PAUSE})


class Disposition(NamedTuple):
    """The fate of a recipient after one attempt.

    `wait_s` is the delay that the peer asked for, in seconds ("try again in 5 minutes"), if it did.
    `note` says what a reply cannot: why a conversation ended, what was decided here. `until`: UTC epoch
    seconds, of who is postponed.
    """

    fate: Fate
    scope: Scope
    stage: Stage
    reply: Reply | None = None
    note: str = ""
    enhanced: str = ""  # where we decided ourselves (5.1.2, 5.6.7); else the reply's own
    wait_s: float | None = None
    about_us: bool = False  # it is the sender who was refused: the next recipient would fare the same
    untried: bool = False  # nobody was asked, for the same was known: no attempt is charged
    meaning: Meaning | None = None  # of a refusal; None where nothing was refused
    consequence: Consequence = Consequence.NONE  # what others are to do about it
    until: float | None = None

    @property
    def refuses_us(self) -> bool:
        """For good, and no recipient: what we send, who we are, or that we have sent enough."""
        return self.reply is not None and self.reply.permanent and self.consequence in OF_US

    @property
    def code(self) -> int | None:
        return self.reply.code if self.reply is not None else None

    @property
    def status(self) -> str:
        """The enhanced status code (RFC 3463) as text, "" where nobody gave one."""
        if self.enhanced:
            return self.enhanced
        if self.reply is not None and self.reply.enhanced is not None:
            return str(self.reply.enhanced)
        return ""

    @property
    def text(self) -> str:
        """One line for people, safe to show: control characters are escaped."""
        said = self.reply.text if self.reply is not None else ""
        if said and self.note:
            return f"{said} ({self.note})"
        return said or self.note
