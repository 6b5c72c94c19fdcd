"""When a run is to end, and how it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bulkmail.campaign import standing


@dataclass(frozen=True, slots=True)
class Until:
    """When a run ends by itself: settled, after everybody was tried once, or after `seconds`."""

    first_pass: bool = False
    seconds: float | None = None


SETTLED = Until()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `interrupted`: by a second Ctrl-C, at once. `paused`: the others wait for a word."""

    totals: Mapping[str, int]
    delivered: int  # in this run
    transactions: int
    connections: int
    seconds: float
    interrupted: bool
    paused: bool = False
    cancelled: bool = False

    def told(self, latency_ms: Mapping[str, float | None]) -> dict[str, object]:
        """The fields of the last event."""
        return {
            "totals": self.totals,
            "transactions": self.transactions,
            "connections": self.connections,
            "seconds": round(self.seconds, 3),
            "latency_ms": latency_ms,
            "exit": self.exit,
        }

    @property
    def exit(self) -> int:
        """The exit code of INTERFACE.md."""
        if self.interrupted:
            return 130
        if self.cancelled:
            return 8
        if standing.left(self.totals):
            return 7 if self.paused else 5
        if self.totals["in_doubt"] or self.totals["expired"]:
            return 4
        return 0
