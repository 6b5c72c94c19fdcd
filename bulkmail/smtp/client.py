"""The client's half of the protocol: which bytes a command is, and which command a reply answers.

There is no I/O here and no clock. `send` is refused where the tables of `state.py`, or what the server
announced, do not allow a command: that is our bug, `LocalProtocolError`. `receive` gives each reply to the
oldest unanswered command, and ends the conversation with `RemoteProtocolError` where that cannot be right
(G3, G8, X15). Answers that stand before a violation are believed and returned; the violation is raised by
the next call and is in `failure` at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bulkmail.errors import LocalProtocolError, RemoteProtocolError
from bulkmail.smtp.announced import unannounced
from bulkmail.smtp.command import Command, Ehlo, Greeting, Helo, Quit
from bulkmail.smtp.extension import NONE, Extensions
from bulkmail.smtp.reply import Reply, ReplyReader
from bulkmail.smtp.state import ANSWERED, ENDS_GROUP, SENT, State, kind


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply and the command that it answers."""

    command: Command
    reply: Reply


class ClientProtocol:
    """One conversation. It begins with the greeting unanswered."""

    def __init__(self) -> None:
        self.extensions: Extensions = NONE
        self._reader = ReplyReader()
        self._unanswered: deque[Command] = deque((Greeting(),))
        self._sent = State.CONNECTED
        self._answered = State.CONNECTED
        self._closing = False
        self._failure: RemoteProtocolError | None = None

    def send(self, command: Command) -> bytes:
        """The bytes of `command`, which is from now on unanswered.

        Raises `LocalProtocolError` if it may not be sent now, and what `failure` holds.
        """
        if self._failure is not None:
            raise self._failure
        allowed = SENT[self._sent]
        key = kind(command)
        if key not in allowed:
            raise LocalProtocolError(f"{key.__name__} after {self._sent.name}")
        if self._unanswered:
            last = self._unanswered[-1]
            if kind(last) in ENDS_GROUP:
                raise LocalProtocolError(f"{key.__name__} before the answer to {type(last).__name__}")
            if not self.extensions.pipelining:
                raise LocalProtocolError(f"{key.__name__} while {type(last).__name__} is unanswered")
        if (refusal := unannounced(command, self.extensions)) is not None:
            raise LocalProtocolError(f"{key.__name__} would be answered {refusal.text}")
        encoded = command.encode()
        self._sent = allowed[key] or self._sent
        self._unanswered.append(command)
        if isinstance(command, Quit):
            self._closing = True
        return encoded

    def receive(self, data: bytes) -> list[Answer]:
        """The answers that `data` completes, in order.

        Raises `RemoteProtocolError` if the first thing in it is a violation; one behind answers is raised by
        the next call. A 421 that answers nothing is legal (RFC 5321 section 3.8): it only sets `closing`.
        """
        if self._failure is not None:
            raise self._failure
        answers: list[Answer] = []
        try:
            for reply in self._reader.feed(data):
                if self._unanswered:
                    answers.append(self._answer(self._unanswered[0], reply))
                elif reply.code == 421:
                    self._close()
                else:
                    raise RemoteProtocolError(f"a reply that nobody waits for: {reply.text}")
        except RemoteProtocolError as violation:
            self._failure = violation
            if not answers:
                raise
        else:
            self._failure = self._reader.failure
        return answers

    @property
    def failure(self) -> RemoteProtocolError | None:
        """Why this conversation is over, if it is: nothing more can be received or sent."""
        return self._failure

    @property
    def unanswered(self) -> tuple[Command, ...]:
        """The commands that the server still owes a reply, oldest first."""
        return tuple(self._unanswered)

    @property
    def idle(self) -> bool:
        """Whether another transaction could begin here: the only state in which a pool may keep it."""
        return (
            not self._unanswered
            and self._answered is State.READY
            and not self._closing
            and not self._reader.partial
            and self._failure is None
        )

    @property
    def closing(self) -> bool:
        """Whether a 421 was seen, the greeting or a RSET was refused, or QUIT was sent."""
        return self._closing

    def start_tls(self) -> None:
        """Begin again, over TLS, after the 220 to STARTTLS.

        Raises `RemoteProtocolError` if anything stood behind the 220: it came in clear text and could be
        anybody's (S2, CVE-2021-38371). What was announced before is forgotten (S3, RFC 3207 section 4.2).
        """
        if self._failure is None and self._reader.partial:
            self._failure = RemoteProtocolError("bytes in clear text behind the reply to STARTTLS")
        if self._failure is not None:
            raise self._failure
        if self._answered is not State.TLS:
            raise LocalProtocolError("no STARTTLS was accepted")
        self.extensions = NONE
        self._sent = self._answered = State.GREETED

    def _answer(self, command: Command, reply: Reply) -> Answer:
        moves = ANSWERED[kind(command)].get(reply.code // 100)
        if moves is None:
            raise RemoteProtocolError(f"not an answer to {type(command).__name__}: {reply.text}")
        self._unanswered.popleft()
        self._answered = moves.get(self._answered, self._answered)
        if isinstance(command, Ehlo) and reply.positive:
            self.extensions = Extensions.parse(reply)
        elif isinstance(command, Helo) and reply.positive:
            self.extensions = NONE
        if reply.code == 421 or self._answered is State.CLOSING:
            self._close()
        if not self._unanswered:
            self._sent = self._answered
        return Answer(command, reply)

    def _close(self) -> None:
        self._closing = True
        if self._answered is not State.CLOSED:
            self._sent = self._answered = State.CLOSING
