"""Who a message is from, to or answered to: a display name and one address."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bulkmail.message.header import FORBIDDEN
from bulkmail.smtp.address import AddressError, Mailbox

# RFC 5322 section 3.4: name-addr, read leniently: a name with a comma or a dot need not be quoted here
NAME_ADDR = re.compile(r"(?P<name>[^<>]*?|\s*\"(?:[^\"\\]|\\.)*\"\s*)<(?P<address>[^<>]*)>\s*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def unquote(name: str) -> str:
    """A display name without the quotes of a quoted string, if it wears them."""
    name = name.strip()
    quoted = _QUOTED.fullmatch(name)
    return re.sub(r"\\(.)", r"\1", quoted.group(1)) if quoted else name


@dataclass(frozen=True, slots=True)
class Author:
    """`Acme News <news@acme.example>`: exactly one mailbox, so that no recipient can see another."""

    name: str  # as people read it: unquoted, decoded; may be empty
    mailbox: Mailbox

    def __post_init__(self) -> None:
        if FORBIDDEN.search(self.name):
            raise ValueError("a display name cannot hold a line break or NUL")

    @classmethod
    def parse(cls, text: str) -> Author:
        """Raise ValueError (AddressError for the address) with the reason. RFC 5322 section 3.4."""
        match = NAME_ADDR.fullmatch(text.strip())
        if match is None:
            if "<" in text or ">" in text:
                raise AddressError('expected "Name <address>"')
            return cls("", Mailbox.parse(text))
        name = match["name"]
        if "," in name and "@" in name and not _QUOTED.fullmatch(name.strip()):
            raise AddressError("one address only; more would show recipients to each other")
        return cls(unquote(name), Mailbox.parse(match["address"]))

    def __str__(self) -> str:
        return f"{self.name} <{self.mailbox}>" if self.name else str(self.mailbox)
