"""Who sends to which site, and with which part of its limits: pure functions that every process agrees on.

A provider (the suffix of its exchangers' names) belongs to one worker, so that its limits are kept in one
place, as if there were no others. One that may be asked for more than a worker can do belongs to several,
and each keeps to an exact share: the connections and rates of all of them together are those of the site,
at every moment, without a word between them. Which ones is decided by the name alone (rendezvous hashing), so
nothing is remembered, and where a worker dies only what was its own moves.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from hashlib import blake2b

from bulkmail.delivery.shaping import Limits

RATE = 200.0  # messages a second of a site that are worth a worker; one can do several times as many


def provider(host: str) -> str:
    """By whom a host is run, as its name tells: `example.com` of `mx1.eu.example.com`.

    Also of the name of a site, which begins with that of a host. Where a registry sells names below two
    labels (`example.co.uk`) three are kept; to take some for one would only load the workers unevenly.
    """
    name = host.partition("~")[0]
    labels = name.split(".")
    if ":" in name or labels[-1].isdecimal():
        return name  # an address
    few = 3 if len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 2
    return ".".join(labels[-few:])


def width(limits: Limits, workers: int) -> int:
    """How many workers share a site of such limits; 1: it belongs to one."""
    by_rate = workers if limits.message_rate is None else int(limits.message_rate / RATE)
    return max(1, min(workers, limits.connections, by_rate))


def owners(provider: str, alive: Collection[int], count: int) -> tuple[int, ...]:
    """The `count` workers of `alive` that a provider belongs to, or as many as there are."""
    return tuple(sorted(alive, key=lambda worker: _lot(worker, provider))[:count])


def share(limits: Limits, count: int, position: int) -> Limits:
    """The limits of the one at `position` of the `count` owners. Their sums are the whole.

    Who moves up, because somebody before him died, is never left with less.
    """
    if count == 1:
        return limits
    each, more = divmod(limits.connections, count)
    return replace(
        limits,
        connections=each + (position < more),
        message_rate=_part(limits.message_rate, count),
        connection_rate=_part(limits.connection_rate, count),
    )


def _lot(worker: int, provider: str) -> bytes:
    return blake2b(f"{worker} {provider}".encode(), digest_size=8).digest()


def _part(rate: float | None, count: int) -> float | None:
    return None if rate is None else rate / count
