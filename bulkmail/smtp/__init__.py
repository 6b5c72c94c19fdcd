"""SMTP without I/O: both halves of the protocol, driven by bytes alone (RFC 5321 and its extensions)."""

from __future__ import annotations

from bulkmail.smtp.address import AddressError, Mailbox, domain_to_ascii
from bulkmail.smtp.client import Answer, ClientProtocol
from bulkmail.smtp.command import (
    Auth,
    AuthAbort,
    AuthResponse,
    Bdat,
    Command,
    Data,
    Ehlo,
    EndOfData,
    Expn,
    Greeting,
    Helo,
    Mail,
    Noop,
    Parameters,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)
from bulkmail.smtp.content import canonical, is_canonical, stuff, unstuff
from bulkmail.smtp.extension import NONE, Extensions, Limits
from bulkmail.smtp.parse import parse_command
from bulkmail.smtp.reply import EnhancedStatus, Reply, ReplyReader
from bulkmail.smtp.sasl import Login, Mechanism, Plain, ScramSha256, XOAuth2, choose
from bulkmail.smtp.server import Chunk, Message, Refused, ServerProtocol
from bulkmail.smtp.state import State
from bulkmail.smtp.whole import Envelope, Paths, Whole, paths_of

__all__ = [
    "NONE",
    "AddressError",
    "Answer",
    "Auth",
    "AuthAbort",
    "AuthResponse",
    "Bdat",
    "Chunk",
    "ClientProtocol",
    "Command",
    "Data",
    "Ehlo",
    "EndOfData",
    "EnhancedStatus",
    "Envelope",
    "Expn",
    "Extensions",
    "Greeting",
    "Helo",
    "Limits",
    "Login",
    "Mail",
    "Mailbox",
    "Mechanism",
    "Message",
    "Noop",
    "Parameters",
    "Paths",
    "Plain",
    "Quit",
    "Rcpt",
    "Refused",
    "Reply",
    "ReplyReader",
    "Rset",
    "ScramSha256",
    "ServerProtocol",
    "StartTls",
    "State",
    "Vrfy",
    "Whole",
    "XOAuth2",
    "canonical",
    "choose",
    "domain_to_ascii",
    "is_canonical",
    "parse_command",
    "paths_of",
    "stuff",
    "unstuff",
]
