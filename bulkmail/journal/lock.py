"""One runner for one campaign: an flock that lasts until the last process that inherited it is gone.

The kernel frees it, whatever killed them; nothing here can go stale. What the file says is only for people.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from bulkmail.errors import CampaignLocked, StoreError, refusal
from bulkmail.journal.files import make_directory

NAMELESS = "it does not say who it is"
NAMELESS_S = 1.0  # for which one may be who has taken the lock
LOOKED_S = 0.1  # who only looks (`holder`) has it for an instant, beside the name of one who was killed


class CampaignLock:
    """The right to run the campaign whose journal is at `journal`; `with` it, or `acquire` and never let go.

    The descriptor is inheritable: worker processes hold the lock on after their parent (FAULTS.md P5).
    """

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(journal.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise CampaignLocked naming who has it (J4). Never waits for it. StoreError."""
        if self._descriptor is not None:
            raise CampaignLocked(f"{self.path}: this very object holds it already")
        descriptor = _open(self.path)
        try:
            self._take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.set_inheritable(descriptor, True)
        self._descriptor = descriptor

    def _take(self, descriptor: int) -> None:
        began = time.monotonic()
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    # whoever has just taken it says in the next moment who he is
                    holder = _read(descriptor)
                    if time.monotonic() - began > (LOOKED_S if holder else NAMELESS_S):
                        raise CampaignLocked(
                            f"another run holds this campaign: {holder or NAMELESS}"
                        ) from None
                    time.sleep(0.001)
            started = datetime.now(UTC).isoformat(timespec="seconds")
            os.ftruncate(descriptor, 0)
            os.pwrite(
                descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {started}\n".encode(), 0
            )
        except OSError as error:
            raise refusal(error, f"{self.path}: cannot be locked") from error

    def release(self) -> None:
        """Let go, unless a child still holds it. The file stays: removing it would let two in."""
        if self._descriptor is not None:
            # Emptied only for people: who looks now is not told of somebody who is gone.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    @classmethod
    def holder(cls, journal: Path) -> str | None:
        """Who runs the campaign now, for people; None where nobody does. Takes nothing."""
        path = cls(journal).path
        if not path.exists():
            return None
        descriptor = _open(path)
        try:
            # Shared, so that two who ask do not see each other; a runner that starts in this instant waits
            # for longer than we look.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(descriptor) or NAMELESS
        finally:
            os.close(descriptor)
        return None

    def __enter__(self) -> CampaignLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _open(path: Path) -> int:
    try:
        make_directory(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(
            f"{error.filename} is not a folder. Move it away, or name another `state`."
        ) from error
    except OSError as error:
        raise refusal(error, f"{path}: cannot be opened") from error


def _read(descriptor: int) -> str:
    """Who has it, as far as he says."""
    text = os.pread(descriptor, 500, 0).decode("utf-8", "replace").strip()
    return text if text.isprintable() else NAMELESS
