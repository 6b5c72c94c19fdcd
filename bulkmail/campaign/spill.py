"""A list that does not fit into memory, in pieces that do: partitions on disk, by a hash.

Candidates are appended to one of 64 files by a hash of their domain, in big blocks, so that afterwards each
file holds all of its domains, in source order, and can be handled alone. Whoever gets a partition that is
still too large spills it again by further bits of the hash, or by another key. A list that fits is never
written at all. Blocks are `marshal`: by far the fastest, and safe here because the folder is private, and
only the process that wrote a block reads it.
"""

from __future__ import annotations

import marshal
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

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


_FAN_OUT_BITS = 6
_FAN_OUT = 1 << _FAN_OUT_BITS
LEVELS = 32 // _FAN_OUT_BITS  # how often a 32-bit hash can be split by further bits
_OVERHEAD = 400  # octets that a candidate takes beside its fields: a tuple of nine, most of them objects


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be in memory at once, by estimate. The defaults are what keeps a million rows below 150 MB."""

    buffered: int = 6 << 20  # octets waiting to be written, in all partitions together
    rows: int = 25_000  # in one partition
    octets: int = 12 << 20  # in one partition

    def fits(self, part: Part) -> bool:
        return part.rows <= self.rows and part.octets <= self.octets


@dataclass(slots=True)
class Part:
    """Candidates that belong together, in the order in which they came; read once."""

    rows: int = 0
    octets: int = 0  # estimated, in memory
    path: Path | None = None
    held: list[Candidate] = field(default_factory=list)

    def blocks(self) -> Iterator[list[Candidate]]:
        """Everything in it, in blocks of bounded size; the file is removed behind the last one."""
        if self.path is not None:
            with _told(), self.path.open("rb") as file:
                while size := file.read(8):
                    yield [Candidate._make(c) for c in marshal.loads(file.read(int.from_bytes(size)))]
            self.path.unlink()
        if self.held:
            held, self.held = self.held, []
            yield held

    def read(self) -> list[Candidate]:
        """Everything in it at once: only for a part that fits."""
        return [candidate for block in self.blocks() for candidate in block]


def by_domain(candidate: Candidate) -> int:
    return zlib.crc32(candidate.domain)


def by_address(candidate: Candidate) -> int:
    return zlib.crc32(candidate.address.encode())


def by_key(candidate: Candidate) -> int:
    return zlib.crc32(candidate.key)


class Spill:
    """Takes candidates, gives them back in parts. Raises StoreError when the disk refuses."""

    def __init__(
        self, folder: Path, key: Callable[[Candidate], int] = by_domain, *, level: int = 0, budget: Budget
    ) -> None:
        self._folder = folder
        self._key = key
        self._shift = level % LEVELS * _FAN_OUT_BITS
        self._budget = budget
        self._parts = [Part() for _ in range(_FAN_OUT)]
        self._buffered = 0
        self._spilled = False

    def extend(self, candidates: Iterable[Candidate]) -> None:
        key, shift, parts = self._key, self._shift, self._parts
        for candidate in candidates:
            part = parts[(key(candidate) >> shift) & (_FAN_OUT - 1)]
            part.held.append(candidate)
            size = _OVERHEAD + len(candidate.fields)
            part.octets += size
            self._buffered += size
            if self._buffered >= self._budget.buffered:
                self._write()

    def parts(self) -> Iterator[Part]:
        """All parts that hold something, in the same order for the same candidates.

        What never had to be written is one part, because a thousand small ones would only cost time.
        """
        parts, self._parts = self._parts, []
        if not self._spilled:
            held = [candidate for part in parts for candidate in part.held]
            if held:
                yield Part(len(held), sum(part.octets for part in parts), None, held)
            return
        for part in parts:
            part.rows += len(part.held)
            if part.rows:
                yield part

    def _write(self) -> None:
        with _told():
            if not self._spilled:
                self._folder.mkdir(mode=0o700)
                self._spilled = True
            for number, part in enumerate(self._parts):
                if part.held:
                    part.path = self._folder / f"{number:02}"
                    _append(part.path, marshal.dumps([tuple(candidate) for candidate in part.held]))
                    part.rows += len(part.held)
                    part.held = []
        self._buffered = 0


def _append(path: Path, block: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(len(block).to_bytes(8))
        file.write(block)


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
