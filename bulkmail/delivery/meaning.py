"""The classes of replies: what a refusal is about, in words that people read, and what follows from it."""

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


class Consequence(enum.Enum):
    """What a refusal asks for beyond the fate of its recipient, which the reply's first digit decides.

    A deferral is tried again under the retry policy, not before `Disposition.wait_s`, whatever stands here.
    One reply is evidence and no verdict: who acts on it decides how much of it he wants to have seen.

    * SAME_SOURCE: try the recipient again from the same egress address and with the same reverse-path, for
      another one would begin the wait anew. It says nothing of the site's pace, and nothing of others.
    * SLOW: the site, or all of its provider, was asked for too much: fewer connections, a lower rate. Only
      this and connections that fail are to count against a site's window.
    * SUSPEND: this source (with one only: the campaign) at this site is not welcome: nothing more from there
      for a while, then a probe. Another source may go on. It came with 4yz or 5yz; `fate` says which.
    * PAUSE: what was refused is the campaign's own: its content, its authentication, its sender. The next
      recipient would be refused for the same reason, so after a few of these, at several recipients, a
      campaign should stop and ask.
    * SUPPRESS: the address is dead, for good: no campaign should try it again. Never with 4yz, and never
      where the host may have meant us: only these go to the suppression store.
    """

    NONE = "none"  # the retry or the bounce is all
    SAME_SOURCE = "same source"
    SLOW = "slow the site"
    SUSPEND = "suspend the source at the site"
    PAUSE = "pause the campaign"
    SUPPRESS = "suppress the address"
