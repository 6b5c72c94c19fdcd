"""Limits with their origin, and which of several binds: pure values and functions, so that all can ask why.

A *shape* is what one scope says: a limit for each kind that it names. There are as many shapes as scopes:
the default (of every site), a provider, a domain, a source; what was learned, announced or leased is a shape,
too. Within a scope the user's value replaces the built-in one (`overlaid`); across scopes the smallest binds
(`binding`), so that nothing but the user's own word ever widens anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Kinds of limits, in the order in which people are told of them.
RATES = ("message_rate", "recipient_rate", "connection_rate")  # a second
COUNTS = (
    "connections",
    "messages_per_connection",
    "recipients_per_transaction",
    "messages_in_flight",
)
TIMES = tuple(  # seconds
    f"time_limits.{name}"
    for name in ("connect", "tls", "greeting", "ehlo", "mail", "rcpt", "data", "block", "end_of_data", "quit")
)
SCHEDULE = tuple(f"retry.{name}" for name in ("first", "factor", "max", "give_up"))  # seconds, but factor
DURATIONS = {*TIMES, *SCHEDULE} - {"retry.factor"}
KINDS = (*RATES, *COUNTS, "tls", *TIMES, *SCHEDULE)
SHARED = ("connections", *RATES)  # by all to whom a scope applies together; the others are each connection's
TLS_POLICIES = ("none", "opportunistic", "required", "verified")  # from the weakest

BUILT_IN = "built-in"
LEARNED = "learned"
ANNOUNCED = "announced"
ELSEWHERE = "another campaign"
DEFAULT = "default"
CAMPAIGN = "campaign"


class Origin(NamedTuple):
    """`scope`: to what it applies: "default", "provider google", "domain example.org". `whence`: who says so,
    "built-in", "built-in profile 2026-11", "campaign.yaml:12", "learned", "announced"."""

    scope: str
    whence: str

    def __str__(self) -> str:
        return f"{self.scope}, {self.whence}"


@dataclass(frozen=True, slots=True)
class Limit:
    """`value`: a number (rates a second, times in seconds), or a word for tls.

    `written`: as somebody wrote it, "2000/day"; "" where nobody did.
    """

    value: object
    origin: Origin
    written: str = ""

    @property
    def number(self) -> float:
        """Of all kinds but tls."""
        assert isinstance(self.value, int | float)
        return self.value

    @property
    def text(self) -> str:
        """The value as people read it."""
        return self.written or (f"{self.value:g}" if isinstance(self.value, float) else str(self.value))

    def told(self, kind: str) -> str:
        """`message_rate 20/s (provider google, built-in profile 2026-11)`."""
        unit = "/s" if kind in RATES and not self.written else ""
        return f"{kind} {self.text}{unit} ({self.origin})"


Shape = Mapping[str, Limit]


def overlaid(built_in: Shape, users: Shape) -> Shape:
    """Of one scope: what the user says replaces what was built in, kind by kind."""
    return {**built_in, **users}


def binding(shapes: Iterable[Shape]) -> Shape:
    """For each kind the limit that binds, of shapes from the widest scope to the narrowest.

    Where two say the same the wider one is named. Of TLS the strictest holds, of a time limit the shortest. A
    retry schedule is no limit: each part of it is that of the narrowest scope which names it.
    """
    bound: dict[str, Limit] = {}
    for shape in shapes:
        for kind, limit in shape.items():
            if kind not in bound or _narrower(kind, limit, bound[kind]):
                bound[kind] = limit
    return {kind: bound[kind] for kind in KINDS if kind in bound}


def tighter(kind: str, one: Limit, other: Limit | None) -> Limit:
    """The one of two that binds; `one` where they are the same."""
    return other if other is not None and _narrower(kind, other, one) else one


def _narrower(kind: str, new: Limit, old: Limit) -> bool:
    if kind == "tls":
        return TLS_POLICIES.index(str(new.value)) > TLS_POLICIES.index(str(old.value))
    if kind in SCHEDULE:
        return True
    return new.number < old.number
