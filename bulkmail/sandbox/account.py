"""What a provider allowed and refused, and when: the account that shows whether its limits were kept.

Counts by kind and second, always; the moment of each message and connection too where the ledger keeps all
in memory. Times are seconds on trio's clock since the first connection.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal

Kind = Literal[
    "commands",  # everything that was said to its hosts
    "connections",  # let in
    "messages",  # MAILs that were let in
    "recipients",  # RCPTs that were let in
    "accepted",  # messages taken
    "throttled",  # connections, MAILs and RCPTs refused by a rate, or by the number of connections
    "greylisted",  # RCPTs
    "blocked",  # MAILs refused for the client's sake
    "unknown",  # RCPTs for nobody
]
EXACT: tuple[Kind, ...] = ("connections", "messages", "throttled")


class Account:
    """Of one provider. `exact`: the moment of each of EXACT is kept, not only its second."""

    def __init__(self, *, exact: bool) -> None:
        self.started: float | None = None  # on trio's clock: the first connection
        self.peak: dict[str, int] = {}  # the most connections at once, by client
        self.peak_together = 0
        self._seconds: defaultdict[Kind, Counter[int]] = defaultdict(Counter)
        self._clients: defaultdict[Kind, Counter[str]] = defaultdict(Counter)
        self._moments: dict[Kind, array[float]] | None = {k: array("d") for k in EXACT} if exact else None

    def since_start(self, now: float) -> float:
        """Seconds since the first connection, which this may be."""
        if self.started is None:
            self.started = now
        return now - self.started

    def note(self, kind: Kind, client: str, now: float) -> None:
        at = self.since_start(now)
        self._seconds[kind][int(at)] += 1
        self._clients[kind][client] += 1
        if self._moments is not None and kind in self._moments:
            self._moments[kind].append(at)

    def entered(self, client: str, open_now: int, together: int) -> None:
        """A connection was let in; so many are open with it, of this client and of all."""
        self.peak[client] = max(self.peak.get(client, 0), open_now)
        self.peak_together = max(self.peak_together, together)

    # --- questions --------------------------------------------------------------------------------------

    def count(
        self, *kinds: Kind, since: float = 0.0, until: float = math.inf, client: str | None = None
    ) -> int:
        """How many there were, from whole second `since` to before `until`; of a client: ever."""
        if client is not None:
            return sum(self._clients[kind][client] for kind in kinds)
        return sum(
            many for kind in kinds for second, many in self._seconds[kind].items() if since <= second < until
        )

    def by_second(self, kind: Kind) -> list[int]:
        """How many in each second, from the first connection to the last thing that happened."""
        last = max((second for counted in self._seconds.values() for second in counted), default=-1)
        counted = self._seconds[kind]
        return [counted[second] for second in range(last + 1)]

    def share(self, kind: Kind, *, since: float = 0.0, until: float = math.inf) -> float:
        """Of all commands; 0 where there were none. A refused connection is taken for a command."""
        commands = self.count("commands", since=since, until=until)
        return self.count(kind, since=since, until=until) / commands if commands else 0.0

    def moments(self, kind: Kind) -> Iterable[float]:
        """When each of them happened. ValueError where only counts were kept."""
        if self._moments is None or kind not in self._moments:
            raise ValueError(f"the moments of {kind} were not kept: only of {', '.join(EXACT)}, in memory")
        return self._moments[kind]

    def most_within(self, kind: Kind, seconds: float) -> int:
        """The most of them in any window of that length. ValueError where only counts were kept."""
        moments = list(self.moments(kind))
        return max((i - bisect_right(moments, at - seconds) + 1 for i, at in enumerate(moments)), default=0)

    def summary(self) -> dict[str, object]:
        """The totals, and the most connections at once of any client and of all."""
        kinds: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
        return {
            **{kind: self.count(kind) for kind in kinds},
            "peak_connections": max(self.peak.values(), default=0),
            "peak_together": self.peak_together,
            "throttle_share": round(self.share("throttled"), 4),
        }
