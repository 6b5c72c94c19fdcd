"""What is planned, what was tried and what came of it: on disk before anything depends on it."""

from __future__ import annotations

from bulkmail.journal.records import (
    LEFT_OUT,
    OPEN,
    SETTLED,
    STATES,
    AttemptRow,
    Due,
    Exported,
    Failure,
    History,
    Intent,
    Interval,
    LeftOut,
    Planned,
    Ranges,
    Recipient,
    Record,
    Undelivered,
)

__all__ = [
    "LEFT_OUT",
    "OPEN",
    "SETTLED",
    "STATES",
    "AttemptRow",
    "Due",
    "Exported",
    "Failure",
    "History",
    "Intent",
    "Interval",
    "LeftOut",
    "Planned",
    "Ranges",
    "Recipient",
    "Record",
    "Undelivered",
]
