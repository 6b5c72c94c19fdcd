"""How many of this process's file descriptors a part of it may take. Whoever has them all can open nothing.

Sessions take half of them (each has a connection, and for moments a second one while addresses race), name
servers, the store and whatever else runs here the rest.
"""

from __future__ import annotations

import resource


def idle_allowance(most: int = 200) -> int:
    """Connections that may be kept idle: an eighth of the descriptors, `most` of them. At least one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 8))
