"""Reading a log: beside the process that writes it, or what a crash has left of it.

A line that is not whole ends what can be read: it is being written at this moment, or was when the process
was killed; so do NULs, where the next line would have been. Nothing is written behind a line that did not
reach the disk; so where something whole stands behind, the file was damaged later, and what it had told as
safe cannot be known (FAULTS.md J6).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bulkmail.errors import StoreError
from bulkmail.journal.log_file import FORMAT, decode, segment_path, segments, told
from bulkmail.journal.records import Entry, Mark

CHUNK_OCTETS = 1 << 20


class Tail:
    """The entries of one log behind `mark`, as they come. Raises StoreError; close it."""

    def __init__(self, journal: Path, identity: str, mark: Mark) -> None:
        self.mark = mark  # all before it was given out
        self._journal = journal
        self._identity = identity
        self._file: int | None = None

    def read(self) -> Iterator[tuple[list[Entry], Mark]]:
        """What is there, line by line, with the mark behind it. Ends where nothing whole follows yet."""
        while True:
            # Looked for first: once there is a later segment, this one grows no more.
            later = [one for one in segments(self._journal).get(self.mark.log, []) if one > self.mark.segment]
            yield from self._read_segment()
            if not later:
                return
            if self._file is not None and not self._at_end():
                raise self._damaged()
            self.close()
            self.mark = Mark(self.mark.log, later[0], 0)

    def read_rest(self) -> Iterator[tuple[list[Entry], Mark]]:
        """`read` once more, when nobody writes to it any more. StoreError also where it is damaged."""
        yield from self.read()
        if self._file is not None and any(self._decoded(line) is not None for line in self._lines()):
            raise self._damaged()

    def close(self) -> None:
        """Idempotent; `read` opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def _path(self) -> Path:
        return segment_path(self._journal, self.mark.log, self.mark.segment)

    def _read_segment(self) -> Iterator[tuple[list[Entry], Mark]]:
        if not self._open():
            return
        for line in self._lines():
            if self.mark.offset == 0:
                self._check_header(line)
                entries: list[Entry] | None = []
            else:
                entries = self._decoded(line)
                if entries is None:
                    return
            self.mark = self.mark._replace(offset=self.mark.offset + len(line) + 1)
            if entries:
                yield entries, self.mark

    def _decoded(self, line: bytes) -> list[Entry] | None:
        try:
            return decode(line)
        except ValueError as error:
            raise self._damaged() from error

    def _open(self) -> bool:
        if self._file is None:
            with told(self._path, "read"), contextlib.suppress(FileNotFoundError):
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._file is not None

    def _lines(self) -> Iterator[bytes]:
        """Lines behind the mark, which moves as they are taken."""
        offset, rest = self.mark.offset, b""
        while chunk := self._pread(offset):
            offset += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def _at_end(self) -> bool:
        """Nothing follows, or what was reserved by a process that was killed before it wrote there."""
        offset = self.mark.offset
        while (chunk := self._pread(offset)) and not chunk.strip(b"\0"):
            offset += len(chunk)
        return not chunk

    def _pread(self, offset: int) -> bytes:
        assert self._file is not None
        with told(self._path, "read"):
            return os.pread(self._file, CHUNK_OCTETS, offset)

    def _check_header(self, line: bytes) -> None:
        match line.split():
            case [b"bulkmail", b"log", version, *_] if version.isdigit() and int(version) > FORMAT:
                raise StoreError(
                    f"{self._path}: was written by a newer bulkmail (format {int(version)}, this one knows "
                    f"{FORMAT}). Upgrade bulkmail; nothing was changed."
                )
            case [b"bulkmail", b"log", _, identity, log, segment]:
                mine = (self._identity.encode(), b"%d" % self.mark.log, b"%d" % self.mark.segment)
                if (identity, log, segment) != mine:
                    raise StoreError(
                        f"{self._path}: is the log of another journal. Put back the journal that it belongs "
                        "to, or move it away."
                    )
            case _:
                raise StoreError(f"{self._path}: is not a log of bulkmail. {ADVICE}")

    def _damaged(self) -> StoreError:
        return StoreError(f"{self._path}: is damaged at octet {self.mark.offset}. {ADVICE}")


ADVICE = (
    "Do not delete it: it may be the only one to know who has been mailed. Put back a copy of it. Without "
    "one the journal lists people as open who have the message: the accounting log, or the servers', must "
    "tell who. Then move it and the journal away, and send under a new campaign name to the others alone."
)
