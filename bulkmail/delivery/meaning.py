"""What a refusal is about, in the words that people read: the classes of replies."""

from __future__ import annotations

import enum


class Meaning(enum.Enum):
    """Why mail was not taken. The value stands in status, explain, reports and metrics."""

    GREYLISTED = "greylisted"  # again from the same source, after the stated or a modest wait
    THROTTLED = "throttled"  # too much at once or in too short a time: slow down
    BLOCKED = "blocked"  # the reputation of the source or the sender: nothing more from there for a while
    CONTENT = "content refused"  # this message is taken for spam or a virus, or is malformed
    MAILBOX_FULL = "mailbox full"
    UNKNOWN_USER = "unknown user"  # no such mailbox
    DISABLED = "mailbox disabled"  # it exists, and takes no mail
    POLICY = "policy"  # authentication (SPF, DKIM, DMARC), reverse DNS, TLS, relaying, the host's rules
    NETWORK = "network"  # no connection, no route, a conversation that broke off
    SYSTEM = "system"  # trouble of the receiving system itself
    PROTOCOL = "protocol"  # how we speak, or what the host cannot take: size, SMTPUTF8, parameters
    OTHER = "other"  # it says nothing that we know
