"""When a run is to end, and how it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bulkmail.campaign import standing, units
from bulkmail.campaign.classes import Failed
from bulkmail.campaign.safety import ANSWERED, SETTLED

JUDGED = (
    *("bounced", "expired", "in_doubt"),
    *("invalid", "duplicate", "filtered", "excluded", "suppressed", "skipped"),
)
NOTHING_FAILED = Failed()
MUCH = 0.1  # of those who were answered for, refused for what we are, send or do: that is our fault to mend


class Threshold(NamedTuple):
    """`--fail-on`: no more than this in a state; parts are of who is settled, or of all rows."""

    state: str
    most: float  # a number of recipients, or a part
    is_part: bool

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """`bounced=5%`, `bounced=10`. Raises ValueError."""
        state, _, most = (part.strip() for part in text.partition("="))
        if state not in JUDGED or not most:
            raise ValueError(f"write STATE=5% or STATE=10, for one of {', '.join(JUDGED)}")
        if most.isascii() and most.isdigit():
            return cls(state, float(most), is_part=False)
        return cls(state, units.parse_percent(most), is_part=True)

    def passed(self, totals: Mapping[str, int]) -> str:
        """`12 of 100 are bounced, more than --fail-on bounced=5%`; "" where they are not."""
        count, of = totals[self.state], self._of(totals)
        if count <= (self.most * of if self.is_part else self.most):
            return ""
        most = f"{100 * self.most:g}%" if self.is_part else f"{self.most:g}"
        name = self.state.replace("_", " ")
        return f"{count:,} of {of:,} are {name}, more than --fail-on {self.state}={most}"

    def _of(self, totals: Mapping[str, int]) -> int:
        return sum(totals[state] for state in SETTLED) if self.state in SETTLED else totals["source"]


@dataclass(frozen=True, slots=True)
class Until:
    """When a run ends by itself: settled, after everybody was tried once, or after `seconds`.

    And what it may not have come to by then, where everybody is settled.
    """

    first_pass: bool = False
    seconds: float | None = None
    fail_on: tuple[Threshold, ...] = ()


WHEN_SETTLED = Until()


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
    failed: Failed = NOTHING_FAILED
    fail_on: tuple[Threshold, ...] = ()

    def told(self, latency_ms: Mapping[str, float | None]) -> dict[str, object]:
        """The fields of the last event."""
        return {
            "totals": self.totals,
            "transactions": self.transactions,
            "connections": self.connections,
            "seconds": round(self.seconds, 3),
            "latency_ms": latency_ms,
            "undelivered": [why.told() for why in self.failed.why],
            "exit": self.exit,
        }

    @property
    def passed(self) -> list[str]:
        """The thresholds that are."""
        return [text for one in self.fail_on if (text := one.passed(self.totals))]

    @property
    def warning(self) -> str:
        """Where so many bounced for our own fault that somebody should look; else ""."""
        answered = sum(self.totals[state] for state in ANSWERED)
        if self.failed.ours <= MUCH * answered:
            return ""
        return (
            f"{self.failed.ours:,} of {answered:,} recipients bounced as blocked, content refused, policy or "
            f"throttled ({self.failed.ours / answered:.0%}): that is about your sending, not their addresses"
        )

    @property
    def exit(self) -> int:
        """The exit code of INTERFACE.md."""
        if self.interrupted:
            return 130
        if self.cancelled:
            return 8
        if standing.left(self.totals):
            return 7 if self.paused else 5
        if self.totals["in_doubt"] or self.totals["expired"] or self.passed:
            return 4
        return 0
