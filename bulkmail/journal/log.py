"""What happens, in a file of the process that sees it: appended, synced, taken into the store later.

Nothing is sent, and nothing settled, before it is on disk; but SQLite would make a transaction of it, with
pages and checkpoints. So a process appends to a log of its own, and the one that has the store takes logs in,
many entries at once, and keeps with them how far it came (`Mark`). After a crash the rest is still here.

Group commit: a sync takes as long for one entry as for a thousand. So it begins when all tasks but wait:
until then any may have something to add, and the processor is not idle. While the disk is busy, what callers
append gathers; when it is free, all of it is written at once, and everybody who waited for that is woken.

A file that grows with each write makes the file system sync its own log as well, and wait for what others
have in it. So the file grows by AHEAD_OCTETS of NULs at a time, and lines are written over them.

What the file looks like is told in log_file.py.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from functools import partial

import trio

from bulkmail.errors import StoreError
from bulkmail.journal.disk import Disk, QuickDisk
from bulkmail.journal.log_file import LogName, encode_lines, sync_directory, told
from bulkmail.journal.records import Entry, Intent, Mark, Record

try:
    # where pytest is installed, trio.testing loads it: 120 modules, 7 MB
    from trio._core._run import wait_all_tasks_blocked
except ImportError:  # another trio: the public name, which is the same
    from trio.testing import wait_all_tasks_blocked

SEGMENT_OCTETS = 16 << 20
AHEAD_OCTETS = 64 << 10  # more takes longer than is done on the spot, see disk.py
# For how long at most a sync waits for others to join. Where somebody always has something to do, all never
# wait, and it costs whoever waits alone: so less each time that it was in vain, down to what a sync takes.
LEAST_GATHER_S, GATHER_S = 0.0005, 0.02


class _Group:
    """What is written at once, and who waits for it."""

    __slots__ = ("entries", "failure", "then", "waiting", "written")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.then: list[Callable[[], None]] = []
        self.waiting = 0
        self.written = trio.Event()
        self.failure: StoreError | None = None


class Log:
    """A log that this process writes. Nobody else may, and nobody writes to it twice: see Store.new_log.

    Once anything has failed, everything does (FAULTS.md J3): a sync that failed may have lost what came
    before it. `written` is told of every group that is on disk, and where it ends. The file appears with the
    first write.
    """

    def __init__(
        self,
        name: LogName,
        *,
        disk: Disk | None = None,
        written: Callable[[Sequence[Entry], Mark], None] = lambda _entries, _mark: None,
    ) -> None:
        self.name = name
        self.mark = Mark(name.log, name.segment, 0)  # all before it is on disk
        self.writes = 0
        self.failure: StoreError | None = None
        self._disk = QuickDisk() if disk is None else disk
        self._on_written = written
        self._next = _Group()
        self._writing: _Group | None = None
        self._starting = False
        self.patience_s = GATHER_S  # for how long the next sync waits for others
        self._closed = False
        self._file: int | None = None
        self._segment = name.segment
        self._offset = 0
        self._room = 0  # how long the file is: NULs from the offset on

    # --- for tasks ------------------------------------------------------------------------------------

    def append(
        self,
        records: Sequence[Record] = (),
        intents: Sequence[Intent] = (),
        closed: Sequence[int] = (),
        then: Callable[[], None] | None = None,
    ) -> None:
        """Say what happened; on disk after the next `sync`. Order is kept. Raises StoreError.

        `then` is called once it is on disk, and never where that fails; it must not raise.
        """
        self.check()
        if self._closed:
            raise StoreError(f"{self.name.path(self._segment)}: is closed")
        self._next.entries.append((records, intents, closed))
        if then is not None:
            self._next.then.append(then)

    async def sync(self) -> Mark:
        """All that was appended before the call is on disk when it returns. Raises StoreError.

        So it does where that is on disk, and something later has failed meanwhile. A caller that is
        cancelled takes nothing back.
        """
        self.check()
        if self._next.entries:
            group = self._next
        elif self._writing is not None:
            group = self._writing
        else:
            await trio.lowlevel.checkpoint()
            return self.mark
        group.waiting += 1
        try:
            if self._writing is None and not self._starting:
                self._starting = True
                try:
                    await self._gather()
                finally:
                    self._starting = False
                self._write_next()
            await group.written.wait()
        finally:
            group.waiting -= 1
        if group.failure is not None:
            raise type(group.failure)(str(group.failure)) from group.failure
        self.check()  # something else may have failed by the time we were woken: nothing more is to begin
        return self.mark

    async def _gather(self) -> None:
        """Who is about to append something can join: until all but wait."""
        with trio.CancelScope(deadline=trio.current_time() + self.patience_s, shield=True) as scope:
            await wait_all_tasks_blocked()
        if scope.cancelled_caught:
            self.patience_s = max(LEAST_GATHER_S, self.patience_s / 2)
        else:
            self.patience_s = min(GATHER_S, self.patience_s * 2)

    def check(self) -> None:
        """Raise StoreError where something has failed."""
        if self.failure is not None:
            raise type(self.failure)(str(self.failure)) from self.failure

    def fail(self, error: BaseException) -> None:
        """Nothing more is taken, and whoever waits is told."""
        if self.failure is None:
            self.failure = (
                error if isinstance(error, StoreError) else StoreError(f"the journal failed: {error!r}")
            )
        if self._writing is None:
            self._end(self._next, self.failure)

    def close(self) -> None:
        """Write what was appended, and let go. Raises StoreError; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._disk.close()
        try:
            if self._next.entries and self.failure is None:
                self._writing, self._next = self._next, _Group()
                try:
                    self._write(encode_lines(self._writing.entries))
                except BaseException as error:
                    self._written(error)
                    raise
                self._written(None)
        finally:
            self._end_segment()

    def _write_next(self) -> None:
        if self.failure is not None or not self._next.entries:
            return
        group = self._writing = self._next
        self._next = _Group()
        try:
            # here, because what holds the interpreter is not done faster by another thread
            lines = encode_lines(group.entries)
            self._disk.submit(partial(self._write, lines), self._written)
        except Exception as error:  # such as no thread to be had
            if self._writing is not group:  # it was submitted, and what came after it is to blame
                raise
            self._written(error)

    def _written(self, error: BaseException | None) -> None:
        group, self._writing = self._writing, None
        assert group is not None
        if error is None:
            self.writes += 1
            self.mark = Mark(self.name.log, self._segment, self._offset)
            self._end(group, None)
            self._on_written(group.entries, self.mark)
            for then in group.then:
                then()
        else:
            self.fail(error)
            self._end(group, self.failure)
        if self.failure is not None:
            self._end(self._next, self.failure)
        elif self._next.waiting and not self._closed:
            self._write_next()

    @staticmethod
    def _end(group: _Group, failure: StoreError | None) -> None:
        group.failure = failure
        group.written.set()

    # --- on the disk's side ---------------------------------------------------------------------------

    def _write(self, lines: Sequence[bytes]) -> None:
        path = self.name.path(self._segment)
        with told(path, "written"):
            # One by one, the header too: none reaches the disk before the one in front of it. Where the
            # power goes, any page of a write may be missing, and nothing whole may stand behind that.
            for line in lines:
                if self._file is None or self._offset >= SEGMENT_OCTETS:
                    self._write_line(self._begin_segment())
                    sync_directory(path.parent)
                self._write_line(line)

    def _write_line(self, line: bytes) -> None:
        assert self._file is not None
        end = self._offset + len(line)
        if end > self._room:
            line += bytes(AHEAD_OCTETS)
        left, at = memoryview(line), self._offset
        while left:
            written = os.pwrite(self._file, left, at)
            left, at = left[written:], at + written
        os.fdatasync(self._file)
        self._offset, self._room = end, max(self._room, at)

    def _begin_segment(self) -> bytes:
        """Make the next file, and return its header."""
        if self._file is not None:
            self._end_segment()
            self._segment += 1
            self._offset = self._room = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(self.name.path(self._segment), flags, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # so that nobody removes it; see `remove`
        return self.name.header(self._segment)

    def _end_segment(self) -> None:
        if self._file is None:
            return
        try:
            if self.failure is None:
                with told(self.name.path(self._segment), "written"):
                    os.ftruncate(self._file, self._offset)
        finally:
            os.close(self._file)
            self._file = None
