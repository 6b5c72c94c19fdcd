"""What the parent and a worker say to each other. Each message travels as it is (`channel`).

    parent                                   worker
      Begin ────────────────────────────────▶  builds its road
      Deliver, Deliver, … ──────────────────▶  sends
      ◀───────────────────── Ended, Ended, …   each once it is in the worker's log
      ◀──────────────────────────────── Asks   a route that is no longer fresh
      Routed ───────────────────────────────▶
      ◀────────────────────────── Held, Used   what people are told
      ◀─────────────────────────────── Learnt   what sites have taught it
      Alive ────────────────────────────────▶  another worker has died: its share is divided
      Pause, GoOn ──────────────────────────▶  the operator's word
      ◀─────────────────────────────── Paused  no MAIL of its own follows
      Reshape ──────────────────────────────▶  the campaign file says something else of limits
      Look ─────────────────────────────────▶  somebody wants to see how it does
      ◀──────────────────────────────── View
      Stop, Cease ──────────────────────────▶  the first signal, the second one
      Close ────────────────────────────────▶  nothing more will come
      ◀──────────────────────────── Used, Bye  the last words; a worker that closes without them has died

An end of the channel without a word means the death of who was there. What a worker has recorded is in its
log, never only in a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bulkmail.campaign.way import Way
from bulkmail.delivery.rules import Rules
from bulkmail.delivery.view import Row
from bulkmail.delivery.work import Span
from bulkmail.dns.routes import NoRoute, Route
from bulkmail.journal import Fact

# --- from the parent --------------------------------------------------------------------------------------


class Begin(NamedTuple):
    """How mail gets out. `alive`: all workers, by their index."""

    way: Way
    alive: tuple[int, ...]


class Deliver(NamedTuple):
    """A parcel of one domain. `number` names it in `Ended`; unique among all workers."""

    number: int
    domain: str
    spans: tuple[Span, ...]
    shared: bool
    attempts: int
    route: Route


class Routed(NamedTuple):
    """The answer to `Asks`."""

    domain: str
    route: Route | NoRoute


class Alive(NamedTuple):
    """Who is left: the shares of sites are divided among them from now on."""

    workers: tuple[int, ...]


class Stop(NamedTuple):
    """No new MAIL; what is open goes on to its verdict (P1)."""


class Pause(NamedTuple):
    """As `Stop`, until `GoOn`: what was given is kept. `number` comes back in `Paused`."""

    number: int


class GoOn(NamedTuple):
    """After `Pause`."""


class Reshape(NamedTuple):
    """The limits are others now."""

    rules: Rules


class Look(NamedTuple):
    """How do you do? `View` is the answer."""


class Cease(NamedTuple):
    """Break off what is open, write down what the precedence rule says of it, and end (P2)."""


class Close(NamedTuple):
    """Nothing more will come: end when everything has ended."""


# --- from a worker ----------------------------------------------------------------------------------------


class Ended(NamedTuple):
    """Everybody in this parcel has a fate, and it is on disk in the worker's log."""

    number: int


class Asks(NamedTuple):
    """How `domain` is routed now."""

    domain: str


class Paused(NamedTuple):
    """No new MAIL follows; to the `Pause` of this number."""

    number: int


class Held(NamedTuple):
    """A site is left alone for so many seconds, for people."""

    site: str
    reason: str
    held_s: float


class Learnt(NamedTuple):
    """For the project's store, which the parent writes."""

    facts: tuple[Fact, ...]


class View(NamedTuple):
    """How the worker does, a row for each provider."""

    rows: Sequence[Row]


class Used(NamedTuple):
    """What the worker has used since it last said so; see Tally."""

    transactions: int
    connections: int
    latency: Mapping[int, int]
    blocked: Mapping[str, int]
    barred: int
    bars: Mapping[str, int]
    asked: int
    refused: Mapping[str, int]
    refusals: int


class Unwritable(NamedTuple):
    """No letter can be written any more, for no row's fault: nobody is to send on."""

    why: str


class Failed(NamedTuple):
    """The worker cannot go on, and neither can the run: the name of an error of ours, and its text."""

    error: str
    text: str


class Bye(NamedTuple):
    """The last word: all that the worker has to say is on disk."""
