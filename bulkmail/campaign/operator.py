"""The operator's word on a campaign, whether or not it runs now: to its process, or to its journal.

Where a process has the campaign and listens, it is told; where nobody has it, the journal is. A process that
has it and does not listen plans, or asks its user: what is wanted is written down for it, and it looks there
before the first MAIL. Whoever comes in between is not missed: the three are tried in turn for a moment. What
was written down is taken back by who carries it out, and a pause by `resume`; a cancellation stays.

A run that listens is to hear it as soon as may be: what only the other ways need is imported when they are
taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from bulkmail.campaign import control
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.control import Answer, NobodyListens
from bulkmail.campaign.place import journal_path, never_run
from bulkmail.errors import CampaignLocked, ConfigError

if TYPE_CHECKING:
    from bulkmail.journal import Store

Word = Literal["pause", "resume", "cancel"]

MOMENT_S = 2.0  # for a run to begin to listen, or to let go
AGAIN_S = 0.05


def order(campaign: Campaign, word: Word) -> Iterator[Answer]:
    """What is done about it, as it is done; the last answer is `done`.

    Raises CampaignLocked where a process has the campaign and does not answer, ConfigError where it was never
    run, StoreError.
    """
    journal = journal_path(campaign)
    give_up = time.monotonic() + MOMENT_S
    written = False
    while True:
        try:
            for answer in control.ask(control.socket_path(journal), {"do": word}):
                if written:
                    control.unwant(journal, word)
                    written = False
                yield answer
            return
        except NobodyListens:
            pass
        from bulkmail.journal import CampaignLock

        holder = CampaignLock.holder(journal)
        if holder is None:
            try:
                yield _on_store(campaign, word)
            except CampaignLocked:
                continue  # somebody was quicker: the next turn talks to him
            return
        cancelled = "cancel" in (word, control.wanted(journal))
        if word == "resume":
            if control.unwant(journal, "pause") or cancelled:
                yield {
                    "done": True,
                    "did": word,
                    "already": False,
                    "running": True,
                    "cancelled": cancelled,
                    "totals": {},
                }
                return
        elif not written:
            control.want(journal, word)
            written = True
        if time.monotonic() > give_up:
            if word == "resume":
                raise CampaignLocked(f"{holder} has the campaign, and does not listen yet; try again")
            yield {
                "done": True,
                "did": word,
                "already": False,
                "running": False,
                "cancelled": cancelled,
                "waits_for": holder,
            }
            return
        time.sleep(AGAIN_S)


def _on_store(campaign: Campaign, word: Word) -> Answer:
    """Nobody has the campaign."""
    from bulkmail.campaign import standing
    from bulkmail.journal import CampaignLock, Store

    path = journal_path(campaign)
    if not path.exists():
        control.unwant(path, "pause")
        raise never_run(campaign)
    with CampaignLock(path), Store.open(path) as store:
        waits = control.wanted(path)  # for a run that ended before it looked
        control.unwant(path, "pause")
        if not store.planned:
            raise ConfigError(f"{campaign.campaign} was never planned to its end: there is nobody to {word}")
        now = time.time()
        since = standing.cancelled(store)
        if "cancel" in (word, waits):
            already = since is not None
            store.recover("hold", now)
            if already or standing.left(store.totals()):
                standing.cancel(store)
                standing.give_up(store, now)
            control.unwant(path, "cancel")
            return _answer(store, word, already=already)
        store.recover(campaign.delivery.on_doubt, now)
        stood = standing.paused(store)
        if word == "resume":
            return _answer(store, word, already=standing.resume(store) is None)
        if stood is None and since is None and standing.left(store.totals()):
            standing.pause(store, standing.Pause("operator", standing.now_told(), ""))
        return _answer(store, word, already=stood is not None)


def _answer(store: Store, word: Word, *, already: bool) -> Answer:
    from bulkmail.campaign import standing

    stands = standing.paused(store)
    return {
        "done": True,
        "did": word,
        "already": already,
        "running": False,
        "cancelled": standing.cancelled(store),
        "paused": None if stands is None else stands._asdict(),
        "totals": store.totals(),
    }


def remaining(campaign: Campaign) -> Mapping[str, int] | None:
    """The totals, before somebody is asked whether he means it; None where there is no plan yet."""
    path = journal_path(campaign)
    if not path.exists():
        return None
    from bulkmail.journal import Store

    with Store.open(path, read_only=True) as store:
        return store.totals() if store.planned else None
