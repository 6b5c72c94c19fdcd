"""The accounting log: one JSON line per recipient and attempt, written once the journal has it on disk.

The journal is the truth; this is its retelling for other programs. So lines are made at once, and written
when the sync is over that covers what they tell: a crash in between costs lines, and no line says more than
the journal knows. Reply text is escaped before it gets here (FAULTS.md G6).

Several processes may write to one file. Each batch is written under a lock, which the kernel lets go of when
its owner dies; half a line that such a one has left is taken back by who comes next, so that every line there
is can be read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bulkmail.delivery.work import Recipient, Verdict
from bulkmail.errors import StoreError, refusal

STATE_OF_EXPIRED = "expired"


class AccountingLog:
    """Appends to `path`, mode 0600; a campaign that is resumed goes on in the same file.

    Raises StoreError where the file cannot be opened.
    """

    def __init__(self, path: Path, campaign: str) -> None:
        self._campaign = campaign
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise refusal(error, f"the accounting log {path} cannot be opened") from error
        self._descriptor: int | None = descriptor
        self._failure: StoreError | None = None
        self._failure_told = False

    def lines(self, verdicts: Sequence[Verdict], recipients: Iterable[Recipient]) -> bytes:
        """Of those of `recipients` who were attempted."""
        people = {recipient.id: recipient for recipient in recipients}
        lines: list[str] = []
        for verdict in verdicts:
            if not verdict.attempted:
                continue
            disposition, where = verdict.disposition, verdict.where
            common = {
                "tls": where.tls,
                "stage": disposition.stage.value,
                "disposition": STATE_OF_EXPIRED if verdict.expired else disposition.fate.value,
                "class": disposition.meaning.value if disposition.meaning is not None else None,
                "scope": disposition.scope.value,
                "code": disposition.code,
                "enhanced": disposition.status or None,
                "reply": disposition.text,
                "next_attempt": _utc(verdict.due) if verdict.due is not None else None,
            }
            at = _utc(verdict.at)
            for number in range(verdict.first, verdict.last + 1):
                if (one := people.get(number)) is None:
                    continue
                line = {
                    "at": at,
                    "campaign": self._campaign,
                    "recipient": one.address,
                    "attempt": one.attempts + 1,
                    "mx": where.host,
                    "address": where.address,
                    "source": where.source,
                    **common,
                }
                lines.append(json.dumps(line, ensure_ascii=False))
        return "\n".join([*lines, ""]).encode() if lines else b""

    def write(self, lines: bytes) -> None:
        """Append them. Where that fails, `check` or `close` says so: whoever calls this has no ear for it."""
        assert self._descriptor is not None, "it is closed"
        left = memoryview(b"" if self._failure is not None else lines)
        try:
            with _alone(self._descriptor):
                while left:
                    left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self._failure = refusal(error, f"the accounting log {self._path} cannot be written")
            self._failure.__cause__ = error

    def close(self) -> None:
        """Idempotent. Raises StoreError where a failure was not told yet."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if not self._failure_told:
            self.check()

    def check(self) -> None:
        """Raise StoreError where a `write` has failed."""
        if self._failure is not None:
            self._failure_told = True
            raise type(self._failure)(str(self._failure)) from self._failure.__cause__


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Nobody else writes meanwhile, and the file ends with a whole line at first. Raises OSError."""
    with suppress(OSError):  # not every file system has locks
        fcntl.lockf(descriptor, fcntl.LOCK_EX)  # for as long as another batch takes
    try:
        end = whole = os.fstat(descriptor).st_size
        while whole and os.pread(descriptor, 1, whole - 1) != b"\n":
            whole -= 1
        if whole < end:
            os.ftruncate(descriptor, whole)
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
