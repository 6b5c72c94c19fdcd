"""How many sessions may be open at once in the whole run, and what happens when this machine runs short (T6).

Each session is a descriptor. When the kernel has no more, our concurrency is what is wrong, not the
destinations: a quarter of it is given up, at most once a second, and comes back with every connection that
succeeds. At most half of the sessions may be those of sites that have not answered yet, so that black holes
leave room for the others.
"""

from __future__ import annotations

import trio

SHORTAGE_PAUSE_S = 1.0  # before anybody asks again for what this machine had run out of


class _Limit:
    """At most so many guests at once, first come first served.

    A trio.CapacityLimiter knows of tasks, too, and whoever waits for one holds an exception meanwhile.
    """

    __slots__ = ("_most", "_waiting", "inside")

    def __init__(self, most: int) -> None:
        self.inside: set[object] = set()
        self._most = most
        self._waiting: dict[object, trio.Event] = {}  # who came first is the first

    def enter_now(self, guest: object) -> bool:
        """Whether there was room, and nobody who waits for it."""
        if self._waiting or len(self.inside) >= self._most:
            return False
        self.inside.add(guest)
        return True

    async def enter(self, guest: object) -> None:
        """Cancelled, the guest is not inside."""
        if self.enter_now(guest):
            return
        self._waiting[guest] = admitted = trio.Event()
        try:
            await admitted.wait()
        except BaseException:
            self.leave(guest)
            raise

    def leave(self, guest: object) -> None:
        """Whether he is inside, waits, or neither."""
        self._waiting.pop(guest, None)
        if guest in self.inside:
            self.inside.remove(guest)
            self._admit()

    def allow(self, most: int) -> None:
        self._most = most
        self._admit()

    def _admit(self) -> None:
        while self._waiting and len(self.inside) < self._most:
            guest = next(iter(self._waiting))
            self.inside.add(guest)
            self._waiting.pop(guest).set()


class Slots:
    """`total` sessions. A session takes one, and as long as its site is unproven one of the probes too."""

    def __init__(self, total: int) -> None:
        self.total = total  # how many may be open now
        self._full = total
        self._sessions = _Limit(total)
        self._probes = _Limit(max(1, total // 2))
        self._shed_at = -SHORTAGE_PAUSE_S

    @property
    def taken(self) -> int:
        """How many are open."""
        return len(self._sessions.inside)

    def enter_now(self, guest: object, *, probing: bool) -> bool:
        """Take a slot if one is free, and nobody waits for it; else nothing is taken."""
        if probing and not self._probes.enter_now(guest):
            return False
        if not self._sessions.enter_now(guest):
            self._probes.leave(guest)
            return False
        return True

    async def enter(self, guest: object, *, probing: bool) -> None:
        """Wait for a slot. Raises nothing; cancelled, the guest has none."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            if probing:
                await self._probes.enter(guest)
            await self._sessions.enter(guest)
        except BaseException:
            self._probes.leave(guest)
            raise

    def leave(self, guest: object) -> None:
        """Give back what the guest has, if anything."""
        self._probes.leave(guest)
        self._sessions.leave(guest)

    def proven(self, guest: object) -> None:
        """The guest's site has answered: it is no probe any more."""
        self._probes.leave(guest)

    def shed(self, now: float) -> None:
        """The kernel had no more for us."""
        if now - self._shed_at >= SHORTAGE_PAUSE_S:
            self._shed_at = now
            self._set(max(1, self.total * 3 // 4))

    def recover(self) -> None:
        """A connection was opened."""
        if self.total < self._full:
            self._set(self.total + 1)

    def _set(self, total: int) -> None:
        self.total = total
        self._sessions.allow(total)
        self._probes.allow(max(1, total // 2))
