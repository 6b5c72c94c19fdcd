"""A receiving host that believes nothing: the grammar of SMTP once more, from the RFCs and not from bulkmail.

It takes octets as they come, answers each command, and keeps what was said. Whatever is not exactly a command
that a sender of letters has to say, or could be read as the end of the content by the loosest server there
is, is `Forged`. It imports nothing of bulkmail, so that one mistake is not made twice.
RFC 5321 section 4.1.1 to 4.1.3 and 4.5.2; RFC 6531 section 3.3; RFC 1870; RFC 3030 section 2; RFC 2920.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# RFC 5321 section 4.1.2, in octets; RFC 6531: UTF8-non-ascii beside atext and qtextSMTP
_ATOM = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+"
_QUOTED = rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\x20-\x7e])*"'
_NAME = rb"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rb"(?:" + _NAME + rb"(?:\." + _NAME + rb")*|\[[0-9A-Za-z.:]+\])"
_MAILBOX = rb"(?:" + _ATOM + rb"(?:\." + _ATOM + rb")*|" + _QUOTED + rb")@" + _DOMAIN
MAIL = re.compile(rb"MAIL FROM:<(" + _MAILBOX + rb"|)>(?: SIZE=([0-9]{1,20}))?( SMTPUTF8)?")
RCPT = re.compile(rb"RCPT TO:<(" + _MAILBOX + rb")>")
BDAT = re.compile(rb"BDAT ([0-9]{1,20})( LAST)?")
EHLO = re.compile(rb"EHLO " + _DOMAIN)
# Any mixture of what some server has once taken for line ends around a lone dot.
LONE_DOT = re.compile(rb"[\r\n]\.[\r\n]")
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
LINE = 998

ANNOUNCED = b"250-judge.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"


class Forged(AssertionError):
    """Something on the wire that was not meant."""


@dataclass(slots=True)
class Taken:
    """One message with its envelope."""

    reverse_path: bytes
    forward_paths: list[bytes]
    content: bytes
    smtputf8: bool
    size: int | None


@dataclass(slots=True)
class Host:
    """One connection. `take` gives the replies to what came."""

    taken: list[Taken] = field(default_factory=list)
    said: dict[str, int] = field(default_factory=dict)  # how often each verb
    _held: bytes = b""
    _mail: tuple[bytes, int | None, bool] | None = None
    _paths: list[bytes] = field(default_factory=list)
    _content: bytearray = field(default_factory=bytearray)
    _reading: str = "command"  # or "data", or "chunk"
    _missing: int = 0  # octets of the chunk
    _last: bool = False

    def greet(self) -> bytes:
        return b"220 judge.test\r\n"

    def take(self, data: bytes) -> bytes:
        """Replies to all that is complete. Raises Forged."""
        self._held += data
        replies: list[bytes] = []
        while (reply := self._next()) is not None:
            replies.append(reply)
        return b"".join(replies)

    def end(self) -> None:
        """Nothing follows. Raises Forged where something was left unfinished."""
        if self._held or self._reading != "command":
            raise Forged(f"unfinished: {self._held[:80]!r}")

    def _next(self) -> bytes | None:
        if self._reading == "data":
            return self._data()
        if self._reading == "chunk":
            return self._chunk()
        line, found, rest = self._held.partition(b"\r\n")
        if not found:
            if len(self._held) > 1000:
                raise Forged("a command without end")
            return None
        self._held = rest
        return self._command(line)

    def _command(self, line: bytes) -> bytes:
        verb = line.partition(b" ")[0].decode("latin-1")
        self.said[verb] = self.said.get(verb, 0) + 1
        if line in (b"RSET", b"QUIT", b"NOOP"):
            self._mail, self._paths = None, []
            return b"221 bye\r\n" if line == b"QUIT" else b"250 ok\r\n"
        if EHLO.fullmatch(line):
            return ANNOUNCED
        if match := MAIL.fullmatch(line):
            if self._mail is not None:
                raise Forged("MAIL within a transaction")
            self._mail = match[1], int(match[2]) if match[2] else None, match[3] is not None
            self._text(match[1])
            return b"250 ok\r\n"
        if self._mail is None:
            raise Forged(f"not a command, or none that may stand here: {line[:120]!r}")
        if match := RCPT.fullmatch(line):
            self._text(match[1])
            self._paths.append(match[1])
            return b"250 ok\r\n"
        if line == b"DATA" and self._paths:
            self._reading = "data"
            return b"354 go\r\n"
        if (match := BDAT.fullmatch(line)) and self._paths:
            self._reading, self._missing, self._last = "chunk", int(match[1]), match[2] is not None
            return self._next() or b""
        raise Forged(f"not a command, or none that may stand here: {line[:120]!r}")

    def _text(self, path: bytes) -> None:
        """8-bit only as UTF-8, and where SMTPUTF8 was said."""
        assert self._mail is not None
        path.decode("utf-8")
        if not path.isascii() and not self._mail[2]:
            raise Forged("UTF-8 in a path without SMTPUTF8")

    def _data(self) -> bytes | None:
        if self._held.startswith(b".\r\n"):
            stuffed, rest = b"", self._held[3:]
        else:
            at = self._held.find(b"\r\n.\r\n")
            if at < 0:
                return None
            stuffed, rest = self._held[: at + 2], self._held[at + 5 :]
        if LONE_DOT.search(b"\n" + stuffed):
            raise Forged(
                "a lone dot within the content, for a server that takes a bare CR or LF for a line end"
            )
        lines = stuffed.split(b"\r\n")
        if any(line.startswith(b".") and not line.startswith(b"..") for line in lines):
            raise Forged("a line that begins with a dot which is not stuffed")
        self._held, self._reading = rest, "command"
        return self._accept(b"\r\n".join([line[1:] if line.startswith(b".") else line for line in lines]))

    def _chunk(self) -> bytes | None:
        here, self._held = self._held[: self._missing], self._held[self._missing :]
        self._content += here
        self._missing -= len(here)
        if self._missing:
            return None
        self._reading = "command"
        if not self._last:
            return b"250 ok\r\n"
        content, self._content = bytes(self._content), bytearray()
        return self._accept(content)

    def _accept(self, content: bytes) -> bytes:
        assert self._mail is not None
        reverse_path, size, smtputf8 = self._mail
        if BARE.search(content):
            raise Forged("a bare CR or LF in the content")
        if b"\0" in content:
            raise Forged("a NUL in the content")
        if content and not content.endswith(b"\r\n"):
            raise Forged("the content does not end in CRLF")
        if max(map(len, content.split(b"\r\n"))) > LINE:
            raise Forged("a line of more than 998 octets")
        head, _, body = content.partition(b"\r\n\r\n")
        if not body.isascii() or not (smtputf8 or head.isascii()):
            raise Forged("8-bit content that was not announced")
        if size is not None and size != len(content):
            raise Forged(f"SIZE={size} for {len(content)} octets")
        self.taken.append(Taken(reverse_path, self._paths, content, smtputf8, size))
        self._mail, self._paths = None, []
        return b"250 ok\r\n"
