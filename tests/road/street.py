"""A street of twenty domains, one of them 70% of the list and slow: when each of the other nineteen is done.

In virtual time over memory, so that a busy machine shows in nothing. The hosts of the small ones are 10 ms
away and answer at once; that of the large one answers each command late. Once the small ones have everything
the run is broken off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import trio
from still_road import StillRoad

from bulkmail import sandbox
from bulkmail.sandbox.ledger import Received

SMALL = [f"small{n:02}.test" for n in range(19)]
LARGE = "large.test"
LATENCY_S = 0.01
LATE_S = 0.5  # each reply of the large one

Person = tuple[str, str]  # address, and the group that he shares a message with


class Watched(sandbox.Ledger):
    """Calls `told` of each message that was accepted."""

    def __init__(self, told: Callable[[Received], None]) -> None:
        super().__init__("counts")
        self._told = told

    def accept(self, received: Received) -> None:
        super().accept(received)
        self._told(received)


async def done_at(
    folder: Path,
    people: Iterable[Person],
    *,
    furnish: Callable[[sandbox.World], None],
    watched: Iterable[str] = SMALL,
    **settings: Any,
) -> dict[str, float]:
    """By domain of those `watched`, how many seconds after the run began it had its last message."""
    rows = [{"email": address, "group": group} for address, group in people]
    left = Counter(one for one in (row["email"].partition("@")[2] for row in rows) if one in set(watched))
    found: dict[str, float] = {}

    def told(received: Received) -> None:
        if received.domain in left:
            left[received.domain] -= len(received.recipients)
            if left[received.domain] <= 0:
                del left[received.domain]
                found[received.domain] = trio.current_time() - began
                if not left:
                    scope.cancel()

    world = sandbox.World()
    world.ledger = Watched(told)
    furnish(world)
    road = StillRoad(world, folder)
    road.latency_s = LATENCY_S
    began = trio.current_time()
    with trio.CancelScope() as scope:
        await road.send(rows=rows, text_of_message="Hello group {{ group }}\n", **settings)
    return found
