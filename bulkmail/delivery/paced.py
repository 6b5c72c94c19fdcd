"""What a provider's own answers say of how fast, and over how many connections, it is to be sent to.

Most say nothing: then there is neither a finder nor a bound here, and no message costs more than a look at
that. `Finder` and `Room` are made by the first complaint, or from what another campaign has met. They are of
a provider, for that is who counts what comes from us: all of its sites share one `Pacing`. As long as there
is one site of it here, the pace is kept by that site's own bucket; with the second, and somebody who
complains, all stand in one level (`Together`). Plain functions of a given monotonic `now`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.feedback import LONGEST_PAUSE_S, PAUSE_S, Finder
from bulkmail.delivery.level import Level
from bulkmail.delivery.room import LATE_S, RISEN, Room
from bulkmail.delivery.shaping import BURST_S, Bounds, least

BELIEVED_S = 900.0  # a limit met once may have been a bad moment: forgotten, and met again if it was none
DEEP = 1.25  # round trips that a found rate may be caught up with: who waits for answers is not to lose turns
DEEPEST_S = 1.0
WORTH = 0.05  # of a rate: so much must it be another one for anybody to be told
JUST_S = 0.25  # after which a host knows that a connection was given up
AGAIN_S = 3_600.0  # … or so long ago that he was
REMEMBERING = "as an earlier campaign found"


class Allowed(NamedTuple):
    """What a provider was found to take of one sender. None: nothing was found."""

    message_rate: float | None = None  # a second
    connections: int | None = None  # at once


UNKNOWN = Allowed()


class Pacing:
    """Of one provider, for all of its sites in this process: `sites`. `parts`: such processes share it.

    `standing` counts connections that sessions hold. `on_complaint` is told when there is something to keep
    to, `on_allowed` what was found of it.
    """

    __slots__ = (
        "_noted",
        "_noted_at",
        "answered",
        "began",
        "calling",
        "finder",
        "left_at",
        "name",
        "on_allowed",
        "on_complaint",
        "parts",
        "room",
        "sites",
        "standing",
        "throttlings",
        "together",
        "usual_s",
    )

    def __init__(self, name: str, now: float, *, parts: int = 1) -> None:
        self.name = name
        self.began = now
        self.parts = parts
        self.sites: dict[Paced, None] = {}
        self.together: Level | None = None  # where the pace is kept; None: by the only site
        self.standing = 0
        self.calling = 0  # connections that are being made
        self.left_at = -JUST_S  # when one was given up
        self.answered = 0  # messages that it did not throttle
        self.usual_s = 0.0  # that an answer takes, at least; 0: none has come
        self.finder: Finder | None = None
        self.room: Room | None = None
        self.throttlings = 0  # what was booked before the latest is void
        self.on_complaint: Callable[[Pacing], None] = lambda pacing: None
        self.on_allowed: Callable[[Pacing, Allowed], None] = lambda pacing, found: None
        self._noted, self._noted_at = 0.0, now

    @property
    def complains(self) -> bool:
        return self.finder is not None or self.room is not None

    def begin_with(self, known: Allowed, now: float) -> None:
        """What was found earlier is believed to hold still, and tried like anything else that was found."""
        if known.message_rate is not None:
            self.finder = Finder.remembered(known.message_rate, now, REMEMBERING)
            self._noted, self._noted_at = known.message_rate, now
        if known.connections is not None:
            self.room = Room(known.connections, now, REMEMBERING)

    def divide(self, parts: int) -> None:
        """Among so many from now on: what was found was our part of it."""
        before, self.parts = self.parts, parts
        if parts != before:
            if self.finder is not None:
                self.finder.scale(before / parts)
            if self.room is not None:
                self.room.size = max(1, self.room.size * before // parts)
            self._noted *= before / parts
            self.follow()

    # --- connections -----------------------------------------------------------------------------------

    def full(self, why: str, now: float) -> None:
        """One more was refused."""
        if self.room is None:
            self.room = Room(self.standing, now, f"it said {why}")
            self.on_complaint(self)
        else:
            self.room.refused(self.standing, now, f"it said {why}")
        self.on_allowed(self, Allowed(connections=self.room.size))

    def late(self, took_s: float, now: float) -> None:
        """An answer took far longer than usual."""
        if self.room is None:
            self.room = Room(self.standing, now, "its answers take ever longer")
            self.on_complaint(self)
        self.room.late(took_s, now)

    # --- the rate --------------------------------------------------------------------------------------

    def went(self, count: int, now: float) -> None:
        """So many messages were let in."""
        finder = self.finder
        if finder is None or not count:
            return
        backed_off = finder.backing_off
        if finder.is_moot(now, BELIEVED_S):
            self.finder = None
        elif not finder.accepted(count, now) and not backed_off:
            return
        self.follow()
        if self.together is not None:
            self.together.admit()
        self._note(finder.found, now)

    def slow(self, why: Disposition, number: int, following: int, now: float, longest_s: float) -> bool:
        """It asks for less, in answer to message `number` or to a connection; `following` is of the next.

        False: it is to be left alone, for the wait is longer than that, or than anybody should wait here.
        """
        if self.finder is None:
            if longest_s < PAUSE_S:
                return False
            seen = max(1, self.answered) / max(1.0, now - self.began)
            self.finder = Finder(seen, now, following, f"it said {why.text}")
            self.on_complaint(self)
        elif not self.finder.throttled(number, following, now, f"it said {why.text}"):
            return True
        pause_s = max(self.finder.pause_s, why.wait_s or 0.0)
        if pause_s > min(longest_s, LONGEST_PAUSE_S):
            return False
        self.throttlings += 1
        self.finder.resumes = now + pause_s
        self._note(self.finder.found, now)
        self.follow()
        self._keeper.sending.each.void(now + pause_s)
        return True

    def _note(self, found: float | None, now: float) -> None:
        if found and (abs(found - self._noted) > WORTH * self._noted or now - self._noted_at > AGAIN_S):
            self._noted, self._noted_at = found, now
            self.on_allowed(self, Allowed(message_rate=found))

    def follow(self) -> None:
        """Keep to the pace, within shaping's limits."""
        keeper = self._keeper
        bucket, limit = keeper.sending.each, keeper.bounds.message_rate
        rate = None if self.finder is None else self.finder.rate
        if rate is None or (limit is not None and limit <= rate):
            bucket.limit(limit)
            return
        # deeper than usual only as far as our own limit lets so many go anyhow
        depth_s = min(DEEPEST_S, DEEP * self.usual_s)
        bucket.limit(rate, depth_s if limit is None else min(depth_s, BURST_S * limit / rate))

    @property
    def _keeper(self) -> Level:
        return self.together or next(iter(self.sites))


class Together(Level):
    """All sites of a provider: its limits, and what it was found to take."""

    __slots__ = ("_pacing",)

    def __init__(self, name: str, bounds: Bounds, now: float, pacing: Pacing) -> None:
        self._pacing = pacing
        super().__init__(name, bounds, now)

    def limit_to(self, bounds: Bounds) -> None:
        super().limit_to(bounds)
        self._pacing.follow()

    @property
    def counts_connections(self) -> bool:
        return super().counts_connections or self._pacing.room is not None

    def most(self, now: float) -> int | None:
        most, pacing = self.bounds.connections, self._pacing
        if pacing.together is not self:
            return most
        if pacing.finder is not None and pacing.finder.backing_off:
            return 1 if most is None else min(1, most)
        return most if pacing.room is None else least(pacing.room.limit(pacing.standing, now), most)


class Paced(Level):
    """The part of a `Site` that its answers change. `standing` counts connections that sessions hold."""

    __slots__ = ("late_s", "pacing", "standing")

    pacing: Pacing

    def begin(self, pacing: Pacing) -> None:
        """It has never complained, as most."""
        self.pacing = pacing
        pacing.sites[self] = None
        self.standing = 0
        self.late_s = 0.0  # an answer that takes longer is to be looked at; the first is

    @property
    def finder(self) -> Finder | None:
        return self.pacing.finder

    @property
    def room(self) -> Room | None:
        return self.pacing.room

    def stands(self) -> None:
        """A connection more is open."""
        pacing = self.pacing
        self.standing += 1
        pacing.standing += 1
        if (room := pacing.room) is not None and pacing.standing >= room.size:
            room.stands(pacing.standing)
            pacing.on_allowed(pacing, Allowed(connections=room.size))

    def left(self, now: float) -> None:
        """One less."""
        self.standing -= 1
        self.pacing.standing -= 1
        self.pacing.left_at = now

    def took(self, took_s: float, now: float) -> None:
        """An answer took longer than `late_s`."""
        if self.late_s:
            self.pacing.late(took_s, now)
            return
        self.late_s = max(LATE_S, RISEN * took_s)
        pacing = self.pacing
        pacing.usual_s = min(pacing.usual_s or took_s, took_s)
        if pacing.finder is not None:
            pacing.follow()
