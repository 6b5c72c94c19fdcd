"""What a process that delivers does with its memory."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

M_ARENA_MAX = -8  # of malloc.h of the GNU C library


def settle_memory() -> None:
    """For a process that does nothing but deliver: what was made by now stays, and is not looked at again.

    Messages and connections leave no cycles behind: of six thousand domains the collector found nothing. Its
    default of looking every 700 objects is for programs that do, and with thousands of domains open each look
    is a long one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)
    # A pool of memory for each thread is for programs whose threads run side by side. Ours wait for one
    # another, and what one has freed another could not have: ten megabytes with a thousand connections.
    with suppress(AttributeError, OSError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
