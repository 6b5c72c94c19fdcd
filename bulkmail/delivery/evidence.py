"""What a refusal proves of where the mail came from: its address, the address's name, or its family.

Read beyond the table of replies, for it depends on the connection: who is refused for the address is not to
bounce for it, and one refusal that says so plainly is enough. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

QUOTED = re.compile(rb"<[^<>]*>")  # of the envelope: it proves nothing
ADDRESS = re.compile(
    rb"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])|(?:[0-9a-f]{1,4}:){2,7}(?::|[0-9a-f])", re.IGNORECASE
)
# No name in DNS: RFC 7372 (x.7.25); Postfix cannot "find your (reverse) hostname", Google and others say PTR.
NAMELESS = re.compile(
    rb"\bPTR\b|\brDNS\b|\breverse[- ]?(?:DNS|host ?name|lookup|mapping|record)|"
    rb"find your (?:reverse )?host ?name",
    re.IGNORECASE,
)
# Gmail: "does not meet IPv6 sending guidelines"; Exchange Online: "does not accept messages sent over IPv6 …
# unless". `[IPv6:2001:db8::1]` is only the address.
FAMILY = re.compile(rb"\bIPv6\b(?!:)", re.IGNORECASE)
OF_HIM = frozenset({Meaning.UNKNOWN_USER, Meaning.DISABLED, Meaning.MAILBOX_FULL, Meaning.GREYLISTED})


def is_nameless(reply: Reply) -> bool:
    """It is refused that the address which we come from has no name in DNS, or another one."""
    said = reply.enhanced
    if said is not None and (said.subject, said.detail) == (7, 25):
        return True
    return (said is None or said.subject == 7) and NAMELESS.search(_text(reply)) is not None


def refuses_ipv6(fate: Disposition) -> bool:
    """Met over IPv6: over IPv4 it may be taken."""
    reply = fate.reply
    if reply is None or fate.fate not in (Fate.BOUNCED, Fate.DEFERRED) or fate.meaning in OF_HIM:
        return False
    if reply.enhanced is not None and reply.enhanced.subject != 7:
        return False
    return is_nameless(reply) or FAMILY.search(_text(reply)) is not None


def again_over_ipv4(fates: Sequence[Disposition]) -> tuple[Disposition, ...]:
    """Who was refused for that goes again at once; nobody is charged."""
    return tuple([fate._replace(fate=Fate.AGAIN) if refuses_ipv6(fate) else fate for fate in fates])


def is_proof(why: Disposition) -> bool:
    """The source is blocked, beyond doubt: nobody in particular was asked for, or an address is named."""
    if why.consequence is not Consequence.SUSPEND:
        return False
    return why.stage is not Stage.RCPT or names_address(why)


def names_address(why: Disposition) -> bool:
    """The reply quotes an IP address, as one does who has looked it up in a list."""
    return why.reply is not None and ADDRESS.search(_text(why.reply)) is not None


def _text(reply: Reply) -> bytes:
    return QUOTED.sub(b"", b" ".join(reply.lines))
