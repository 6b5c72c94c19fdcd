"""How many sessions may be open at once in the whole run, and what happens when this machine runs short (T6).

Each session is a descriptor. When the kernel has no more, our concurrency is what is wrong, not the
destinations: a quarter of it is given up, at most once a second, and comes back with every connection that
succeeds. At most half of the sessions may be those of sites that have not answered yet, so that black holes
leave room for the others.
"""

from __future__ import annotations

import trio

SHORTAGE_PAUSE_S = 1.0  # before anybody asks again for what this machine had run out of


class Slots:
    """`total` sessions. A session takes one, and as long as its site is unproven one of the probes too."""

    def __init__(self, total: int) -> None:
        self._full = total
        self._sessions = trio.CapacityLimiter(total)
        self._probes = trio.CapacityLimiter(max(1, total // 2))
        self._inside: set[object] = set()  # who has a session, and
        self._probing: set[object] = set()  # who has a probe: the limiters can say it, but not cheaply
        self._shed_at = -SHORTAGE_PAUSE_S

    @property
    def total(self) -> int:
        """How many may be open now."""
        return int(self._sessions.total_tokens)

    @property
    def taken(self) -> int:
        """How many are open."""
        return len(self._inside)

    def enter_now(self, guest: object, *, probing: bool) -> bool:
        """Take a slot if one is free, and nobody waits for it; else nothing is taken."""
        try:
            if probing:
                self._probes.acquire_on_behalf_of_nowait(guest)
                self._probing.add(guest)
            self._sessions.acquire_on_behalf_of_nowait(guest)
        except trio.WouldBlock:
            self.proven(guest)
            return False
        self._inside.add(guest)
        return True

    async def enter(self, guest: object, *, probing: bool) -> None:
        """Wait for a slot. Raises nothing; cancelled, the guest has none."""
        if probing:
            await self._probes.acquire_on_behalf_of(guest)
            self._probing.add(guest)
        try:
            await self._sessions.acquire_on_behalf_of(guest)
            self._inside.add(guest)
        except BaseException:
            self.proven(guest)
            raise

    def leave(self, guest: object) -> None:
        """Give back what the guest has, if anything."""
        self.proven(guest)
        if guest in self._inside:
            self._inside.remove(guest)
            self._sessions.release_on_behalf_of(guest)

    def proven(self, guest: object) -> None:
        """The guest's site has answered: it is no probe any more."""
        if guest in self._probing:
            self._probing.remove(guest)
            self._probes.release_on_behalf_of(guest)

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
        self._sessions.total_tokens = total
        self._probes.total_tokens = max(1, total // 2)
