"""How many connections a site takes at once, as far as it has shown.

As many as stood when it refused another one, one less where answers take ever longer, and one more after a
while, which is twice as long after each time that it was refused. It exists only for sites that did one of
these. Postfix's scheduler is the example: feedback comes in parts of a connection, and only whole ones count.
Plain values and plain functions of a given monotonic `now`.
"""

from __future__ import annotations

WAIT_S = 60.0  # until one more connection is tried
LONGEST_WAIT_S = 1_800.0
LATE_S = 5.0  # an answer that takes longer,
RISEN = 4  # and so many times longer than the first one did, is late


class Room:
    """How many connections the site was seen to allow at once."""

    __slots__ = ("_late", "_next", "_shrunk_at", "_wait_s", "since", "size", "why")

    def __init__(self, size: int, now: float, why: str) -> None:
        self.size = max(1, size)
        self.since = now
        self.why = why
        self._wait_s = WAIT_S
        self._next = now + WAIT_S
        self._late = 0.0
        self._shrunk_at = now

    def limit(self, standing: int, now: float) -> int:
        """How many there may be, `standing` being those that there are. One that grew was to be tried."""
        if now >= self._next and standing >= self.size:
            self.size += 1
            self._next = now + self._wait_s
        return self.size

    def refused(self, standing: int, now: float, why: str) -> None:
        """One more was refused, with so many there."""
        self.why = why
        if standing < self.size:
            self._wait_s = min(LONGEST_WAIT_S, 2 * self._wait_s)
        self.size = max(1, standing)
        self._next = now + self._wait_s

    def stands(self, standing: int) -> None:
        """So many were opened after all."""
        if standing >= self.size:
            self.size, self._wait_s = standing, WAIT_S

    def late(self, took_s: float, now: float) -> None:
        """An answer took far longer than is usual here. As many as there are connections make it one less."""
        if now - self._shrunk_at < took_s:
            return  # it was asked for before there was one less
        self._late += 1 / self.size
        if self._late >= 1:
            self._late, self._shrunk_at = 0.0, now
            self.size = max(1, self.size - 1)
            self._next = now + self._wait_s
