"""A list that does not fit into memory, in pieces that do: partitions on disk, by a hash.

Candidates go to one of up to 1,024 parts by a hash of their domain, in big blocks, so that afterwards a part
holds all of its domains, in source order, and can be handled alone. A few domains are *hot*: too large for
any part, as the caller knows or is seen when the first block is written. Their people are spread over all
parts by a hash of their address, so that they need not be written twice, and are brought together again by
whoever places them. Whoever gets a part that is still too large spills it again by further bits of the hash.
A list that fits is never written at all. Blocks are `marshal`: by far the fastest, and safe here because only
the process that wrote a block can read it.
"""

from __future__ import annotations

import marshal
import os
import shutil
import tempfile
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bulkmail.campaign.candidates import OVERHEAD, Candidates, getter
from bulkmail.errors import StoreError

_BITS = 10
LEVELS = 32 // _BITS  # how often a 32-bit hash can be split by further bits
_LEAST_BITS, _USUAL_BITS = 4, 8
_HOT = 8  # domains at most: each of them waits in memory for the rest of it
_HOT_SHARE = 64  # a domain is hot that has more than one of so many candidates
_SAMPLED = 16  # blocks of a part that are looked at for hot domains

Hot = frozenset[str]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be in memory at once, by estimate. The defaults keep ten million rows below 150 MB."""

    buffered: int = 12 << 20  # octets waiting to be written, in all partitions together
    rows: int = 40_000  # in one partition
    octets: int = 16 << 20  # in one partition

    def holds(self, rows: int, octets: int) -> bool:
        return rows <= self.rows and octets <= self.octets


@dataclass(slots=True)
class Part:
    """Candidates that belong together, in the order in which they came. `block(n)`: of bounded size."""

    rows: int
    octets: int  # estimated, in memory
    count: int  # of blocks
    block: Callable[[int], Candidates]

    def blocks(self) -> Iterator[Candidates]:
        return map(self.block, range(self.count))

    def read(self) -> list[Candidates]:
        """Everybody, as few blocks as there are kinds and files, one after the other."""
        found: list[Candidates] = []
        for block in self.blocks():
            if found and (found[-1].kind, found[-1].file) == (block.kind, block.file):
                found[-1].extend(block)
            else:
                found.append(block)
        return found

    def hot(self) -> Hot:
        """The domains that would be too large for a part of this part."""
        step = -(-self.count // _SAMPLED)
        return hot_of(self.block(number) for number in range(0, self.count, step))


def hot_of(blocks: Iterable[Candidates]) -> Hot:
    """The domains that are too large for any part, as far as these blocks show."""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts.update(block.domains)
    return hot_among(counts)


def hot_among(counts: Counter[str]) -> Hot:
    enough = counts.total() / _HOT_SHARE
    return frozenset(domain for domain, rows in counts.most_common(_HOT) if rows > enough)


def by_domain(candidates: Candidates, hot: Hot) -> list[int]:
    """Hashes: all of a domain have the same, but for hot ones, where all of an address have."""
    hashed = candidates.domains
    if hot:
        both = zip(hashed, candidates.addresses, strict=True)
        hashed = [address if domain in hot else domain for domain, address in both]
    return list(map(zlib.crc32, _octets(hashed)))


def by_key(candidates: Candidates, _: Hot) -> list[int]:
    """Hashes: all of a domain with the same message have the same."""
    pairs = zip(_octets(candidates.domains), _octets(candidates.keys), strict=True)
    return [zlib.crc32(key, zlib.crc32(domain)) for domain, key in pairs]


def _octets(texts: Sequence[str]) -> list[bytes]:
    """Without their case, which exclusions do not know. None of ours has a line break."""
    return "\n".join(texts).lower().encode().split(b"\n")


def _bits(octets: int | None, budget: Budget) -> int:
    """As many parts as it needs for each to fit well; more of them would only make smaller blocks."""
    if octets is None:
        return _USUAL_BITS
    parts = 8 * octets // budget.octets  # in memory they are larger than they are as text, and not all alike
    return min(max(parts.bit_length(), _LEAST_BITS), _BITS)


class Spill:
    """Takes candidates, gives them back in parts. To be closed. Raises StoreError when the disk refuses.

    All parts are in one file without a name, which is gone with the process; of a part, only the places of
    its blocks are in memory. `hot` are the hot domains as the caller knows them; None: to be found. `octets`:
    how much text is expected.
    """

    def __init__(
        self,
        folder: Path,
        key: Callable[[Candidates, Hot], list[int]] = by_domain,
        *,
        level: int = 0,
        hot: Hot | None = None,
        octets: int | None = None,
        budget: Budget,
    ) -> None:
        self._folder = folder
        self._key = key
        self._shift = level % LEVELS * _BITS
        fan_out = 1 << _bits(octets, budget)
        self._mask = fan_out - 1
        self._found = hot
        self._budget = budget
        self._held: list[Candidates] = []
        self._buffered = 0
        self._file: BinaryIO | None = None
        self._end = 0
        self._places = [array("Q") for _ in range(fan_out)]  # offset and length, one block after the other
        self._rows = [0] * fan_out

    @property
    def hot(self) -> Hot:
        """Domains that may be in several parts."""
        return self._found or frozenset() if self._file is not None else frozenset()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def extend(self, candidates: Candidates) -> None:
        """Take a block: the unit in which memory is looked after. It is ours from now on."""
        last = self._held[-1] if self._held else None
        if last is not None and (last.kind, last.file) == (candidates.kind, candidates.file):
            last.extend(candidates)
        elif candidates:
            self._held.append(candidates)
        self._buffered += candidates.octets
        if self._buffered >= self._budget.buffered:
            self._write()

    def parts(self) -> Iterator[Part]:
        """All parts that hold something, in the same order for the same candidates; closes itself.

        What never had to be written is one part, because a hundred small ones would only cost time.
        """
        if self._file is None:
            held, self._held = self._held, []
            if held:
                yield Part(sum(map(len, held)), self._buffered, len(held), held.__getitem__)
            return
        self._write()  # what waits in memory would wait there while the other parts are read
        with self._file as file:
            for rows, places in zip(self._rows, self._places, strict=True):
                if rows:
                    octets = sum(places[1::2]) + OVERHEAD * rows
                    yield Part(rows, octets, len(places) // 2, _reader(file, places))

    def _write(self) -> None:
        if self._found is None:
            self._found = hot_of(self._held)
        with _told():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # closed by close()
            for held in self._held:
                self._write_block(self._file, held)
            self._file.flush()
        self._held = []
        self._buffered = 0

    def _write_block(self, file: BinaryIO, held: Candidates) -> None:
        shift, mask = self._shift, self._mask
        parts: list[list[int]] = [[] for _ in self._rows]
        add = [part.append for part in parts]
        for place, value in enumerate(self._key(held, self.hot)):
            add[value >> shift & mask](place)
        for number, places in enumerate(parts):
            if places:
                block = _packed(held, places)
                self._places[number].extend((self._end, len(block)))
                self._end += file.write(block)
                self._rows[number] += len(places)


def _reader(file: BinaryIO, places: array[int]) -> Callable[[int], Candidates]:
    def block(number: int) -> Candidates:
        with _told():
            octets = os.pread(file.fileno(), places[2 * number + 1], places[2 * number])
        return _unpacked(octets)

    return block


def _packed(held: Candidates, places: Sequence[int]) -> bytes:
    """Those at `places`.

    Texts joined, for marshal is slow with many small objects. None of ours has a line break: no address may,
    and in a stored row it is escaped. Version 2 of marshal does not look for equal objects.
    """
    get: Callable[[Sequence[str]], Sequence[str]] = getter(places)
    columns = (held.addresses, held.domains, held.texts)
    texts = ["\n".join(get(column)) for column in columns]
    keys = "\n".join(get(held.keys)) if held.keys else None
    lines = list(getter(places)(held.lines))
    problems = (
        {line: held.problems[line] for line in held.problems.keys() & set(lines)} if held.problems else {}
    )
    return marshal.dumps((held.kind, held.file, lines, problems, keys, *texts), 2)


def _unpacked(block: bytes) -> Candidates:
    kind, file, lines, problems, keys, addresses, domains, texts = marshal.loads(block)
    return Candidates(
        kind,
        file,
        list(lines),
        addresses.split("\n"),
        domains.split("\n"),
        texts.split("\n"),
        len(texts),
        keys.split("\n") if keys is not None else [],
        problems,
    )


@contextmanager
def spill_folder(path: Path) -> Iterator[Path]:
    """A private folder at `path` for as long as a plan is made; what a crash left there goes first.

    Addresses are in it, so it has mode 0700 and is removed whatever happens. The caller holds the campaign's
    lock: nobody else uses the same path. Raises StoreError.
    """
    with _told():
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700, parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the list cannot be put aside while it is planned: {error}") from error
