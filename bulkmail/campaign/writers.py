"""How many letters of a campaign are worth being written side by side, beside the event loop."""

from __future__ import annotations

import os

from bulkmail.message import Composer


def writers(composer: Composer) -> int:
    """Threads, as many as there are processors; 0 where a letter costs less than the way to a thread.

    Letters cost something where each is signed, or where some need a conversion of their own: of HTML, for
    milliseconds, in which an event loop would hear nobody.
    """
    costly = composer.personal and (bool(composer.keys) or not composer.one_shape)
    return len(os.sched_getaffinity(0)) if costly else 0
