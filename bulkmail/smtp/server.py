"""The server's half of the protocol, as a pull API in the manner of h11.

    protocol = ServerProtocol(); write(protocol.greet(Reply.of(220, "mx.test ESMTP")))
    while data := read():
        protocol.receive_data(data)
        while (event := protocol.next_event()) is not None:
            write(protocol.reply(decide(event)))

Every event is answered before the next one is looked at, which is what keeps pipelined commands in order. A
`Refused` carries the reply that a correct server gives; whoever plays an incorrect one may answer otherwise
(even 354 to a DATA without recipients, X2), and the state follows what was really said, by the tables of
`state.py`. Lines end in CRLF and the data in CRLF.CRLF, nothing looser. Memory is bounded by `max_message`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bulkmail.errors import LocalProtocolError
from bulkmail.smtp import command as c
from bulkmail.smtp import grammar
from bulkmail.smtp.announced import unannounced, unannounced_kind
from bulkmail.smtp.content import unstuff
from bulkmail.smtp.extension import NONE, Extensions
from bulkmail.smtp.parse import parse_auth_response, parse_command
from bulkmail.smtp.reply import Reply
from bulkmail.smtp.state import ANSWERED, IN_ORDER, Kind, LastBdat, State, kind

MAX_LINE = 12288  # octets with CRLF; RFC 4954 section 4 asks for that much, every other limit is lower
MAX_MESSAGE = 50 * 1024 * 1024

_TOO_BIG = Reply.of(552, "message exceeds the maximum size", enhanced="5.3.4")


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message: what came by DATA, dots removed, or all chunks up to the last."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """A BDAT chunk that was not the last one is complete."""

    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Not understood, not announced, too big or out of order: just send the reply."""

    reply: Reply
    command: c.Command | None = None  # what was out of order, where it was understood


@dataclass(slots=True)
class _Arriving:
    """A BDAT chunk whose octets are being read; `refusal` says that they are thrown away."""

    key: Kind
    size: int
    missing: int
    refusal: Reply | None


_Content = TypeVar("_Content", Message, Chunk, Refused)


class ServerProtocol:
    """One conversation. Bytes may arrive before the greeting; they wait."""

    def __init__(self, *, extensions: Sequence[str] = (), max_message: int = MAX_MESSAGE) -> None:
        """`extensions`: the keyword lines announced; what an answer to EHLO really says replaces them."""
        self.announced: Extensions = Extensions.announced_by(line.encode() for line in extensions)
        self._max_message = max_message
        self._state = State.CONNECTED
        self._buffer = bytearray()
        self._owed = False  # an event waits for its reply
        self._key: Kind | None = None  # what that reply answers; None for what was not understood
        self._scanned = 0  # octets of the buffer known not to hold the end of the line or of the data
        self._skipping = False  # the rest of an over-long line, or of an oversized message
        self._arriving: _Arriving | None = None
        self._content = bytearray()  # chunks so far

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._state is not State.CLOSED:
            self._buffer += data

    def next_event(self) -> c.Command | Message | Chunk | Refused | None:
        """What the client said next; None if that takes more bytes.

        Raises `LocalProtocolError` while the last event is not answered.
        """
        if self._owed:
            raise LocalProtocolError("the last event was not answered")
        if self._state in (State.CONNECTED, State.TLS, State.CLOSED):
            return None
        if self._arriving is not None:
            return self._next_chunk(self._arriving)
        if self._state is State.CONTENT:
            return self._next_content()
        return self._next_command()

    def greet(self, reply: Reply) -> bytes:
        """The greeting (220, or a refusal: 554, 421)."""
        if self._state is not State.CONNECTED:
            raise LocalProtocolError("greeted twice")
        self._owed, self._key = True, c.Greeting
        return self.reply(reply)

    def reply(self, reply: Reply) -> bytes:
        """The bytes of the answer to the event last returned; the state follows it.

        A reply that cannot answer the event is sent all the same (somebody plays a bad server), and moves
        nothing.
        """
        if not self._owed:
            raise LocalProtocolError("no event waits for a reply")
        key, self._owed = self._key, False
        if key is not None:
            moves = ANSWERED[key].get(reply.code // 100, {})
            self._state = moves.get(self._state, self._state)
            if key in (c.Ehlo, c.Helo) and reply.positive:
                self.announced = Extensions.parse(reply) if key is c.Ehlo else NONE
        if reply.code == 421:
            self._state = State.CLOSED
        if self._state is not State.BDAT:
            self._content.clear()
        return reply.encode()

    def start_tls(self) -> None:
        """Begin again, over TLS, after the 220 was sent. What came behind STARTTLS in clear is dropped."""
        if self._state is not State.TLS:
            raise LocalProtocolError("no STARTTLS was accepted")
        self._buffer.clear()
        self._scanned = 0
        self.announced = NONE
        self._state = State.GREETED

    @property
    def state(self) -> State:
        """Where the conversation stands by our replies."""
        return self._state

    @property
    def buffered(self) -> bool:
        """Whether bytes beyond the current event are here already: the client is pipelining."""
        return bool(self._buffer)

    # --- lines ----------------------------------------------------------------------------------------

    def _next_command(self) -> c.Command | Message | Chunk | Refused | None:
        line = self._take_until(b"\r\n", MAX_LINE)
        if line is None:
            return None
        if line == b"":  # it was too long
            return self._owe(Refused(Reply.of(500, "line too long", enhanced="5.5.2")), self._response_key())
        if self._state is State.AUTH:
            response = parse_auth_response(line)
            if isinstance(response, Reply):
                return self._owe(Refused(response), c.AuthResponse)
            return self._owe(response, kind(response))
        bdat = grammar.BDAT_LINE.fullmatch(line, 0, len(line) - 2)
        if bdat is not None:
            return self._begin_chunk(int(bdat[1]), bdat[2] is not None)
        parsed = parse_command(line)
        if isinstance(parsed, Reply):
            return self._owe(Refused(parsed), None)
        refusal = self._refusal(parsed)
        return self._owe(parsed if refusal is None else Refused(refusal, parsed), kind(parsed))

    def _response_key(self) -> Kind | None:
        return c.AuthResponse if self._state is State.AUTH else None

    def _refusal(self, command: c.Command) -> Reply | None:
        if (reply := self._out_of_order(kind(command))) is not None:
            return reply
        if (reply := unannounced(command, self.announced)) is not None:
            return reply
        sizes = command.parameters if isinstance(command, c.Mail) else ()
        return _TOO_BIG if any(name == "SIZE" and self._exceeds(size or "") for name, size in sizes) else None

    def _exceeds(self, size: str) -> bool:
        limit = min(self._max_message, self.announced.size or self._max_message)
        return size.isascii() and size.isdigit() and (len(size) > 20 or int(size) > limit)

    def _out_of_order(self, key: Kind) -> Reply | None:
        if self._state in IN_ORDER[key]:
            return unannounced_kind(key, self.announced)
        if self._state is State.MAIL and key in (c.Data, c.Bdat, LastBdat):
            return Reply.of(554, "no valid recipients", enhanced="5.5.1")
        return Reply.of(503, "bad sequence of commands", enhanced="5.5.1")

    # --- content --------------------------------------------------------------------------------------

    def _next_content(self) -> Message | Refused | None:
        if not self._skipping and self._buffer.startswith(b".\r\n"):
            del self._buffer[:3]
            return self._finish(Message(b""), c.EndOfData)
        # The content has no limit per line, and stuffing adds less than a half: beyond twice the maximum
        # there is no doubt that it is too big.
        stuffed = self._take_until(b"\r\n.\r\n", 2 * self._max_message + 5)
        if stuffed is None:
            return None
        content = unstuff(stuffed) if stuffed else b""
        if not stuffed or len(content) > self._max_message:
            return self._finish(Refused(_TOO_BIG), c.EndOfData)
        return self._finish(Message(content), c.EndOfData)

    def _begin_chunk(self, size: int, last: bool) -> Message | Chunk | Refused | None:
        # Refused or not, its octets are on their way and must be read (RFC 3030 section 2).
        key: Kind = LastBdat if last else c.Bdat
        refusal = self._out_of_order(key)
        if refusal is None and len(self._content) + size > self._max_message:
            refusal = _TOO_BIG
        self._arriving = _Arriving(key, size, size, refusal)
        return self._next_chunk(self._arriving)

    def _next_chunk(self, chunk: _Arriving) -> Message | Chunk | Refused | None:
        here = self._buffer[: chunk.missing]
        del self._buffer[: chunk.missing]
        chunk.missing -= len(here)
        if chunk.refusal is None:
            self._content += here
        if chunk.missing:
            return None
        self._arriving = None
        if chunk.refusal is not None:
            return self._finish(Refused(chunk.refusal), chunk.key)
        if chunk.key is LastBdat:
            return self._finish(Message(bytes(self._content)), chunk.key)
        return self._finish(Chunk(chunk.size), chunk.key)

    # --- both -----------------------------------------------------------------------------------------

    def _take_until(self, end: bytes, limit: int) -> bytes | None:
        """Everything up to `end`, with it; None if it is not here yet; b"" if there was more than `limit`."""
        buffer = self._buffer
        found = buffer.find(end, self._scanned)
        if found < 0:
            if len(buffer) >= limit:
                self._skipping = True
            if self._skipping:
                del buffer[: 1 - len(end)]
            self._scanned = max(0, len(buffer) - len(end) + 1)
            return None
        size = found + len(end)
        taken = b"" if self._skipping or size > limit else bytes(buffer[:size])
        del buffer[:size]
        self._scanned, self._skipping = 0, False
        return taken

    def _owe(self, event: c.Command | Refused, key: Kind | None) -> c.Command | Refused:
        self._owed, self._key = True, key
        return event

    def _finish(self, event: _Content, key: Kind) -> _Content:
        self._owed, self._key = True, key
        return event
