"""Who of a list goes to which part of it: by a hash of the domain, so that whoever may collide is together.

A few domains are *hot*: too large for any part. Their people are spread over all parts by a hash of their
address. What is done for each candidate is kept to a dictionary look-up, because a block of candidates has
fewer domains than people; and those of one domain are put side by side, as their reader wants them.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress
from operator import not_

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
    counts = Counter(held.domains)
    large: dict[str, list[int]] = {
        domain: [] for domain, rows in counts.items() if rows >= _GROUP or domain in hot
    }
    is_large = list(map(large.__contains__, held.domains))
    everybody = range(len(is_large))
    for place, domain in zip(compress(everybody, is_large), compress(held.domains, is_large), strict=True):
        large[domain].append(place)
    is_other = list(map(not_, is_large))
    add = [part.rest.append for part in parts]
    hashes = map(zlib.crc32, _octets(list(compress(held.domains, is_other))))
    for place, value in zip(compress(everybody, is_other), hashes, strict=False):  # of nobody there is one
        add[value >> shift & mask](place)
    for domain, places in large.items():
        if domain in hot:
            _spread(domain, places, held.addresses, shift, parts)
        else:
            [octets] = _octets([domain])
            parts[zlib.crc32(octets) >> shift & mask].groups.append((domain, places))


def _spread(domain: str, places: list[int], addresses: Sequence[str], shift: int, parts: list[Share]) -> None:
    """Those of a hot domain."""
    mask = len(parts) - 1
    shares: list[list[int]] = [[] for _ in parts]
    add = [share.append for share in shares]
    get: Callable[[Sequence[str]], Sequence[str]] = getter(places)
    for place, value in zip(places, map(zlib.crc32, _octets(get(addresses))), strict=True):
        add[value >> shift & mask](place)
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
