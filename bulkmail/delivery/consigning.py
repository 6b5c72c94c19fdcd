"""Who of those at hand is really to be sent to, here and now: the last look before MAIL.

Whoever asked for no more mail until this moment gets none (H3), whatever was written for him; who has no
letter, or one that this exchanger cannot take, is settled without a word to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bulkmail.delivery.consignment import Consignment, needs_smtputf8
from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.errands import Part
from bulkmail.delivery.transaction import addressed
from bulkmail.delivery.unreached import where_of
from bulkmail.delivery.work import Fated, Letter
from bulkmail.smtp import Extensions, Paths, paths_of
from bulkmail.transport.connection import Connection
from bulkmail.transport.stage import Stage

SUPPRESSED = Disposition(Fate.SUPPRESSED, Scope.RECIPIENT, Stage.MAIL, note="suppressed since the plan")


def consignments(
    parts: Sequence[Part], destination: Destination, connection: Connection
) -> list[Consignment]:
    """What is to be sent of `parts`. Who has no letter, or may not or cannot get it, is settled here."""
    found: list[Consignment] = []
    plant = destination.plant
    withheld = plant.work.withheld([part.roll for part in parts])
    for parcel, roll, letter in parts:
        settled: list[Fated] = []
        if withheld and not withheld.isdisjoint(roll.ids):
            settled += [(one, SUPPRESSED) for one in roll if one.id in withheld]
            roll = roll.pick([at for at, number in enumerate(roll.ids) if number not in withheld])
        if isinstance(letter, str):
            skipped = Disposition(Fate.SKIPPED, Scope.MESSAGE, Stage.MAIL, note=letter)
            settled += [(one, skipped) for one in roll]
        elif len(roll):
            paths = paths_of(roll.addresses)
            if _some_cannot(letter, paths, connection.extensions):
                sendable, refused = addressed(letter, roll, connection.extensions)
                settled += [(roll[at], why) for at, why in refused]
                roll = roll.pick(sendable)
                paths = paths_of(roll.addresses) if sendable else paths
            if len(roll):
                found.append(Consignment(parcel, roll, paths, letter, next(plant.intent_keys)))
        if settled:
            destination.settle(parcel, settled, where_of(connection))
    return found


def still(one: Consignment, destination: Destination, connection: Connection) -> bool:
    """Whether it is to go yet, perhaps to fewer: whoever was suppressed since `consignments` is settled."""
    roll = one.roll
    if not (withheld := destination.plant.work.withheld([roll])):
        return True
    suppressed = [(him, SUPPRESSED) for him in roll if him.id in withheld]
    destination.settle(one.parcel, suppressed, where_of(connection))
    one.only(roll.pick([at for at, number in enumerate(roll.ids) if number not in withheld]))
    if len(one.roll):
        one.paths = paths_of(one.roll.addresses)
    return bool(len(one.roll))


def _some_cannot(letter: Letter, paths: Paths, extensions: Extensions) -> bool:
    """Some of them cannot be sent to here (X10, X11)."""
    too_large = extensions.size is not None and letter.size > extensions.size
    return too_large or (not extensions.smtputf8 and needs_smtputf8(letter, paths))
