"""Addresses that did not answer, remembered for a while: probed, not hammered (T1).

An address that refused or timed out is left alone for `first` seconds, after a further failure for twice as
long, up to `longest`. When that time is over exactly one caller may try it (`may_try` claims the probe for
`probe` seconds, whatever becomes of the caller); everybody else goes on treating it as dead until the probe
says otherwise.

An address that answers and then fails in the middle of a conversation is not dead but in trouble: whoever has
another host goes there for `troubled` seconds, and who has none may still use it. A greeting proves nothing
against that, so only time does away with it.

The memory is bounded: when it is full the oldest mark is forgotten, which costs at worst one
connection attempt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Mark:
    until: float
    failures: int
    why: str
    probing: bool = False


class DeadAddresses:
    """Times are seconds on the caller's monotonic clock. Every method is O(1)."""

    def __init__(
        self,
        *,
        first: float = 30.0,
        longest: float = 600.0,
        probe: float = 30.0,
        troubled: float = 900.0,
        size: int = 10_000,
    ) -> None:
        """`troubled`: longer than the first retry, or those deferred meet the same trouble again."""
        self._first = first
        self._longest = longest
        self._probe = probe
        self._size = size
        self._marks: OrderedDict[tuple[str, int], _Mark] = OrderedDict()
        self._troubled: Remembered[tuple[str, int]] = Remembered(troubled, size=size)

    def mark(self, address: str, port: int, now: float, why: str = "did not answer") -> None:
        """It did not answer just now. `why`: in words, for those who are kept from it."""
        key = (address, port)
        mark = self._marks.get(key)
        if mark is not None and now < mark.until and not mark.probing:
            return  # sessions that dialled together failed together: one failure
        recent = mark is not None and now < mark.until + self._longest
        failures = mark.failures + 1 if mark is not None and recent else 1
        self._marks[key] = _Mark(now + self._penalty(failures), failures, why)
        self._marks.move_to_end(key)
        if len(self._marks) > self._size:
            self._marks.popitem(last=False)

    def mark_troubled(self, address: str, port: int, now: float) -> None:
        """It answered, and failed in the middle of a conversation."""
        self._troubled.add((address, port), now)

    def is_dead(self, address: str, port: int, now: float) -> bool:
        """True while it is to be left alone by all who can."""
        if self._troubled.holds((address, port), now):
            return True
        mark = self._marks.get((address, port))
        return mark is not None and now < mark.until

    def why(self, address: str, port: int) -> str:
        """Why it is left alone, if it is."""
        mark = self._marks.get((address, port))
        return "" if mark is None else mark.why

    def may_try(self, address: str, port: int, now: float) -> bool:
        """True if the caller may connect. Where that is a probe, it is the caller's alone."""
        mark = self._marks.get((address, port))
        if mark is None:
            return True
        if now < mark.until:
            return False
        mark.until, mark.probing = now + self._probe, True
        return True

    def unclaim(self, address: str, port: int, now: float) -> None:
        """The probe was not made after all: the next caller may have it."""
        mark = self._marks.get((address, port))
        if mark is not None and mark.probing:
            mark.until, mark.probing = now, False

    def forgive(self, address: str, port: int) -> None:
        """It answered."""
        self._marks.pop((address, port), None)

    def __len__(self) -> int:
        return len(self._marks)

    def _penalty(self, failures: int) -> float:
        return min(self._first * 2.0 ** min(failures - 1, 30), self._longest)


class Remembered(Generic[Key]):
    """Keys that hold for `ttl` seconds and are then forgotten; bounded. Times are the caller's."""

    def __init__(self, ttl: float, *, size: int = 10_000) -> None:
        self._ttl = ttl
        self._size = size
        self._until: OrderedDict[Key, float] = OrderedDict()

    def add(self, key: Key, now: float) -> None:
        self._until.pop(key, None)
        self._until[key] = now + self._ttl
        if len(self._until) > self._size:
            self._until.popitem(last=False)

    def holds(self, key: Key, now: float) -> bool:
        until = self._until.get(key)
        if until is not None and now >= until:
            del self._until[key]
            return False
        return until is not None
