"""A list that does not fit into memory, in pieces that do: partitions on disk, by a hash.

Candidates go to one of up to 1,024 parts by a hash (`partition`), in big blocks, so that afterwards a part
holds all of its domains, each in source order, and can be handled alone. The people of hot domains, which
are known to the caller or seen when the first block is written, are in all parts, so that they need not be
written twice, and are brought together again by whoever places them. Whoever gets a part that is still too
large spills it again by further bits of the hash.
A list that fits is never written at all. Blocks are `marshal`: by far the fastest, and safe here because only
the process that wrote a block can read it.
"""

from __future__ import annotations

import marshal
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import BinaryIO

from bulkmail.campaign.candidates import OVERHEAD, Candidates, getter
from bulkmail.campaign.partition import Hot, Share, Split, by_domain, hot_of
from bulkmail.errors import refusal

_BITS = 10
LEVELS = 32 // _BITS  # how often a 32-bit hash can be split by further bits
_LEAST_BITS, _USUAL_BITS = 4, 8
_ROOM = 2  # at least so many parts as the list would fill are made for it: they are not all alike
_SAMPLED = 16  # blocks of a part that are looked at for hot domains


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be in memory at once, by estimate. The defaults keep ten million rows below 150 MB."""

    buffered: int = 12 << 20  # octets waiting to be written, in all partitions together
    rows: int = 250_000  # in one partition
    octets: int = 16 << 20  # in one partition

    def filled(self, rows: int, octets: int) -> float:
        """How many parts these would fill."""
        return max(rows / self.rows, octets / self.octets)

    def holds(self, rows: int, octets: int) -> bool:
        return self.filled(rows, octets) <= 1


@dataclass(slots=True)
class Part:
    """Candidates that belong together; of each domain in the order in which they came.

    `block(n)`: of bounded size.
    """

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

    def hot(self, budget: Budget) -> Hot:
        """The domains that would be too large for a part of this part."""
        step = -(-self.count // _SAMPLED)
        size = budget.filled(self.rows, self.octets)
        return hot_of(map(self.block, range(0, self.count, step)), size)


def _fan_out(size: float | None) -> int:
    """As many parts as it needs for each to fit well; more of them would only make smaller blocks."""
    if size is None:
        return 1 << _USUAL_BITS
    return 1 << min(max(int(_ROOM * size).bit_length(), _LEAST_BITS), _BITS)


class Spill:
    """Takes candidates, gives them back in parts. To be closed. Raises StoreError when the disk refuses.

    All parts are in one file without a name, which is gone with the process; of a part, only the places of
    its blocks are in memory. `hot` are the hot domains as the caller knows them; None: to be found. `size`:
    how many parts they would fill (`Budget.filled`), as far as that is known.
    """

    def __init__(
        self,
        folder: Path,
        split: Split = by_domain,
        *,
        level: int = 0,
        hot: Hot | None = None,
        size: float | None = None,
        budget: Budget,
    ) -> None:
        self._folder = folder
        self._split = split
        self._shift = level % LEVELS * _BITS
        fan_out = _fan_out(size)
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
        shares = [Share() for _ in self._rows]
        self._split(held, self.hot, self._shift, shares)
        for number, share in enumerate(shares):
            if rows := len(share):
                block = _packed(held, share)
                self._places[number].extend((self._end, len(block)))
                self._end += file.write(block)
                self._rows[number] += rows


def _reader(file: BinaryIO, places: array[int]) -> Callable[[int], Candidates]:
    def block(number: int) -> Candidates:
        with _told():
            octets = os.pread(file.fileno(), places[2 * number + 1], places[2 * number])
        return _unpacked(octets)

    return block


def _packed(held: Candidates, share: Share) -> bytes:
    """Those of `share`.

    Texts joined, for marshal is slow with many small objects. None of ours has a line break: no address may,
    and in a stored row it is escaped. Version 2 of marshal does not look for equal objects.
    """
    places = share.places()
    get: Callable[[Sequence[str]], Sequence[str]] = getter(places)
    addresses, texts = "\n".join(get(held.addresses)), "\n".join(get(held.texts))
    keys = "\n".join(get(held.keys)) if held.keys else None
    lines = list(getter(places)(held.lines))
    problems = (
        {line: held.problems[line] for line in held.problems.keys() & set(lines)} if held.problems else {}
    )
    domains = "\n".join(getter(share.rest)(held.domains))
    groups = [(domain, len(some)) for domain, some in share.groups]
    return marshal.dumps((held.kind, held.file, lines, problems, keys, addresses, texts, groups, domains), 2)


def _unpacked(block: bytes) -> Candidates:
    kind, file, lines, problems, keys, addresses, texts, groups, rest = marshal.loads(block)
    domains = list(chain.from_iterable(repeat(domain, size) for domain, size in groups))
    if rest:
        domains += rest.split("\n")
    return Candidates(
        kind,
        file,
        lines,
        addresses.split("\n"),
        domains,
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
        raise refusal(error, "the list cannot be put aside while it is planned") from error
