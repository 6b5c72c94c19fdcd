"""What a carrier (`convey`) is given: transactions to be, and whom it asks and tells while it is at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import trio

from bulkmail.delivery.replies import Table
from bulkmail.delivery.transaction import Transacted
from bulkmail.delivery.work import Letter, Parcel, Roll, spans_of
from bulkmail.smtp import Paths


class Consignment:
    """One transaction to be: a letter, and those it goes to here, who are at least one."""

    __slots__ = ("ending", "key", "letter", "opened", "parcel", "paths", "roll", "sent_at", "spans")

    def __init__(self, parcel: Parcel, roll: Roll, paths: Paths, letter: Letter, key: int) -> None:
        self.parcel = parcel
        self.only(roll)
        self.paths = paths
        self.letter = letter
        self.key = key  # of its intent
        self.opened = False  # an intent was noted
        self.ending: Roll | None = None  # those to whom the content may be on its way
        self.sent_at = 0.0  # since when, on trio's clock

    def only(self, roll: Roll) -> None:
        """It goes to these, or speaks of no others."""
        self.roll = roll
        self.spans = spans_of(roll.ids)

    def end(self, accepted: Roll, now: float) -> None:
        """From now on the content may be on its way, to those of them."""
        self.ending = accepted
        self.sent_at = now


class Turn(Protocol):
    """What one call of a carrier is for. Of one transaction alone, unless a subclass says more."""

    table: Table | None = None  # in which refusals are read; None: ours

    async def intend(self, ending: Sequence[tuple[Consignment, Roll]]) -> None:
        """These are about to be ended, to those of them: on disk when it returns, before the first octet."""

    def tell(self, told: Sequence[tuple[Consignment, Transacted]]) -> bool:
        """What became of them, in order. False: no further MAIL."""

    async def prepare(self) -> None:
        """Answers are awaited: what is asked for next may be made ready meanwhile."""

    async def more(self) -> Sequence[Consignment]:
        """Who comes next, as many as may be in flight besides those that were not told. Nobody: not now."""
        await trio.lowlevel.checkpoint()
        return ()

    def still(self, one: Consignment) -> bool:
        """Whether it is still to go, perhaps to fewer; if not, it is settled."""
        return True


def needs_smtputf8(letter: Letter, paths: Paths) -> bool:
    return paths.smtputf8 or letter.needs_smtputf8


def picked(roll: Roll, positions: Sequence[int]) -> Roll:
    """Those at `positions`, which ascend."""
    return roll if len(positions) == len(roll) else roll.pick(positions)
