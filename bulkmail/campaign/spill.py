"""A list that does not fit into memory, in pieces that do: partitions on disk, by a hash.

Candidates go to one of 128 parts by a hash of their domain, in big blocks, so that afterwards each part
holds all of its domains, in source order, and can be handled alone. Whoever gets a part that is
still too large spills it again by further bits of the hash, or by another key. A list that fits is never
written at all. Blocks are `marshal`: by far the fastest, and safe here because only the process that wrote
a block can read it.
"""

from __future__ import annotations

import marshal
import os
import shutil
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bulkmail.errors import StoreError

EXCLUSION, SEED, ROW = range(3)  # what a candidate is; an exclusion has an address only


class Candidate(NamedTuple):
    """One address on its way into the plan. A tuple, because there are millions of them."""

    kind: int
    order: int  # of rows, in source order
    file: int  # an index into the names of the plan's files
    line: int
    address: str
    domain: bytes
    key: bytes  # equal for equal messages
    fields: str  # a JSON object
    problem: tuple[str, str] | None  # (state, reason): why its message cannot be rendered


_FAN_OUT_BITS = 7
_FAN_OUT = 1 << _FAN_OUT_BITS
LEVELS = 32 // _FAN_OUT_BITS  # how often a 32-bit hash can be split by further bits
_OVERHEAD = 400  # octets that a candidate takes beside its fields: a tuple of nine, most of them objects


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be in memory at once, by estimate. The defaults are what keeps a million rows below 150 MB."""

    buffered: int = 2 << 20  # octets waiting to be written, in all partitions together
    rows: int = 10_000  # in one partition
    octets: int = 6 << 20  # in one partition

    def holds(self, rows: int, octets: int) -> bool:
        return rows <= self.rows and octets <= self.octets


@dataclass(slots=True)
class Part:
    """Candidates that belong together, in the order in which they came; `blocks` may be read once."""

    rows: int
    octets: int  # estimated, in memory
    blocks: Iterator[list[Candidate]]  # of bounded size

    def read(self) -> list[Candidate]:
        """Everything in it at once: only for a part that fits."""
        return [candidate for block in self.blocks for candidate in block]


def by_domain(candidate: Candidate) -> int:
    return zlib.crc32(candidate.domain)


def by_address(candidate: Candidate) -> int:
    return zlib.crc32(candidate.address.lower().encode())  # as exclusions are compared


def by_key(candidate: Candidate) -> int:
    return zlib.crc32(candidate.key)


class Spill:
    """Takes candidates, gives them back in parts. To be closed. Raises StoreError when the disk refuses.

    All parts are in one file without a name, which is gone with the process; of a part, only the places of
    its blocks are in memory.
    """

    def __init__(
        self, folder: Path, key: Callable[[Candidate], int] = by_domain, *, level: int = 0, budget: Budget
    ) -> None:
        self._folder = folder
        self._key = key
        self._shift = level % LEVELS * _FAN_OUT_BITS
        self._budget = budget
        self._held: list[list[Candidate]] = [[] for _ in range(_FAN_OUT)]
        self._buffered = 0
        self._file: BinaryIO | None = None
        self._places = [array("Q") for _ in range(_FAN_OUT)]  # offset and length, one block after the other
        self._rows = [0] * _FAN_OUT

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def extend(self, candidates: Sequence[Candidate]) -> None:
        """Take a block: the unit in which memory is looked after."""
        key, shift, mask, held = self._key, self._shift, _FAN_OUT - 1, self._held
        for candidate in candidates:
            held[key(candidate) >> shift & mask].append(candidate)
        self._buffered += octets_of(candidates)
        if self._buffered >= self._budget.buffered:
            self._write()

    def parts(self) -> Iterator[Part]:
        """All parts that hold something, in the same order for the same candidates; closes itself.

        What never had to be written is one part, because a hundred small ones would only cost time.
        """
        if self._file is None:
            held = [candidate for part in self._held for candidate in part]
            self._held = []
            if held:
                yield Part(len(held), octets_of(held), iter([held]))
            return
        self._write()  # what waits in memory would wait there while the other parts are read
        with self._file:
            for rows, places in zip(self._rows, self._places, strict=True):
                if rows:
                    octets = sum(places[1::2]) + _OVERHEAD * rows
                    yield Part(rows, octets, self._blocks(self._file, places))

    def _blocks(self, file: BinaryIO, places: array[int]) -> Iterator[list[Candidate]]:
        for offset, length in zip(places[0::2], places[1::2], strict=True):
            with _told():
                block = os.pread(file.fileno(), length, offset)
            yield _unpacked(block)

    def _write(self) -> None:
        with _told():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # closed by close()
            for number, held in enumerate(self._held):
                if held:
                    block = _packed(held)
                    self._places[number].extend((self._file.tell(), len(block)))
                    self._file.write(block)
                    self._rows[number] += len(held)
                    held.clear()
            self._file.flush()
        self._buffered = 0


def octets_of(candidates: Sequence[Candidate]) -> int:
    """What these take in memory, by estimate."""
    return _OVERHEAD * len(candidates) + sum(len(candidate.fields) for candidate in candidates)


def _packed(candidates: Sequence[Candidate]) -> bytes:
    """By column, and texts joined, for marshal is slow with many small objects. No text of ours holds a NUL:
    an address may not, and in JSON it is escaped. Version 2 of marshal does not look for equal objects."""
    kinds, orders, files, lines, addresses, domains, keys, fields, problems = zip(*candidates, strict=True)
    texts = "\0".join(addresses), b"\0".join(domains), "\0".join(fields)
    return marshal.dumps((kinds, orders, files, lines, keys, problems, *texts), 2)


def _unpacked(block: bytes) -> list[Candidate]:
    kinds, orders, files, lines, keys, problems, addresses, domains, fields = marshal.loads(block)
    texts = addresses.split("\0"), domains.split(b"\0"), fields.split("\0")
    columns = zip(kinds, orders, files, lines, texts[0], texts[1], keys, texts[2], problems, strict=True)
    return list(map(Candidate._make, columns))


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
