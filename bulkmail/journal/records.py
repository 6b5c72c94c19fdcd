"""The values that pass between the journal and everybody else.

Recipients are dense ids from 1, in the order of the plan; what happens to them is said of *ranges* of ids,
first and last inclusive, because thousands of neighbours share one transaction and one fate. Times are UTC
epoch seconds. Nothing here touches the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Ranges = tuple[tuple[int, int], ...]  # (first, last), both inclusive

# The states, as users read them (INTERFACE.md). A recipient is in exactly one.
LEFT_OUT = ("invalid", "duplicate", "filtered", "excluded", "suppressed", "skipped")
SETTLED = ("delivered", "bounced", "expired", "cancelled")
OPEN = ("pending", "deferred", "in_doubt")
STATES = (*LEFT_OUT, *SETTLED, *OPEN)


# --- the plan -----------------------------------------------------------------------------------------


class Planned(NamedTuple):
    """One recipient to be written: the address, and its row as it is stored: a JSON object, or see `roll`."""

    address: str
    fields: str


Run = tuple[str, int, bool]  # what is to be an interval: the domain, how many, whether they may share


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One row of a list that will not be mailed. `state` is one of LEFT_OUT; `row` counts from 1."""

    state: str
    file: str
    row: int
    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Neighbouring recipients of one domain. `shared`: all of them may have the same bytes."""

    id: int
    domain: str
    first: int
    last: int
    shared: bool
    seeds: bool

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Due:
    """Deferred recipients whose time has come: of one interval, with as many attempts behind them."""

    domain: str
    ids: Ranges
    shared: bool
    attempts: int


# --- what happened ------------------------------------------------------------------------------------


class Record(NamedTuple):  # one for each message: a tuple is made, written and taken in fastest
    """One range of recipients with the same fate in one attempt.

    `state` is where they go:
    - delivered, bounced, expired, cancelled, suppressed: for good.
    - deferred: tried again at `due`, which is required. The attempt is counted.
    - in_doubt: held for the operator's word; with `due` set (`on_doubt: resend`) the attempt is listed as
      in doubt and the recipients are deferred until then.
    - pending: handed back untried. No attempt is counted; who was pending stays so, and who was deferred
      stays deferred, due at once. With `due` set all of them are deferred until then, for the reason in
      `reply`; who was pending without an attempt behind him.
    """

    first: int
    last: int
    state: str
    at: float
    code: int | None = None
    enhanced: str | None = None
    reply: str = ""  # for people: escaped, one line
    stage: str = ""
    host: str = ""
    address: str = ""
    source: str = ""
    tls: str = ""
    due: float | None = None
    attempted: bool = True  # False: decided together with others, never on the wire itself


class Intent(NamedTuple):
    """A transaction about to be ended: until it is closed, a crash puts these recipients in doubt."""

    key: int  # unique among the open ones of one log, chosen by the caller
    ids: Ranges
    host: str
    address: str
    at: float


Entry = tuple[Sequence[Record], Sequence[Intent], Sequence[int]]
"""What one caller has to say at once: intents are closed, then records apply, then intents are opened."""


def size(entries: Iterable[Entry]) -> int:
    """How many records and intents that is."""
    return sum(len(records) + len(intents) for records, intents, _ in entries)


class Mark(NamedTuple):
    """A place in a log: everything before `offset` of `segment`, and of the segments before it."""

    log: int
    segment: int
    offset: int


# --- what is asked ------------------------------------------------------------------------------------


class Exported(NamedTuple):
    """A recipient in some state, with the last reply about it ("" before the first), and its place."""

    address: str
    fields: dict[str, str]
    reply: str
    code: int | None = None
    enhanced: str | None = None
    stage: str = ""
    host: str = ""


class Failure(NamedTuple):
    """How many recipients are in `state` for one and the same reason."""

    state: str
    code: int | None
    enhanced: str | None
    reply: str
    recipients: int
    sample: str


class Undelivered(NamedTuple):
    """One recipient who bounced or expired, for the report to the sender."""

    address: str
    state: str
    code: int | None
    enhanced: str | None
    reply: str
    host: str
    at: float
    stage: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One thing that happened to one recipient. `shared_with` counts the others of the same row."""

    at: float
    state: str
    code: int | None
    enhanced: str | None
    reply: str
    stage: str
    host: str
    address: str
    source: str
    tls: str
    due: float | None
    attempted: bool
    shared_with: int


@dataclass(frozen=True, slots=True)
class History:
    """Everything known of one recipient; `due` where it is deferred, `in_flight` while an intent is open.

    `reason`: why it waits until then.
    """

    id: int
    address: str
    state: str
    attempts: tuple[AttemptRow, ...]
    due: float | None
    in_flight: bool
    reason: str = ""
