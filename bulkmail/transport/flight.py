"""One pipelined exchange: what may be written now, whose reply is awaited until when, and what came of it.

Bookkeeping without I/O. `Course` takes the commands of one exchange and hands them out in groups:

* A group ends after a command whose reply the next one depends on (RFC 2920 section 3.1), and where the
  host does not offer PIPELINING each command is a group of its own.
* Writing stops while WINDOW octets of commands, or OWED replies, are outstanding. A peer that cannot get rid
  of its replies stops reading, and if we then wrote without reading, both would wait for ever (RFC 2920
  section 3.2). 256 replies of the usual 50-100 octets are below the 64 kB that every kernel of today buffers
  for us, and 16 kB of commands below the least receive window that is announced to us; 100 recipients still
  go in one flight. The content is not counted: a connection reads while it writes anything that large.

The deadline is that of the oldest unanswered reply (RFC 5321 section 4.5.3.2). Its time starts when its
command was handed over or when the reply before it arrived, whichever is later, and parts of a reply do not
move it (T4). While a block is being written the kernel's taking it has a deadline of its own (T5), and an
envelope that is sent without content has one for the whole of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bulkmail.errors import ConversationEnded, RemoteProtocolError
from bulkmail.smtp import command as smtp
from bulkmail.smtp.command import Command
from bulkmail.smtp.reply import Reply
from bulkmail.smtp.state import ENDS_GROUP, kind
from bulkmail.transport.approach import TimeLimits

WINDOW = 16 * 1024
OWED = 256

# Which of TimeLimits is meant. What is not listed answers as fast as MAIL should.
LIMIT: dict[type, str] = {
    smtp.Greeting: "greeting",
    smtp.Helo: "ehlo",
    smtp.Ehlo: "ehlo",
    smtp.Rcpt: "rcpt",
    smtp.Data: "data",
    smtp.EndOfData: "end_of_data",
    smtp.Bdat: "end_of_data",
    smtp.Quit: "quit",
}


def name_of(command: Command) -> str:
    """What people call it; never its arguments, which may be secrets."""
    if isinstance(command, smtp.Greeting):
        return "the greeting"
    if isinstance(command, smtp.EndOfData):
        return "the end of data"
    return {"StartTls": "STARTTLS", "AuthResponse": "AUTH", "AuthAbort": "AUTH"}.get(
        type(command).__name__, type(command).__name__.upper()
    )


def is_content(command: Command) -> bool:
    return isinstance(command, smtp.EndOfData | smtp.Bdat)


def ends_message(command: Command) -> bool:
    return isinstance(command, smtp.EndOfData) or (isinstance(command, smtp.Bdat) and command.last)


def closes(command: Command, reply: Reply) -> bool:
    """The conversation ends with this reply; what stands behind it was not processed (G2, X16)."""
    return reply.code == 421 or (not reply.positive and isinstance(command, smtp.Greeting | smtp.Rset))


def patience(commands: Sequence[Command], limits: TimeLimits) -> float:
    """Seconds for all of an exchange: inf unless it has an envelope and no content."""
    if any(map(is_content, commands)) or not any(isinstance(c, smtp.Mail | smtp.Rcpt) for c in commands):
        return math.inf
    return max(limits.envelope, limits.mail, limits.rcpt, limits.data)


@dataclass(frozen=True, slots=True)
class Flight:
    """What one exchange brought."""

    replies: tuple[Reply, ...]  # in order, for the first commands; fewer where it ended early
    handed_over: bool  # the last octet of the last content (without one: of the last command) left us
    failure: ConversationEnded | None  # why it ended early; the connection is then dead
    sent: int = 0  # how many of the commands left us whole


@dataclass(slots=True)
class _Owed:
    command: Command
    octets: int  # that count against the window
    end: int  # where its last octet lies in what this exchange writes


class Course:
    """The state of one exchange. Times are seconds on the caller's clock."""

    def __init__(
        self, commands: Sequence[Command], limits: TimeLimits, now: float, *, owed: Sequence[Command] = ()
    ) -> None:
        """`owed`: commands sent before, whose replies this exchange awaits (the greeting)."""
        self.replies: list[Reply] = []
        self._commands = commands
        self._limits = limits
        self._next = 0  # the first command not yet asked for
        self._ends: list[int] = []  # of the commands asked for
        self._queued = 0  # octets asked for
        self._handed = 0  # octets of them that the kernel took
        self._reach = 0  # octets of them that it may be taking at this moment
        self._owed: deque[_Owed] = deque(_Owed(command, 0, 0) for command in owed)
        self._window = 0
        self._barrier = bool(owed)
        self._since = now
        self._block_since: float | None = None
        self._until = now + patience(commands, limits)

    # --- what may be written ------------------------------------------------------------------------------

    def permitted(self, *, pipelining: bool) -> Iterator[Command]:
        """The commands that may be written now; each that is taken must be `queued` before the next."""
        while self._next < len(self._commands):
            command = self._commands[self._next]
            if self._barrier or (self._owed and not pipelining):
                return
            if self._window >= WINDOW or len(self._owed) >= OWED:
                return
            if isinstance(command, smtp.EndOfData) and self._next and not self.replies[-1].intermediate:
                self._commands = self._commands[: self._next]  # DATA was refused: there is no place for it
                return
            yield command

    def queued(self, command: Command, octets: int) -> None:
        """`command` is about to be written and is `octets` long."""
        self._next += 1
        self._queued += octets
        self._ends.append(self._queued)
        counted = 0 if is_content(command) else octets
        self._owed.append(_Owed(command, counted, self._queued))
        self._window += counted
        self._barrier = kind(command) in ENDS_GROUP

    def begins(self, octets: int, now: float) -> None:
        """The kernel is asked to take this many octets more."""
        self._block_since = now
        self._reach = self._handed + octets

    def handed(self, octets: int, now: float) -> None:
        """It took so many of them."""
        awaited = self._awaited()
        self._handed += octets
        self._reach = self._handed
        self._block_since = None
        if not awaited:
            self._since = now

    # --- what is awaited ----------------------------------------------------------------------------------

    def answered(self, reply: Reply, now: float) -> Command:
        """`reply` is for the oldest unanswered command, which is returned.

        Raises RemoteProtocolError for a success that was reported before all of the command was there.
        """
        owed = self._owed.popleft()
        if reply.positive and owed.end > self._reach:
            raise RemoteProtocolError(f"{name_of(owed.command)} was answered before it was sent")
        self._window -= owed.octets
        if not self._owed:
            self._barrier = False
        self._since = now
        self.replies.append(reply)
        return owed.command

    @property
    def unanswered(self) -> int:
        return len(self._owed)

    def deadline(self) -> float:
        """When patience ends, for a block being written, the oldest reply or the envelope; inf for none."""
        deadline = self._until
        if self._block_since is not None:
            deadline = self._block_since + self._limits.block
        if self._awaited():
            oldest = LIMIT.get(type(self._owed[0].command), "mail")
            deadline = min(deadline, self._since + float(getattr(self._limits, oldest)))
        return deadline

    def overdue(self, now: float) -> str:
        """Whose deadline it was, in words."""
        awaited = f"timed out waiting for {self.awaiting()}"
        return awaited if now < self._until else f"{awaited}: the envelope took too long altogether"

    def awaiting(self) -> str:
        """What is being waited for, in words."""
        if self._awaited():
            oldest = self._owed[0].command
            name = name_of(oldest)
            return name if isinstance(oldest, smtp.Greeting) else f"the reply to {name}"
        return "the host to take what we write"

    def flight(self, failure: ConversationEnded | None) -> Flight:
        """What came of it so far."""
        sent = sum(end <= self._handed for end in self._ends)
        last = max(
            (n for n, command in enumerate(self._commands) if is_content(command)),
            default=len(self._commands) - 1,
        )
        return Flight(tuple(self.replies), sent > last, failure, sent)

    def _awaited(self) -> bool:
        return bool(self._owed) and self._owed[0].end <= self._handed
