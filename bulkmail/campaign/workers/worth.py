"""How many workers a run is worth. Imported by every run, so it needs nothing that a run does not need."""

from __future__ import annotations

import os
from typing import Literal

from bulkmail.campaign.planting import limits_of
from bulkmail.campaign.prepare import Prepared, sendable

LETTERS = 100_000  # to be written, from which on more processes are done sooner than one


def worth(prepared: Prepared, asked: int | Literal["auto"]) -> int:
    """How many workers a run is to have, where `asked` is what the user says."""
    if asked != "auto":
        return asked
    letters = sendable(prepared.store.totals())
    if prepared.shareable and not prepared.composer.personal:
        letters //= limits_of(prepared.campaign).recipients_per_transaction
    rehearsed = prepared.campaign.delivery.via.kind == "sandbox"  # in our own process, and slower than we are
    return 1 if rehearsed or letters < LETTERS else len(os.sched_getaffinity(0))
