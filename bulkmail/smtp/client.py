"""The client's half of the protocol: which bytes a command is, and which command a reply answers.

There is no I/O here and no clock. `send` is refused where the tables of `state.py`, or what the server
announced, do not allow a command: that is our bug, `LocalProtocolError`. `receive` gives each reply to the
oldest unanswered command, and ends the conversation with `RemoteProtocolError` where that cannot be right
(G3, G8, X15). Answers that stand before a violation are believed and returned; the violation is raised by
the next call and is in `failure` at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bulkmail.errors import LocalProtocolError, RemoteProtocolError
from bulkmail.smtp.announced import unannounced
from bulkmail.smtp.command import Command, Ehlo, Greeting, Helo, Quit
from bulkmail.smtp.extension import NONE, Extensions
from bulkmail.smtp.heard import Heard
from bulkmail.smtp.reply import Reply, ReplyReader
from bulkmail.smtp.state import ANSWERED, ENDS_GROUP, SENT, State, kind
from bulkmail.smtp.whole import OPEN, Envelope, Whole, credible, outcome_of, unannounced_part

Said = Command | Envelope | Whole  # what a client says: one command, or a transaction in one breath
IN_ONE_BREATH = (Envelope, Whole)  # as a tuple, for `X | Y` is made anew wherever it is evaluated


class Answer(NamedTuple):
    """A command and its reply; of an Envelope or a Whole, those of its replies that came together."""

    command: Said
    replies: Sequence[Reply]
    smooth: bool = False  # they are 2yz, as far as was looked

    @property
    def reply(self) -> Reply:
        """The only one, or the last."""
        return self.replies[-1]


class ClientProtocol:
    """One conversation. It begins with the greeting unanswered. Several may share what they have `heard`."""

    def __init__(self, heard: Heard | None = None) -> None:
        self.extensions: Extensions = NONE
        self._heard = heard = heard or Heard()
        self._reader = ReplyReader(heard)
        self._unanswered: list[Said] = [Greeting()]
        self._codes: list[int] = []  # of the replies that the oldest unanswered Envelope or Whole has
        self._sent = State.CONNECTED
        self._answered = State.CONNECTED
        self._closing = False
        self._failure: RemoteProtocolError | None = None

    def send(self, command: Said) -> bytes:
        """The bytes of `command`, which is from now on unanswered.

        Raises `LocalProtocolError` if it may not be sent now, and what `failure` holds.
        """
        if self._failure is not None:
            raise self._failure
        if isinstance(command, IN_ONE_BREATH):
            return self._send_whole(command)
        allowed = SENT[self._sent]
        key = kind(command)
        if key not in allowed:
            raise LocalProtocolError(f"{key.__name__} after {self._sent.name}")
        if self._unanswered:
            last = self._unanswered[-1]
            if ends_group(last):
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
            replies = self._reader.feed(data)
            done = 0
            while done < len(replies):
                oldest = self._unanswered[0] if self._unanswered else None
                if isinstance(oldest, IN_ONE_BREATH):
                    part = replies[done : done + oldest.replies - len(self._codes)]
                    answer = self._answer_whole(oldest, part, smooth=self._reader.smooth)
                    answers.append(answer)
                    done += len(answer.replies)
                    continue
                reply = replies[done]
                done += 1
                if oldest is not None:
                    answers.append(self._answer(oldest, reply))
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
    def unanswered(self) -> tuple[Said, ...]:
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
        del self._unanswered[0]
        self._answered = moves.get(self._answered, self._answered)
        if isinstance(command, Ehlo) and reply.positive:
            self.extensions = self._announced(reply)
        elif isinstance(command, Helo) and reply.positive:
            self.extensions = NONE
        if reply.code == 421 or self._answered is State.CLOSING:
            self._close()
        if not self._unanswered:
            self._sent = self._answered
        return Answer(command, (reply,))

    def _announced(self, reply: Reply) -> Extensions:
        lines = reply.lines[1:]
        known = self._heard.announced.get(lines)
        if known is None:
            known = Extensions.parse(reply)
            self._heard.announcement(lines, known)
        return known

    def _send_whole(self, one: Whole | Envelope) -> bytes:
        clean = self._sent is State.READY and not self._unanswered
        if self._sent not in OPEN or not (clean or one.reset):
            raise LocalProtocolError(f"{type(one).__name__} after {self._sent.name}")
        if self._unanswered and ends_group(last := self._unanswered[-1]):
            raise LocalProtocolError(f"{type(one).__name__} before the answer to {type(last).__name__}")
        if (missing := unannounced_part(one, self.extensions)) is not None:
            raise LocalProtocolError(f"{type(one).__name__} without {missing}")
        self._sent = State.READY if isinstance(one, Whole) else State.CONTENT
        self._unanswered.append(one)
        return one.encode()

    def _answer_whole(self, one: Whole | Envelope, replies: list[Reply], *, smooth: bool) -> Answer:
        """`replies`: as many as there are, and no more than `one` is owed. Some of them, at least one.

        `smooth`: all of them are 2yz.
        """
        if smooth and type(one) is Whole and not self._codes and len(replies) == one.replies:
            del self._unanswered[0]
            if not self._closing:
                self._answered = State.READY
            if not self._unanswered:
                self._sent = self._answered
            return Answer(one, replies, smooth)
        codes = [reply.code for reply in replies]
        if max(codes) >= 300 or type(one) is Envelope:
            # only as far as nothing is wrong, and no further than a 421: behind it the host does nothing
            codes = codes[: credible(one, len(self._codes), codes)]
            if not codes:
                raise RemoteProtocolError(f"not an answer to {type(one).__name__}: {replies[0].text}")
            replies = replies[: len(codes)]
            if codes[-1] == 421:
                self._close()
        self._codes += codes
        if len(self._codes) == one.replies:
            state = outcome_of(one, self._codes)
            del self._unanswered[0]
            self._codes = []
            if state is State.CLOSING:
                self._close()
            elif not self._closing:
                self._answered = state
            if not self._unanswered:
                self._sent = self._answered
        return Answer(one, replies, smooth)

    def _close(self) -> None:
        self._closing = True
        if self._answered is not State.CLOSED:
            self._sent = self._answered = State.CLOSING


def ends_group(command: Said) -> bool:
    """Nothing may be said behind it before it is answered (RFC 2920 section 3.1)."""
    if isinstance(command, IN_ONE_BREATH):
        return isinstance(command, Envelope)
    return kind(command) in ENDS_GROUP
