"""What becomes of a destination's mail where nothing more leaves from one of the sources: others stand in.

A source may be blocked by the site, have sent what it may today, or have lost its address. Whoever was
refused for it has his verdict; those who were not tried yet go from whoever stands in for it, or wait where
nobody does.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from bulkmail.delivery.destination import Destination
from bulkmail.delivery.disposition import Disposition
from bulkmail.delivery.errands import Errand
from bulkmail.delivery.meaning import Consequence
from bulkmail.delivery.sources import LOST_S
from bulkmail.delivery.unreached import NOWHERE
from bulkmail.delivery.work import Parcel
from bulkmail.transport.approach import Source


def blocked(destination: Destination, source: Source | None, why: Disposition | None) -> bool:
    """Where the site refuses what leaves from `source`: whether others stand in for it from now on."""
    sources, route = destination.plant.sources, destination.latest
    if source is None or why is None or why.consequence is not Consequence.SUSPEND:
        return False
    assert sources is not None
    assert route is not None, "it was routed"
    destination.plant.trouble(destination.site.name, why)
    if destination.is_left_out(source):
        return True
    seconds = sources.block(source, route, why, trio.current_time())
    if seconds is not None:
        destination.plant.on_hold(f"{destination.site.name} from {source}", why, seconds)
    return seconds is not None


def lost(destination: Destination, source: Source | None) -> None:
    """This machine has not its address (T6)."""
    plant = destination.plant
    if source is not None and plant.sources is not None:
        why = plant.sources.lose(source, trio.current_time(), plant.now() + LOST_S)
        if why is not None:
            plant.on_hold(f"everything from {source}", why, LOST_S)


async def put_back(destination: Destination, source: Source | None, rest: Sequence[Errand]) -> None:
    """What a session still has in its hands: first in line again, if anybody may have it."""
    await vacated(destination, source)
    for parcel, roll in reversed(rest):
        stopped = destination.stopping and not destination.paused
        held = None if stopped else refused(destination, parcel, roll.ids[0])
        if held is not None:
            # the site was given up while these were in its hands, or nothing more leaves from its source
            destination.settle(parcel, [(one, held) for one in roll], NOWHERE, attempted=False)
        else:
            destination.put_back(parcel, roll.ids)


async def vacated(destination: Destination, source: Source | None) -> None:
    """Where nothing leaves from it any more, what waits for that goes from another, or is put off."""
    if source is None or destination.stopping or not destination.is_left_out(source):
        return
    put_off = []
    for parcel in destination.queue.take_out(source):
        if (why := refused(destination, parcel, parcel.spans[0][0])) is None:
            destination.queue.add(parcel)
        else:
            put_off.append((parcel, why))
    destination.staff()
    for parcel, why in put_off:
        await destination.settle_waiting([parcel], why, NOWHERE)


def refused(destination: Destination, parcel: Parcel, number: int) -> Disposition | None:
    """Why `number` and others of `parcel` cannot be sent to now; None where they can, if from elsewhere."""
    held_by, sources, route = destination.held_by, destination.plant.sources, destination.latest
    source = parcel.source
    if held_by is not None or source is None or sources is None or not destination.is_left_out(source):
        return held_by
    assert route is not None, "it was routed"
    to = sources.choose(parcel.domain, number, route, trio.current_time())
    if isinstance(to, Disposition):
        return to
    parcel.source = to
    return None
