"""Replies: values, never exceptions, and the reader that finds them in a stream of bytes.

The reader gives the same replies however the stream is cut. That includes those in front of a violation:
they are returned first, and the violation is raised by the next call (and seen at once in `failure`), because
a peer that accepted a message and then talked nonsense has nevertheless accepted it.
RFC 5321 sections 4.2 and 4.5.3.1.5; RFC 3463 and RFC 2034 for enhanced status codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from bulkmail.errors import RemoteProtocolError
from bulkmail.smtp import grammar
from bulkmail.smtp.heard import Heard

# RFC 5321 section 4.5.3.1.5 says 512; policy texts with links exceed it daily. 2048 is what Postfix reads.
MAX_LINE = 2048  # octets with the line end
MAX_LINES = 100  # of one reply; the longest EHLO answers have about thirty
MAX_REPLY = 65536  # octets of one reply with its line ends
LONG = 1024  # octets from which replies to many RCPTs are supposed: they are counted, not read one by one
RUNS = (64, 16, 4, 1)

_CODE = re.compile(rb"[2-5][0-9][0-9]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class EnhancedStatus:
    """RFC 3463: class (2, 4 or 5), subject and detail."""

    klass: int
    subject: int
    detail: int

    @classmethod
    def parse(cls, text: bytes) -> EnhancedStatus | None:
        """The code that `text` begins with, if it begins with one."""
        match = grammar.ENHANCED_STATUS.match(text)
        return None if match is None else cls(int(match[1]), int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. Raises `ValueError` when constructed with what no reader could have read."""

    code: int  # 200–599
    enhanced: EnhancedStatus | None  # None where absent or contradicting the class of `code` (G7)
    lines: tuple[bytes, ...]  # text without code and CRLF, as received, the enhanced code included

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"no SMTP reply has the code {self.code}")
        if self.enhanced is not None and self.enhanced.klass != self.code // 100:
            raise ValueError(f"{self.enhanced} contradicts {self.code}")
        for line in self.lines:
            if b"\n" in line:
                raise ValueError("a line end within a reply line")

    @classmethod
    def of(cls, code: int, *lines: str | bytes, enhanced: str | None = None) -> Reply:
        """For servers and tests. `enhanced` is put in front of each line; one in the text is found too."""
        texts = tuple(line.encode() if isinstance(line, str) else line for line in lines) or (b"",)
        if enhanced is not None:
            texts = tuple(f"{enhanced} ".encode() + text for text in texts)
        if any(b"\r" in text for text in texts):
            raise ValueError("a line end within a reply line")
        return cls(code, _enhanced(code, texts), texts)

    @classmethod
    def _trusted(cls, code: int, enhanced: EnhancedStatus | None, lines: tuple[bytes, ...]) -> Reply:
        """What a reader has read: nothing is left to be checked."""
        made = object.__new__(cls)
        assign = object.__setattr__
        assign(made, "code", code)
        assign(made, "enhanced", enhanced)
        assign(made, "lines", lines)
        return made

    def encode(self) -> bytes:
        code = b"%d" % self.code
        lines = self.lines or (b"",)
        head = [code + b"-" + line + b"\r\n" for line in lines[:-1]]
        return b"".join(head) + code + b" " + lines[-1] + b"\r\n"

    @property
    def positive(self) -> bool:
        """2yz: done."""
        return self.code < 300

    @property
    def intermediate(self) -> bool:
        """3yz: go on (354, 334)."""
        return 300 <= self.code < 400

    @property
    def transient(self) -> bool:
        """4yz: not now."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5yz: not like this."""
        return self.code >= 500

    @property
    def text(self) -> str:
        """One line for people, such as "550 5.1.1 unknown"; what is not printable ASCII is escaped (G6)."""
        if len(self.lines) == 1 and (only := self.lines[0].strip()).isascii():
            said = only.decode()
            if said.isprintable():
                return f"{self.code} {said}" if said else str(self.code)
        words = [str(self.code)]
        prefix = None if self.enhanced is None else f"{self.enhanced} ".encode()
        for number, line in enumerate(self.lines):
            # Each line repeats the enhanced code (RFC 2034); once is enough to read.
            shown = line[len(prefix) :] if number and prefix and line.startswith(prefix) else line
            words.append(_printable(shown.strip()))
        return " ".join(word for word in words if word)


class ReplyReader:
    """Cuts a stream into replies. After a violation it is of no more use.

    A line may end in CRLF or in a lone LF: some servers do that, and nothing hangs on the difference here.
    """

    __slots__ = (
        "_code", "_good", "_heard", "_held", "_known", "_lines", "_size", "failure", "smooth",
    )  # fmt: skip

    def __init__(self, heard: Heard | None = None) -> None:
        """Readers may share what they have `heard`."""
        self._held = b""  # of an unfinished line
        self._lines: list[bytes] = []  # of an unfinished reply
        self._code = b""
        self._size = 0
        self._heard = heard = heard or Heard()
        self._known, self._good = heard.known, heard.good
        self.smooth = True  # all that the last `feed` returned was 2yz
        self.failure: RemoteProtocolError | None = None

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes, in order.

        Raises `RemoteProtocolError` for a violation (G3, G5, X15), one call later if replies stand before it.
        """
        replies: list[Reply] = []
        self.smooth = True
        if self.failure is None:
            text = self._held + data
            try:
                if text[3:4] == b"-" and not self._lines and (whole := _of_many_lines(text)) is not None:
                    self._held = b""
                    self.smooth = whole.code < 300
                    replies.append(whole)
                elif len(text) > LONG:
                    self._runs(text, replies)
                else:
                    self._singles(text, replies)
                self._check_held()
            except RemoteProtocolError as violation:
                self.failure = violation
        if self.failure is not None and not replies:
            raise self.failure
        return replies

    def _singles(self, text: bytes, replies: list[Reply]) -> None:
        *lines, self._held = text.split(b"\n")
        found = list(map(self._good.get, lines))
        if not self._lines and all(found):
            replies += cast("list[Reply]", found)  # nothing new, and all is well
            return
        for line, good in zip(lines, found, strict=True):  # what stands before a violation is kept
            reply = good if good is not None and not self._lines else self._next(line)
            if reply is not None:
                replies.append(reply)

    def _runs(self, text: bytes, replies: list[Reply]) -> None:
        """The same, but a line that comes again and again is looked at once."""
        start = 0
        while (end := text.find(b"\n", start)) >= 0:
            line, start = text[start:end], end + 1
            if (reply := self._next(line)) is None:
                continue
            replies.append(reply)
            if text.startswith(line, start) and len(reply.lines) == 1:
                for times in RUNS:
                    run = (line + b"\n") * times
                    while text.startswith(run, start):
                        replies += [reply] * times
                        start += len(run)
        self._held = text[start:]

    def _next(self, line: bytes) -> Reply | None:
        """The reply that ends with `line`, if one does."""
        reply = (None if self._lines else self._known.get(line)) or self._line(line)
        if reply is not None and reply.code >= 300:
            self.smooth = False
        return reply

    @property
    def partial(self) -> bool:
        """Whether bytes of an unfinished reply are held, or of something that is none."""
        return bool(self._held or self._lines) or self.failure is not None

    def _line(self, line: bytes) -> Reply | None:
        if len(line) >= MAX_LINE:
            raise RemoteProtocolError(f"a reply line of more than {MAX_LINE} octets")
        match = grammar.REPLY_LINE.fullmatch(line[:-1] if line.endswith(b"\r") else line)
        if match is None:
            raise RemoteProtocolError(f"not an SMTP reply: {_printable(line[:60])}")
        code, separator, text = match.groups(b"")
        if not self._lines:
            self._code, self._size = code, 0
        elif code != self._code:
            raise RemoteProtocolError(f"one reply with two codes: {self._code.decode()} and {code.decode()}")
        self._lines.append(text)
        self._size += len(line) + 1
        if len(self._lines) > MAX_LINES or self._size > MAX_REPLY:
            raise RemoteProtocolError("an endless reply")
        if separator == b"-":
            return None
        texts, self._lines = tuple(self._lines), []
        number = int(code)
        if len(texts) > 1:
            return Reply._trusted(number, _enhanced(number, texts), texts)
        word = (number, text.partition(b" ")[0])
        heard = self._heard
        if word not in heard.enhanced:
            heard.word(*word, _enhanced(number, texts))
        reply = Reply._trusted(number, heard.enhanced[word], texts)
        heard.line(line, reply)
        return reply

    def _check_held(self) -> None:
        """Judge an unfinished line as soon as it is lost: a peer that is not SMTP may never end it."""
        held = self._held
        if len(held) >= MAX_LINE:
            raise RemoteProtocolError(f"a reply line of more than {MAX_LINE} octets")
        if held and held[:1] not in b"2345":
            raise RemoteProtocolError(f"not an SMTP reply: {_printable(held[:60])}")


def _of_many_lines(text: bytes) -> Reply | None:
    """`text`, where it is one reply of several lines and nothing else, as EHLO has it; else None.

    What line by line would be read in the same way, at a tenth of the price.
    """
    lines = text.split(b"\r\n")
    code, count = text[:3], len(lines) - 1  # the last one is empty
    if (
        lines[-1]
        or not 2 <= count <= MAX_LINES
        or not lines[-2].startswith(code + b" ")
        or text.count(b"\r\n" + code + b"-") != count - 2
        or text.count(b"\n") != count
        or max(map(len, lines)) >= MAX_LINE - 2
        or len(text) > MAX_REPLY
        or _CODE.fullmatch(code) is None
    ):
        return None
    texts = tuple([line[4:] for line in lines[:-1]])
    number = int(code)
    return Reply._trusted(number, _enhanced(number, texts), texts)


def _enhanced(code: int, lines: tuple[bytes, ...]) -> EnhancedStatus | None:
    """The first enhanced code in the lines, unless the reply code contradicts it: that one wins (G7)."""
    for line in lines:
        if line[1:2] == b"." and (found := EnhancedStatus.parse(line)) is not None:
            return found if found.klass == code // 100 else None
    return None


def _printable(line: bytes) -> str:
    text = line.decode("ascii", "backslashreplace")
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
