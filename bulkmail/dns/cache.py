"""Answers kept for as long as they said they may be, and never more than a fixed number of them.

A campaign asks for the same providers over and over and for each small domain once. So the entry that was
used longest ago is the one that goes; a plain dict in order of use is all that this takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Expiring(Protocol):
    @property
    def expires(self) -> float: ...


Key = TypeVar("Key")
Entry = TypeVar("Entry", bound=Expiring)


class Cache(Generic[Key, Entry]):
    """At most `size` entries, each until its `expires` on the clock `now` (seconds)."""

    def __init__(self, size: int, now: Callable[[], float]) -> None:
        if size < 1:
            raise ValueError("a cache holds at least one entry")
        self._size = size
        self._now = now
        self._entries: dict[Key, Entry] = {}  # the most recently used last

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        """The entry, unless its time is over."""
        entry = self._entries.pop(key, None)
        if entry is None or entry.expires <= self._now():
            return None
        self._entries[key] = entry
        return entry

    def put(self, key: Key, entry: Entry) -> None:
        """Keep `entry`; what was used longest ago makes room for it."""
        if entry.expires <= self._now():
            return
        self._entries.pop(key, None)
        if len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry

    def clear(self) -> None:
        self._entries.clear()
