"""Commands: one frozen value each, valid once constructed, and their form on the wire.

Nothing that is encoded here can hold a line end that was not meant: every value is checked against its
grammar in `__post_init__`, which raises `ValueError`. What is secret or large never shows in a `repr`.
The server's half, from a line to a command, is in `parse.py`.
RFC 5321 section 4.1; RFC 3030 (BDAT), 3207 (STARTTLS), 4954 (AUTH).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from bulkmail.smtp import grammar
from bulkmail.smtp.address import Mailbox
from bulkmail.smtp.content import stuff

Parameters = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Greeting:
    """No command: what the server owes at connect, so that its first reply has something to answer."""

    def encode(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Helo:
    name: str  # our host name, or an address literal

    def __post_init__(self) -> None:
        _check_name(self.name)

    def encode(self) -> bytes:
        return b"HELO %b\r\n" % self.name.encode("ascii")


@dataclass(frozen=True, slots=True)
class Ehlo:
    name: str

    def __post_init__(self) -> None:
        _check_name(self.name)

    def encode(self) -> bytes:
        return b"EHLO %b\r\n" % self.name.encode("ascii")


@dataclass(frozen=True, slots=True)
class StartTls:
    def encode(self) -> bytes:
        return b"STARTTLS\r\n"


@dataclass(frozen=True, slots=True)
class Auth:
    mechanism: str
    initial: bytes | None = field(default=None, repr=False)  # the initial response, not yet in base64

    def __post_init__(self) -> None:
        if grammar.SASL_MECHANISM.fullmatch(self.mechanism) is None:
            raise ValueError("not the name of a SASL mechanism")

    def encode(self) -> bytes:
        verb = b"AUTH %b" % self.mechanism.encode("ascii")
        if self.initial is None:
            return verb + b"\r\n"
        # RFC 4954 section 4: an initial response of no octets is written as "="
        return b"%b %b\r\n" % (verb, base64.b64encode(self.initial) or b"=")


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The answer to a 334."""

    data: bytes = field(repr=False)  # not yet in base64

    def encode(self) -> bytes:
        return base64.b64encode(self.data) + b"\r\n"


@dataclass(frozen=True, slots=True)
class AuthAbort:
    """The other answer to a 334 (RFC 4954 section 4); a server says 501 to it."""

    def encode(self) -> bytes:
        return b"*\r\n"


@dataclass(frozen=True, slots=True)
class Mail:
    reverse_path: Mailbox | None  # None is the null reverse-path, <>
    parameters: Parameters = ()

    def __post_init__(self) -> None:
        _check_parameters(self.parameters)

    def encode(self) -> bytes:
        path = b"" if self.reverse_path is None else self.reverse_path.wire
        return b"MAIL FROM:<%b>%b\r\n" % (path, _encode_parameters(self.parameters))


@dataclass(frozen=True, slots=True)
class Rcpt:
    forward_path: Mailbox
    parameters: Parameters = ()

    def __post_init__(self) -> None:
        _check_parameters(self.parameters)

    def encode(self) -> bytes:
        return b"RCPT TO:<%b>%b\r\n" % (self.forward_path.wire, _encode_parameters(self.parameters))


@dataclass(frozen=True, slots=True)
class Data:
    def encode(self) -> bytes:
        return b"DATA\r\n"


@dataclass(frozen=True, slots=True)
class EndOfData:
    """The content and the dot that ends it, which is what the server's reply answers."""

    stuffed: bytes = field(repr=False)  # as `content.stuff` makes it

    def __post_init__(self) -> None:
        # The end must be the only line that is a lone dot, whatever a server takes for a line end (CRLF, or
        # a bare CR or LF, I2): what stands behind one is read as commands. Lines that begin with a dot are
        # rare, so two searches settle nearly every message.
        data = self.stuffed
        if data == b".\r\n":
            return
        if not data.endswith(b"\r\n.\r\n"):
            raise ValueError("the content does not end in a lone dot")
        if data.find(b"\n.") == len(data) - 4 and b"\r." not in data and not data.startswith(b"."):
            return
        if grammar.LONE_DOT.search(b"\n" + data[:-3]):
            raise ValueError("the content is not dot-stuffed")

    @classmethod
    def of(cls, content: bytes) -> EndOfData:
        """`content`, stuffed. It must be canonical, as `canonical` and `message` make it.

        Then nothing is left to be searched for, and a search costs more than all else done to a message.
        """
        made = object.__new__(cls)
        object.__setattr__(made, "stuffed", stuff(content))
        return made

    def encode(self) -> bytes:
        return self.stuffed


@dataclass(frozen=True, slots=True)
class Bdat:
    chunk: bytes = field(repr=False)  # content as it is, not dot-stuffed
    last: bool

    def encode(self) -> bytes:
        return b"BDAT %d%b\r\n%b" % (len(self.chunk), b" LAST" if self.last else b"", self.chunk)


@dataclass(frozen=True, slots=True)
class Rset:
    def encode(self) -> bytes:
        return b"RSET\r\n"


@dataclass(frozen=True, slots=True)
class Noop:
    def encode(self) -> bytes:
        return b"NOOP\r\n"


@dataclass(frozen=True, slots=True)
class Vrfy:
    text: str

    def __post_init__(self) -> None:
        _check_text(self.text)

    def encode(self) -> bytes:
        return b"VRFY %b\r\n" % self.text.encode()


@dataclass(frozen=True, slots=True)
class Expn:
    text: str

    def __post_init__(self) -> None:
        _check_text(self.text)

    def encode(self) -> bytes:
        return b"EXPN %b\r\n" % self.text.encode()


@dataclass(frozen=True, slots=True)
class Quit:
    def encode(self) -> bytes:
        return b"QUIT\r\n"


Command = (
    Greeting | Helo | Ehlo | StartTls | Auth | AuthResponse | AuthAbort
    | Mail | Rcpt | Data | EndOfData | Bdat | Rset | Noop | Vrfy | Expn | Quit
)  # fmt: skip


def _check_name(name: str) -> None:
    if grammar.HELO_NAME.fullmatch(name) is None:
        raise ValueError("not a host name or an address literal")


def _check_text(text: str) -> None:
    if not text or grammar.CONTROL.search(text):
        raise ValueError("empty, or with a control character")


def _check_parameters(parameters: Parameters) -> None:
    for keyword, value in parameters:
        if grammar.ESMTP_KEYWORD.fullmatch(keyword) is None:
            raise ValueError("not an ESMTP keyword")
        if value is not None and grammar.ESMTP_VALUE.fullmatch(value) is None:
            raise ValueError(f"not an ESMTP value for {keyword}")


def _encode_parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b""
    words = (keyword if value is None else f"{keyword}={value}" for keyword, value in parameters)
    return "".join(f" {word}" for word in words).encode("ascii")
