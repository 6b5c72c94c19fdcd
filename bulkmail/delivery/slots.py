"""How many sessions may be open at once in the whole run, and what happens when this machine runs short (T6).

Each session is a descriptor. When the kernel has no more, our concurrency is what is wrong, not the
destinations: a quarter of it is given up, at most once a second, and comes back with every connection that
succeeds. At most half of the sessions may be those of sites that have not answered yet, so that black holes
leave room for the others.

Nor may a host hold up others by saying nothing (P3). A session whose peer has been silent for a moment is set
aside: it goes on waiting, and its slot is free. What is set aside has a bound of its own; where that is
reached, of those whom no host has greeted yet the one who has waited longest gives up, if it was long enough.
Who waits for something else, name servers or room at a host that others talk to, is set aside in the same way
and never gives up: his host has not been silent.
Who is greeted after all comes in before anybody new, and only then goes on: a conversation takes memory,
mostly for TLS, and to wait for a greeting takes none. Who falls silent in the middle of a conversation is set
aside later, and is in again at once when he speaks. So there may be more inside for a while, but never more
than both bounds together: going aside and coming back change nothing, and newcomers wait for a slot.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import trio

from bulkmail.delivery.watch import Watch

SHORTAGE_PAUSE_S = 1.0  # before anybody asks again for what this machine had run out of
MOMENT_S = 0.5  # until the greeting; a far host may need more, and loses nothing by being set aside
CONVERSING_S = 5.0  # for all before MAIL, or for a message, of those who have greeted
LEAST_S = 30.0  # that everybody has for connecting to a host, however many wait
POLITE_S = 20.0  # for which one that has greeted may be left without a word; some hang up after a minute


class _Limit:
    """At most so many guests at once, first come first served.

    A trio.CapacityLimiter knows of tasks, too, and whoever waits for one holds an exception meanwhile.
    """

    __slots__ = ("_most", "_returning", "_waiting", "inside")

    def __init__(self, most: int) -> None:
        self.inside: set[object] = set()
        self._most = most
        # who came first is the first; of a dict the first is found ever more slowly as the firsts leave
        self._waiting: OrderedDict[object, trio.Event] = OrderedDict()
        self._returning: OrderedDict[object, trio.Event] = OrderedDict()  # before all who wait

    def enter_now(self, guest: object) -> bool:
        """Whether there was room, and nobody who waits for it."""
        if self._returning or self._waiting or len(self.inside) >= self._most:
            return False
        self.inside.add(guest)
        return True

    async def enter(self, guest: object, *, returning: bool = False) -> None:
        """Cancelled, the guest is not inside."""
        if self.enter_now(guest):
            return
        admitted = trio.Event()
        (self._returning if returning else self._waiting)[guest] = admitted
        try:
            await admitted.wait()
        except BaseException:
            self.leave(guest)
            raise

    def leave(self, guest: object) -> None:
        """Whether he is inside, waits, or neither."""
        self._waiting.pop(guest, None)
        self._returning.pop(guest, None)
        if guest in self.inside:
            self.inside.remove(guest)
            self._admit()

    def readmit(self, guest: object) -> None:
        """He was inside before, and is again, whether or not there is room."""
        self.inside.add(guest)

    def allow(self, most: int) -> None:
        self._most = most
        self._admit()

    def _admit(self) -> None:
        while (queue := self._returning or self._waiting) and len(self.inside) < self._most:
            guest, admitted = queue.popitem(last=False)
            self.inside.add(guest)
            admitted.set()


class Slots:
    """`total` sessions, and as many set aside. A session takes one slot, and as long as its site is unproven
    one of the probes too.
    """

    def __init__(self, total: int) -> None:
        self.total = total  # how many may be open now, those set aside not counted
        self._full = total
        self._sessions = _Limit(total)
        self._probes = _Limit(max(1, total // 2))
        self._aside: dict[object, float] = {}  # whose peer is silent, since when, the longest first
        # of those who were not greeted yet; None: no host keeps them waiting
        self._give_up: dict[object, Callable[[], None] | None] = {}
        self._shed_at = -SHORTAGE_PAUSE_S
        self._dialling = Watch(MOMENT_S, self._set_aside)
        self._conversing = Watch(CONVERSING_S, self._set_aside)

    @property
    def taken(self) -> int:
        """How many are open."""
        return len(self._sessions.inside) + len(self._aside)

    @property
    def talking(self) -> int:
        """How many of them have messages in hand, or may: not those who were not greeted yet."""
        return self.taken - len(self._give_up)

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
        self.heard(guest)
        self._probes.leave(guest)
        self._sessions.leave(guest)

    def proven(self, guest: object) -> None:
        """The guest's site has answered: it is no probe any more."""
        self._probes.leave(guest)

    # --- silence -----------------------------------------------------------------------------------

    def queued(self, guest: object) -> None:
        """From now on the guest waits, and not for his peer."""
        self._give_up[guest] = None
        self._dialling.begin(guest)

    def dialling(self, guest: object, give_up: Callable[[], None]) -> None:
        """From now on the guest waits for his peer's greeting. `give_up` ends that."""
        self._give_up[guest] = give_up
        self._dialling.begin(guest)
        if self._aside.pop(guest, None) is not None:
            self._aside[guest] = trio.current_time() + MOMENT_S  # his peer's time begins only now

    async def greeted(self, guest: object, *, probing: bool) -> None:
        """The guest's peer has greeted: he goes on when he has a slot, and soon in any case."""
        self._dialling.end(guest)
        self._give_up.pop(guest, None)
        if guest in self._aside:
            with trio.move_on_after(POLITE_S) as patience:
                try:
                    if probing:
                        await self._probes.enter(guest, returning=True)
                    await self._sessions.enter(guest, returning=True)
                except BaseException:
                    self._probes.leave(guest)
                    raise
            if patience.cancelled_caught:
                self._sessions.readmit(guest)
            del self._aside[guest]
        self._conversing.begin(guest)

    def conversing(self, guest: object) -> None:
        """The guest's peer has just spoken, or been spoken to."""
        if guest in self._aside:
            self.heard(guest)
        self._conversing.begin(guest)

    def heard(self, guest: object) -> None:
        """The guest does not wait for his peer any more."""
        self._dialling.end(guest)
        self._conversing.end(guest)
        self._give_up.pop(guest, None)
        if self._aside.pop(guest, None) is not None:
            self._sessions.readmit(guest)

    async def watch(self) -> None:
        """Look after those who wait for their peers, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._dialling.run)
            nursery.start_soon(self._conversing.run)

    def _set_aside(self, guest: object) -> bool:
        """His peer has been silent for a moment; False where there is no room to set him aside."""
        if guest not in self._sessions.inside:
            return True  # he waits for a slot
        if len(self._aside) >= self.total and not self._one_gives_up():
            return False
        self._aside[guest] = trio.current_time()
        self._probes.leave(guest)
        self._sessions.leave(guest)
        return True

    def _one_gives_up(self) -> bool:
        latest = trio.current_time() + MOMENT_S - LEAST_S
        for guest, since in self._aside.items():
            if since > latest:
                break
            if (give_up := self._give_up.get(guest)) is not None:
                self.heard(guest)
                give_up()
                return True
        return False

    # --- shortages ---------------------------------------------------------------------------------

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
