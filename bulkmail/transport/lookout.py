"""Whether something arrived that nobody asked for: one look for all who are about to write.

A host may close, or say 421, while we are busy with something else; what is sent then is in doubt for
nothing. So before a window of messages is written somebody looks at the socket, which is a system call. Those
who wait for the same sync go on in the same turn of the event loop: the first of them looks for all.
"""

from __future__ import annotations

import select
import time

import trio

FRESH_S = 0.001  # for which a look serves the others: they go on one behind the other, in the same turn


class Lookout:
    """Of one event loop. Sockets are known by their descriptors."""

    def __init__(self) -> None:
        self._poll = select.poll()  # not select(): it cannot look at descriptors over 1023
        self._expected: set[int] = set()
        self._looked: set[int] = set()  # of those, whom the last look concerns
        self._noisy: set[int] = set()
        self._at = 0.0

    def expect(self, descriptor: int) -> None:
        """Its owner will soon ask whether it is quiet."""
        if descriptor not in self._expected:
            self._expected.add(descriptor)
            self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        """It is not asked for any more; before it is closed, for another may get its number."""
        if descriptor in self._expected:
            self._expected.remove(descriptor)
            self._looked.discard(descriptor)
            self._poll.unregister(descriptor)

    def quiet(self, descriptor: int) -> bool:
        """Nothing waits to be read, neither octets nor an end of file, now or at most FRESH_S ago."""
        if descriptor not in self._looked or time.monotonic() > self._at + FRESH_S:
            self.expect(descriptor)
            self._noisy = {found for found, _ in self._poll.poll(0)}
            self._looked = self._expected.copy()
            self._at = time.monotonic()
        self.forget(descriptor)
        return descriptor not in self._noisy


_on_watch: trio.lowlevel.RunVar[Lookout] = trio.lowlevel.RunVar("lookout")


def lookout() -> Lookout:
    """The one of this event loop."""
    try:
        return _on_watch.get()
    except LookupError:
        _on_watch.set(made := Lookout())
        return made
