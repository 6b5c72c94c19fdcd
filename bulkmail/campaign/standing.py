"""Whether a campaign may be sent on: what its operator, or a safety rule, has said of it, in its journal.

A pause stands from the moment it is on disk until it is taken back, whatever becomes of the processes; so
does a cancellation, for good. Neither says anything where nobody is left to be sent to. What a pause for
safety was judged by is put aside by the word that goes on: from then on only what follows is judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from bulkmail.errors import CampaignCancelled, CampaignPaused
from bulkmail.journal import Store

PAUSED, CANCELLED = "paused", "cancelled"  # in the journal's meta; "" is no pause
JUDGED_FROM = "judged from"  # the totals at the last word to go on, and who was blocked by then
BLOCKED = "blocked"  # recipients whose first answer was that our mail is blocked
ASKED = "asked"  # recipients who were tried at all
SEEDS_SEEN = "seeds seen"  # when the operator had looked at what the seeds got

By = Literal["operator", "safety", "seeds"]


class Pause(NamedTuple):
    """Who paused it, when (RFC 3339), why in one line, and what shows it."""

    by: By
    at: str
    reason: str
    evidence: tuple[str, ...] = ()

    def told(self) -> str:
        """For people, a sentence without its end."""
        return f"paused {_BY[self.by]} since {self.at}{f': {self.reason}' if self.reason else ''}"


_BY = {"operator": "by the operator", "safety": "by a safety rule", "seeds": "after the seeds"}


def now_told() -> str:
    """This second, as it is kept and told."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def left(totals: Mapping[str, int]) -> int:
    """Who may still be sent to."""
    return totals["pending"] + totals["deferred"]


def paused(store: Store) -> Pause | None:
    """The pause that stands. StoreError."""
    text = store.meta(PAUSED)
    if not text:
        return None
    by, at, reason, evidence = json.loads(text)
    return Pause(by, at, reason, tuple(evidence))


def pause(store: Store, wanted: Pause) -> Pause:
    """From now on it is paused, on disk; the pause that stands, for the first one counts. StoreError."""
    if (stands := paused(store)) is not None:
        return stands
    store.set_meta(PAUSED, json.dumps(wanted))
    return wanted


def resume(store: Store) -> Pause | None:
    """No pause stands any more; which one did. StoreError."""
    stood = paused(store)
    if stood is not None:
        if stood.by == "seeds":
            store.set_meta(SEEDS_SEEN, now_told())
        elif stood.by == "safety":  # what led to a pause, and was looked at, is not to lead to the next one
            store.set_meta(JUDGED_FROM, json.dumps(store.totals() | counted(store)))
        store.set_meta(PAUSED, "")  # last: a crash before leaves it paused
    return stood


def cancelled(store: Store) -> str | None:
    """Since when it is cancelled. StoreError."""
    return store.meta(CANCELLED) or None


def cancel(store: Store) -> str:
    """From now on it is cancelled, on disk; since when. Those who are left are to follow (`give_up`)."""
    since = cancelled(store)
    if since is None:
        store.set_meta(CANCELLED, since := now_told())
    return since


def give_up(store: Store, now: float) -> int:
    """Of a cancelled campaign, with nobody sending: whoever is left is cancelled; how many. StoreError.

    Whoever may have been delivered to when a run was killed is in doubt, whatever `on_doubt` says: to be
    sent again is not what a cancelled message is.
    """
    store.recover("hold", now)
    return store.cancel_open(now)


def counted(store: Store) -> dict[str, int]:
    """BLOCKED and ASKED, which no state tells. StoreError."""
    return {name: int(store.meta(name) or 0) for name in (BLOCKED, ASKED)}


def count(store: Store, counts: Mapping[str, int]) -> None:
    """They are so many now. StoreError."""
    for name, number in counts.items():
        store.set_meta(name, str(number))


def judged_from(store: Store) -> Mapping[str, int]:
    """What safety rules do not look at any more: counts by state, BLOCKED and ASKED. StoreError."""
    found: dict[str, int] = json.loads(store.meta(JUDGED_FROM) or "{}")
    return found


def allowed(store: Store, on_doubt: str, now: float) -> Store:
    """`store`, if its campaign may be sent on; nobody else runs it.

    Raises CampaignPaused and CampaignCancelled, the store being closed, and StoreError.
    """
    try:
        since, stands = cancelled(store), paused(store)
        if since is not None:
            give_up(store, now)  # a crash may have come between the word and the deed
            totals = store.totals()
            raise CampaignCancelled(
                f"this campaign was cancelled ({since}): {totals['delivered']:,} were delivered to, "
                f"{totals['cancelled']:,} cancelled. Nobody of them is sent to under this name any more; "
                "a new send needs a new campaign name."
            )
        if stands is not None:
            store.recover(on_doubt, now)
            if left(store.totals()):
                raise CampaignPaused(stands.told(), stands.evidence)
    except BaseException:
        store.close()
        raise
    return store
