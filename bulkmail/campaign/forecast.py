"""What a list will be like, guessed before it is read: how large it is, and which domains are large in it.

Only the work depends on it, never the result: how many parts a list is spilled into, and whose people are
spread over all of them. So a look at a few places of the files is enough.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bulkmail.campaign.candidates import OVERHEAD

_PLACES = 32
_LOOKED_AT = 1 << 15  # octets at each of them
_DOMAIN = re.compile(rb"@([A-Za-z0-9.-]+)")
_BINARY = (".parquet",)


@dataclass(frozen=True, slots=True)
class Forecast:
    """`octets`: of all files that are read; None where that cannot be told. `domains`: of a sample."""

    octets: int | None
    domains: Counter[str]
    sampled: int  # octets

    @property
    def rows(self) -> int:
        """About so many, if the octets are known: an address each."""
        return (self.octets or 0) * self.domains.total() // (self.sampled or 1)

    @property
    def memory(self) -> int:
        """Octets that the candidates will take."""
        return (self.octets or 0) + self.rows * OVERHEAD


def forecast(sources: Iterable[object]) -> Forecast:
    """Of the sources that `expand` found. What cannot be read is for others to complain about."""
    files: list[tuple[Path, int]] = []
    known = True
    for source in sources:
        try:
            if isinstance(source, Path) and source.suffix.lower() not in _BINARY:
                files.append((source, source.stat().st_size))
            else:
                known = False
        except OSError:
            known = False
    octets = sum(size for _, size in files)
    domains: Counter[str] = Counter()
    sampled = 0
    for path, size in files:
        places = max(1, min(round(_PLACES * size / octets), size // _LOOKED_AT)) if size else 0
        try:
            domains.update(_sampled(path, size, places))
            sampled += min(size, places * _LOOKED_AT)
        except OSError:
            known = False
    return Forecast(octets if known else None, domains, sampled)


def _sampled(path: Path, size: int, places: int) -> Counter[str]:
    found: Counter[str] = Counter()
    with path.open("rb") as file:
        for number in range(places):
            file.seek(number * size // places)
            found.update(name.decode().lower() for name in _DOMAIN.findall(file.read(_LOOKED_AT)))
    return found
