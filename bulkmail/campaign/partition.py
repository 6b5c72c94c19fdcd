"""Who of a list goes to which part of it: by a hash of the domain, so that whoever may collide is together.

A few domains are *hot*: too large for any part. Their people are spread over all parts by a hash of their
address. What is done for each candidate is kept to a dictionary look-up, because a block of candidates has
fewer domains than people; and those of one domain are put side by side, as their reader wants them.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from bulkmail.campaign.candidates import Candidates, getter

_HOT = 8  # domains at most: each of them waits in memory for the rest of it
_HOT_SHARE = 64  # a domain is hot that has more than one of so many candidates
_HOT_PART = 1 / 2  # and would take more than this of what one part may
_GROUP = 8  # so many of a domain in one block are put side by side

Hot = frozenset[str]


def hot_of(blocks: Iterable[Candidates], size: float | None = None) -> Hot:
    """The domains that are too large for any part, as far as these blocks show."""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts.update(block.domains)
    return hot_among(counts, size)


def hot_among(counts: Counter[str], size: float | None = None) -> Hot:
    """Of a list with domains in these proportions, that would fill so many parts, if that is known."""
    enough = counts.total() * max(1 / _HOT_SHARE, _HOT_PART / size if size else 0)
    return frozenset(domain for domain, rows in counts.most_common(_HOT) if rows > enough)


class Share:
    """The places of those candidates of a block who go to one part."""

    __slots__ = ("groups", "rest")

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[int]]] = []  # of domains with many of them
        self.rest: list[int] = []

    def __len__(self) -> int:
        return sum(len(places) for _, places in self.groups) + len(self.rest)

    def places(self) -> list[int]:
        """All of them, groups first."""
        return list(chain(chain.from_iterable(places for _, places in self.groups), self.rest))


Split = Callable[[Candidates, Hot, int, list[Share]], None]


def by_domain(held: Candidates, hot: Hot, shift: int, parts: list[Share]) -> None:
    """All of a domain to one part, all of an address in a hot domain likewise: by the `shift`ed hash."""
    mask = len(parts) - 1
    spread: list[tuple[str, list[int]]] = []
    adding: dict[str, Callable[[int], None]] = {}
    counts = Counter(held.domains)
    for (domain, rows), octets in zip(counts.items(), _octets(list(counts)), strict=True):
        part = parts[zlib.crc32(octets) >> shift & mask]
        if rows < _GROUP and domain not in hot:
            adding[domain] = part.rest.append
        else:
            places: list[int] = []
            (spread if domain in hot else part.groups).append((domain, places))
            adding[domain] = places.append
    for place, add in enumerate(map(adding.__getitem__, held.domains)):
        add(place)
    for domain, places in spread:
        shares: list[list[int]] = [[] for _ in parts]
        add_to = [share.append for share in shares]
        get: Callable[[Sequence[str]], Sequence[str]] = getter(places)
        for place, value in zip(places, map(zlib.crc32, _octets(get(held.addresses))), strict=True):
            add_to[value >> shift & mask](place)
        for part, share in zip(parts, shares, strict=True):
            if share:
                part.groups.append((domain, share))


def by_key(held: Candidates, _: Hot, shift: int, parts: list[Share]) -> None:
    """All of a domain with the same message to one part."""
    mask = len(parts) - 1
    add = [part.rest.append for part in parts]
    pairs = zip(_octets(held.domains), _octets(held.keys), strict=True)
    for place, (domain, key) in enumerate(pairs):
        add[zlib.crc32(key, zlib.crc32(domain)) >> shift & mask](place)


def _octets(texts: Sequence[str]) -> list[bytes]:
    """Without their case, which exclusions do not know. None of ours has a line break."""
    return "\n".join(texts).lower().encode().split(b"\n")
