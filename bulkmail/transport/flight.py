"""What was said and is not answered: what may be written now, until when a reply is awaited, what came of it.

Bookkeeping without I/O. `Course` takes commands, one exchange after the other or the next behind what is
still unanswered, and hands them out in groups:

* A group ends after a command whose reply the next one depends on (RFC 2920 section 3.1), and where the
  host does not offer PIPELINING each command is a group of its own.
* Writing stops while WINDOW octets of commands, or OWED replies, are outstanding, so that a peer which is
  slow to answer is not buried (RFC 2920 section 3.2); 100 recipients still go in one flight. Content is not
  counted, nor is a message that is said in one breath with it: how many of those are in flight is the
  caller's to decide.

The deadline is that of the oldest unanswered reply (RFC 5321 section 4.5.3.2); of a message said in one
breath that has left us each reply has the time of the end of data, for a host may hold back the others until
it has looked at all of it (RFC 2920 section 3.2). Its time starts when its command was handed over or when
the reply before it arrived, whichever is later; neither parts of a reply nor what is said behind it move that
(T4). The time stands still while nobody listens: from when a flight was told of until more is said or
listened for. While a block is being written the kernel's taking it has a deadline of its own (T5); but not
as long as a message is unanswered of which the kernel took the last octet: a host that is busy with that need
not read on, and whoever broke off would put its recipients in doubt. An envelope that is sent without content
has a deadline for the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bulkmail.errors import ConversationEnded, RemoteProtocolError
from bulkmail.smtp import command as smtp
from bulkmail.smtp.client import IN_ONE_BREATH, Answer, Said, ends_group
from bulkmail.smtp.reply import Reply
from bulkmail.smtp.whole import Whole
from bulkmail.transport.approach import TimeLimits
from bulkmail.transport.said import LIMIT, ends_message, is_content, name_of, part_of, patience

BLOCK = 65536  # octets for which TimeLimits.block holds
WINDOW = 16 * 1024
OWED = 256


def blocks(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), BLOCK):
        yield octets[start : start + BLOCK]


class Flight(NamedTuple):
    """What an exchange brought; of one that goes on, what was heard of those that have all their replies."""

    replies: tuple[Reply, ...]  # in order, for the first commands; fewer where it ended early
    handed_over: bool  # the last octet of the last content (without one: of the last command) left us
    failure: ConversationEnded | None  # why it ended early; the connection is then dead
    sent: int = 0  # how many of the commands left us whole
    smooth: bool = False  # each of them has its replies, and all of these are 2yz
    host: str = ""  # who said it


@dataclass(slots=True)
class _Owed:
    command: Said
    octets: int  # that count against the window
    end: int  # where its last octet lies in all that is written
    due: int  # replies that it gets
    answered: int = 0


class Course:
    """The commands of a conversation that are not answered yet. Times are seconds on the caller's clock."""

    def __init__(self, limits: TimeLimits, now: float, *, owed: Sequence[Said] = (), host: str = "") -> None:
        """`owed`: what is awaited though nobody said anything (the greeting). `host`: whom it is said to."""
        self._host = host
        self.replies: list[Reply] = []  # that no flight has told of
        self._smooth = True
        self._commands: Sequence[Said] = owed  # those that no flight has told of
        self._limits = limits
        self._next = len(owed)  # of them, the first not yet asked for
        self._ends = [0] * len(owed)  # of those asked for
        self._queued = 0  # octets asked for
        self._handed = 0  # octets of them that the kernel took
        self._reach = 0  # octets of them that it may be taking at this moment,
        self._begun = 0  # from here,
        self._mark = 0  # and when it had come here its time began anew
        self._owed = [_Owed(command, 0, 0, 1) for command in owed]
        self._window = 0
        self._barrier = bool(owed)
        self._since = now  # when the time of the oldest reply began
        self._told_at: float | None = now  # since when nobody listens
        self._block_since: float | None = None
        self._until = math.inf

    def add(self, commands: Sequence[Said], now: float) -> None:
        """Say these, too: behind those that are not answered yet, of which all was written."""
        self._commands = [*self._commands, *commands] if self._commands else commands
        self.listen(now)
        self._until = now + patience(commands, self._limits)

    def listen(self, now: float) -> None:
        """Somebody does, or is about to, until a flight is told of."""
        if self._told_at is not None:
            self._since += now - self._told_at
            self._told_at = None

    # --- what may be written ------------------------------------------------------------------------------

    def permitted(self, *, pipelining: bool) -> Iterator[Said]:
        """The commands that may be written now; each that is taken must be `queued` before the next."""
        while self._next < len(self._commands):
            command = self._commands[self._next]
            if self._barrier or (self._owed and not pipelining):
                return
            full = self._window >= WINDOW or len(self._owed) >= OWED
            if full and not isinstance(command, Whole):
                return
            if isinstance(command, smtp.EndOfData) and self._next and not self.replies[-1].intermediate:
                self._commands = self._commands[: self._next]  # DATA was refused: there is no place for it
                return
            yield command

    def queued(self, command: Said, octets: int) -> None:
        """`command` is about to be written and is `octets` long."""
        self._next += 1
        self._queued += octets
        self._ends.append(self._queued)
        if type(command) is Whole:
            self._owed.append(_Owed(command, 0, self._queued, command.replies))
            self._barrier = False
            return
        counted = 0 if is_content(command) else octets
        replies = command.replies if isinstance(command, IN_ONE_BREATH) else 1
        self._owed.append(_Owed(command, counted, self._queued, replies))
        self._window += counted
        self._barrier = ends_group(command)

    def begins(self, octets: int, now: float) -> None:
        """The kernel is asked to take this many octets more."""
        self._block_since = now
        self._begun = self._mark = self._handed
        self._reach = self._handed + octets

    def took(self, octets: int, now: float) -> None:
        """It took so many of these until now, and the rest of them waits for room."""
        awaited = self._awaited()
        self._handed = self._begun + octets
        if self._handed - self._mark >= BLOCK:
            self._mark, self._block_since = self._handed, now
        if not awaited and self._awaited():
            self._since = now

    def handed(self, octets: int, now: float) -> None:
        """It took so many of them, and is asked for no more."""
        awaited = self._awaited()
        self._handed = self._reach = self._begun + octets
        self._block_since = None
        if not awaited:
            self._since = now

    # --- what is awaited ----------------------------------------------------------------------------------

    def answered(self, answer: Answer, now: float) -> Said | None:
        """It is to the oldest unanswered command, which is returned if it has all of its replies.

        Raises RemoteProtocolError for a success that was reported before all of the command was there.
        """
        owed, replies = self._owed[0], answer.replies
        self._smooth = self._smooth and answer.smooth
        owed.answered += len(replies)
        self._since = now
        if owed.answered < owed.due:
            self.replies += replies
            return None
        del self._owed[0]
        if self._block_since is not None and ends_message(owed.command):
            self._block_since = now  # he was busy with that
        if replies[-1].positive and owed.end > self._reach:
            name = name_of(owed.command, owed.answered - 1)
            raise RemoteProtocolError(f"{name} was answered before it was sent")
        self.replies += replies
        self._window -= owed.octets
        if not self._owed:
            self._barrier = False
        return owed.command

    @property
    def unanswered(self) -> int:
        return len(self._owed)

    @property
    def brisk(self) -> bool:
        """It is one of many that follow each other closely: the answer comes soon, others have much to do."""
        return bool(self._commands) and isinstance(self._commands[-1], IN_ONE_BREATH)

    @property
    def pending(self) -> bool:
        """There is something to be said that may not be written yet."""
        return self._next < len(self._commands)

    def deadline(self) -> float:
        """When patience ends, for a block being written, the oldest reply or the envelope; inf for none.

        Who has a whole message to answer for may be busy with it, and read nothing meanwhile.
        """
        deadline = self._until
        if self._block_since is not None and not self._has_a_message():
            deadline = self._block_since + self._limits.block
        if self._awaited():
            first = self._owed[0]
            oldest = LIMIT.get(part_of(first.command, first.answered), "mail")
            if type(first.command) is Whole and first.end <= self._handed:
                # all of its replies may be held back until the message has been looked at
                oldest = "end_of_data"
            deadline = min(deadline, self._since + float(getattr(self._limits, oldest)))
        return deadline

    def overdue(self, now: float) -> str:
        """Whose deadline it was, in words."""
        awaited = f"timed out waiting for {self.awaiting()}"
        return awaited if now < self._until else f"{awaited}: the envelope took too long altogether"

    def awaiting(self) -> str:
        """What is being waited for, in words."""
        if self._awaited():
            oldest = self._owed[0]
            name = name_of(oldest.command, oldest.answered)
            return name if isinstance(oldest.command, smtp.Greeting) else f"the reply to {name}"
        return "the host to take what we write"

    def flight(self, failure: ConversationEnded | None) -> Flight:
        """What came of all that no flight has told of, as far as it came."""
        sent = sum(end <= self._handed for end in self._ends)
        last = max(
            (n for n, command in enumerate(self._commands) if is_content(command)),
            default=len(self._commands) - 1,
        )
        return Flight(tuple(self.replies), sent > last, failure, sent, host=self._host)

    def take(self, now: float) -> Flight:
        """What came of those that have their replies, all of which left us: let go of them, and tell it."""
        answered = len(self._ends) - len(self._owed)
        replies, begun = self.replies, self._owed[0].answered if self._owed else 0
        self.replies = replies[len(replies) - begun :]
        if begun:
            replies = replies[:-begun]
        flight = Flight(tuple(replies), True, None, answered, self._smooth, self._host)
        self._smooth = all(reply.positive for reply in self.replies)
        self._commands, self._ends = self._commands[answered:], self._ends[answered:]
        self._next -= answered
        self._told_at = now
        return flight

    def _has_a_message(self) -> bool:
        """The oldest that is not answered is a message, all of which left us."""
        return self._awaited() and ends_message(self._owed[0].command)

    def _awaited(self) -> bool:
        """Whether the oldest reply can be waited for: what it is to has left us."""
        return bool(self._owed) and self._owed[0].end <= self._handed
