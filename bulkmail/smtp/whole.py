"""Transactions said in one breath: what a fast sender writes at once, as one value with several replies.

`Whole` is a message from MAIL to its last chunk (RFC 3030 section 4.2 lets the next one follow unasked);
`Envelope` is MAIL to DATA, which may ride behind the end of the message before (RFC 2920 section 3.1). Each
begins with RSET where something before it could have failed, so that no message goes out under another's
reverse-path (X17). They are what the single commands in `command.py` would be, octet for octet, at a
hundredth of the price: a transaction of a hundred recipients is one value here, not a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bulkmail.smtp.address import Mailbox
from bulkmail.smtp.extension import Extensions
from bulkmail.smtp.state import State

RSET = b"RSET\r\n"
_NEXT = ">\r\nRCPT TO:<"

# Printable ASCII without the quote and the brackets: what cannot end a path or a line. And without the @, of
# which a plain address has one.
_PLAIN = bytes(octet for octet in range(0x21, 0x7F) if octet not in b'"<>@')


class Paths(NamedTuple):
    """The forward-paths of one transaction, as they go on the wire. Made by `paths_of`."""

    recipients: int
    wire: bytes  # RCPT TO:<…> CRLF, `recipients` times
    smtputf8: bool  # one of them needs it (RFC 6531)


def paths_of(addresses: Sequence[str]) -> Paths:
    """Of canonical addresses (`str` of a Mailbox), at least one.

    A single look at what is left without the harmless octets proves for the plain majority that nothing in
    them ends a path or a line; each of the others goes through `Mailbox`. Raises AddressError.
    """
    listed = "\n".join(addresses).encode()
    if listed.translate(None, _PLAIN) == b"@\n" * (len(addresses) - 1) + b"@":
        return Paths(len(addresses), f"RCPT TO:<{_NEXT.join(addresses)}>\r\n".encode("ascii"), False)
    mailboxes = [Mailbox.parse(address) for address in addresses]
    wire = b"".join([b"RCPT TO:<%b>\r\n" % mailbox.wire for mailbox in mailboxes])
    return Paths(len(mailboxes), wire, any(mailbox.smtputf8 for mailbox in mailboxes))


class Envelope(NamedTuple):
    """[RSET] MAIL, RCPT …, DATA: the last reply is the one to DATA."""

    reverse_path: Mailbox | None  # None is the null reverse-path, <>
    paths: Paths
    size: int | None = None  # for SIZE= (RFC 1870), where that is announced
    smtputf8: bool = False
    reset: bool = False

    @property
    def replies(self) -> int:
        return self.paths.recipients + 2 + self.reset

    def encode(self) -> bytes:
        return b"".join((RSET if self.reset else b"", mail_line(self), self.paths.wire, b"DATA\r\n"))


class Whole(NamedTuple):
    """[RSET] MAIL, RCPT …, BDAT LAST and the content as it is: the last reply is the one to the message.

    The content is put together by `encode`, and is nobody's but the caller's.
    """

    reverse_path: Mailbox | None
    paths: Paths
    pieces: tuple[bytes, ...]  # of the content: canonical lines, not dot-stuffed
    size: int | None = None
    smtputf8: bool = False
    reset: bool = False

    @property
    def replies(self) -> int:
        return self.paths.recipients + 2 + self.reset

    def encode(self) -> bytes:
        content = b"".join(self.pieces)
        return b"".join((
            RSET if self.reset else b"", mail_line(self), self.paths.wire,
            b"BDAT %d LAST\r\n" % len(content), content,
        ))  # fmt: skip

    def __repr__(self) -> str:
        return f"Whole({self.reverse_path}, {self.paths.recipients} recipients, {len(self.pieces)} pieces)"


def mail_line(one: Envelope | Whole) -> bytes:
    """MAIL with the parameters that these have."""
    path = b"" if one.reverse_path is None else one.reverse_path.wire
    size = b"" if one.size is None else b" SIZE=%d" % one.size
    return b"MAIL FROM:<%b>%b%b\r\n" % (path, size, b" SMTPUTF8" if one.smtputf8 else b"")


def unannounced_part(one: Envelope | Whole, announced: Extensions) -> str | None:
    """What `one` uses that was not announced, or None."""
    if not announced.pipelining:
        return "PIPELINING"
    if type(one) is Whole and not announced.chunking:
        return "CHUNKING"
    if one.size is not None and not announced.announces_size:
        return "SIZE"
    needs = one.smtputf8 or one.paths.smtputf8
    if not announced.smtputf8 and (needs or (one.reverse_path is not None and one.reverse_path.smtputf8)):
        return "SMTPUTF8"
    return None


# From which state one may be sent: with RSET in front from any in which a transaction may be open.
OPEN = frozenset((State.READY, State.MAIL, State.RCPT, State.BDAT, State.SPENT))


def credible(one: Envelope | Whole, before: int, codes: Sequence[int]) -> int:
    """How many of `codes`, which follow `before` others, can be answers to `one`, with a 421 as the last.

    A 3yz is an answer to DATA only, and DATA is never answered with 2yz.
    """
    data = one.replies - 1 - before if type(one) is Envelope else -1
    for at, code in enumerate(codes):
        if (code < 300) if at == data else (300 <= code < 400):
            return at
        if code == 421:
            return at + 1
    return len(codes)


def outcome_of(one: Envelope | Whole, codes: Sequence[int]) -> State:
    """Where the conversation stands after all replies to `one`, which are credible.

    Nothing is READY that was not said to be: whatever else happened, a RSET makes it clean.
    """
    mail, last = codes[one.reset], codes[-1]
    if one.reset and codes[0] >= 300:
        return State.CLOSING  # X16
    if 300 <= last < 400:
        return State.CONTENT  # wherever it came from, it is owed a dot (X2)
    accepted = mail < 300 and min(codes[one.reset + 1 : -1]) < 300
    return State.READY if accepted and last < 300 else State.SPENT
