"""What was tried to reach a host and did not do, as values; raised together when nothing is left to try."""

from __future__ import annotations

from dataclasses import dataclass

from bulkmail.smtp.reply import Reply
from bulkmail.transport.stage import Stage


@dataclass(frozen=True, slots=True)
class Attempt:
    """One address that could not be used, and why."""

    host: str
    address: str  # "" where none was tried
    stage: Stage
    reply: Reply | None  # what the host said, where it said something
    error: str  # for people; "" where the reply says it
    asked: bool = True  # or it was passed over: it did not answer lately, or has no room


class Unreachable(Exception):
    """Every host of a route was tried and none could be used."""

    def __init__(self, attempts: tuple[Attempt, ...]) -> None:
        self.attempts = attempts
        self.asked = any(attempt.asked for attempt in attempts)  # anybody, this time
        super().__init__("; ".join(f"{a.host}: {a.reply.text if a.reply else a.error}" for a in attempts))
