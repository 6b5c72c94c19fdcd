"""What a site's own answers say of how fast, and over how many connections, it is to be sent to.

Of most sites nothing: then there is neither a finder nor a bound here, and no message costs more than a look
at that. `Finder` and `Room` are made by the first complaint. Plain functions of a given monotonic `now`.
"""

from __future__ import annotations

from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.feedback import LONGEST_PAUSE_S, PAUSE_S, Finder, Told
from bulkmail.delivery.level import Level
from bulkmail.delivery.room import LATE_S, RISEN, Room
from bulkmail.delivery.shaping import Bucket, Limits

BELIEVED_S = 900.0  # a limit met once may have been a bad moment: forgotten, and met again if it was none


class Paced(Level):
    """The part of a `Site` that its answers change. `standing` counts connections that sessions hold."""

    __slots__ = (
        "_began",
        "_limits",
        "answered",
        "finder",
        "late_s",
        "messages",
        "room",
        "standing",
        "throttlings",
    )

    _limits: Limits
    messages: Bucket  # of its own rate

    def begin(self, now: float) -> None:
        """It has never complained, as most."""
        self._began = now
        self.standing = 0
        self.answered = 0  # messages that it did not throttle
        self.late_s = 0.0  # an answer that takes longer is to be looked at; the first is
        self.finder: Finder | None = None
        self.room: Room | None = None
        self.throttlings = 0  # what was booked before the latest is void

    def stands(self) -> None:
        """A connection more is open."""
        self.standing += 1
        if self.room is not None:
            self.room.stands(self.standing)

    def full(self, why: str, now: float) -> None:
        """One more was refused."""
        if self.room is None:
            self.room = Room(self.standing, now, why)
        else:
            self.room.refused(self.standing, now, why)

    def took(self, took_s: float, now: float) -> None:
        """An answer took longer than `late_s`."""
        if not self.late_s:
            self.late_s = max(LATE_S, RISEN * took_s)
            return
        if self.room is None:
            self.room = Room(self.standing, now, "its answers take ever longer")
        self.room.late(took_s, now)

    def went(self, count: int, now: float) -> None:
        """So many messages were let in."""
        if self.finder is None or not count:
            return
        if self.finder.is_moot(now, BELIEVED_S):
            self.finder = None
        elif not self.finder.accepted(count, now):
            return
        self.follow()

    def slow(self, why: Disposition, number: int, following: int, now: float, longest_s: float) -> bool:
        """It asks for less, in answer to message `number` or to a connection; `following` is of the next.

        False: it is to be left alone, for the wait is longer than that, or than anybody should wait here.
        """
        if self.finder is None:
            if longest_s < PAUSE_S:
                return False
            self.finder = Finder(self.answered / max(1.0, now - self._began), now, following, why.text)
        elif not self.finder.throttled(number, following, now, why.text):
            return True
        pause_s = max(self.finder.pause_s, why.wait_s or 0.0)
        if pause_s > min(longest_s, LONGEST_PAUSE_S):
            return False
        self.throttlings += 1
        self.finder.resumes = now + pause_s
        self.follow()
        self.messages.void(now + pause_s)
        return True

    def told(self, now: float) -> Told | None:
        """What holds it back by its own word, or None."""
        finder, room = self.finder, self.room
        if finder is None and room is None:
            return None
        return Told(
            None if finder is None else finder.rate,
            None if room is None else min(room.size, self._limits.connections),
            min(one.since for one in (finder, room) if one is not None),
            now if finder is None else max(now, finder.resumes),
            " · ".join(dict.fromkeys(one.why for one in (finder, room) if one is not None)),
        )

    def follow(self) -> None:
        """Keep to the pace, within shaping's limit."""
        rate = self._limits.message_rate
        if self.finder is not None:
            rate = self.finder.rate if rate is None else min(rate, self.finder.rate)
        self.messages.limit(rate)
