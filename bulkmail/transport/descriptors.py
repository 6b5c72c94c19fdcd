"""How many of this process's file descriptors a part of it may take. Whoever has them all can open nothing.

Sessions take a quarter of them, those whose peers are silent another (each has a connection, and for moments
a second one while addresses race), name servers, the store and whatever else runs here the rest.
"""

from __future__ import annotations

import contextlib
import resource


def raise_limit(wanted: int) -> int:
    """Have the kernel allow `wanted` of them, as far as it lets us; how many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if more > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            return more
    return soft


def idle_allowance(most: int = 200) -> int:
    """Connections that may be kept idle: an eighth of the descriptors, `most` of them. At least one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 8))
