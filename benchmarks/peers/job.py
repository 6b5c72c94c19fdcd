"""What a peer is asked to do, and what it has done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from . import material

CHECKOUT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("BULKMAIL_PEERS") or CHECKOUT / ".cache" / "peers")


class Missing(Exception):
    """This peer cannot run here, or cannot do this. The message says in one line why."""


@dataclass(frozen=True, slots=True)
class Job:
    host: str
    port: int
    scenario: str
    recipients: int
    connections: int
    tls: bool
    per_transaction: int
    key: Path  # RSA-2048, PEM; read for `signed` alone

    @property
    def messages(self) -> int:
        return -(-self.recipients // self.per_message)

    @property
    def per_message(self) -> int:
        return self.per_transaction if self.scenario == "shared" else 1

    def forward_paths(self, message: int) -> list[str]:
        """Whom the message of this number goes to."""
        first = message * self.per_message
        return [
            material.address(number)
            for number in range(first, min(first + self.per_message, self.recipients))
        ]


class Sent(NamedTuple):
    """What was accepted by the other side, and what that took. `more` is told beside it."""

    messages: int
    recipients: int
    seconds: float
    cpu_s: float
    more: dict[str, float | str]


Send = Callable[[Job], Sent]


@dataclass
class Count:
    """Adds up what is accepted while it is entered; the CPU is of this process. Threads may share it."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    accepted: list[int] = field(default_factory=list)  # recipients of each message; appending is atomic

    def __enter__(self) -> Count:
        self._began, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self.cpu_s = time.process_time() - self._cpu

    def sent(self, **more: float | str) -> Sent:
        return Sent(len(self.accepted), sum(self.accepted), self.seconds, self.cpu_s, more)
