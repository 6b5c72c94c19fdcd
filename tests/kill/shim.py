"""What strikes at the N-th write or sync: `shim.c`, built when it is first needed, seen from Python.

A process that is to be struck must have been started with the shim (`with_shim`); what it forks has it, too.
A `Control` lies in memory that it shares with those; the child of a fork calls `arm` with it and from then on
every call that changes a file below the folder counts, in that process and in its workers.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
LOADED = "BULKMAIL_KILL_SHIM"  # in the environment of who has it
FOREVER = (1 << 62) - 1


class Kind(IntEnum):
    """What a call does."""

    WRITE = 1
    SYNC = 2
    TRUNCATE = 3
    CREATE = 4
    RENAME = 5
    UNLINK = 6
    MKDIR = 7
    RMDIR = 8
    OPEN = 9  # to be written


class How(IntEnum):
    """What befalls the call."""

    COUNT = 0
    BEFORE = 1  # killed before it
    AFTER = 2
    TORN = 3  # a write reaches the file in part, then killed; another call: before it
    FAIL = 4
    SHORT = 5  # a write is told to have been shorter than it was to be


# What is full can still be opened, and emptied.
_FULL = frozenset(Kind) - {Kind.UNLINK, Kind.RMDIR, Kind.OPEN}
_LASTING = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL}  # what fails from then on; others: everything


@dataclass(frozen=True, slots=True)
class Strike:
    """What befalls the `at`th call of a run.

    `error`: with which errno it fails. `lasting`: and all later ones, too.
    """

    at: int
    how: How
    error: int = 0
    lasting: bool = False
    group: bool = True  # the whole run is killed, not the process alone that calls
    keep: int = 500  # octets of a thousand that a torn or short write is left with

    def __str__(self) -> str:
        what = self.how.name.lower()
        if self.how is How.FAIL:
            what = f"failing with {os.strerror(self.error)}{' from then on' if self.lasting else ''}"
        return f"{what} at call {self.at}"


class _Layout(ctypes.Structure):
    """`struct control`."""

    _fields_ = [
        ("at", ctypes.c_int64),
        ("until", ctypes.c_int64),
        ("blow", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("kinds", ctypes.c_int32),
        ("group", ctypes.c_int32),
        ("keep", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("struck", ctypes.c_int64),
        ("struck_kind", ctypes.c_int32),
        ("failed", ctypes.c_int32),
        ("struck_ns", ctypes.c_int64),
        ("mails", ctypes.c_int64),
        ("trace", ctypes.c_int32),
        ("spare", ctypes.c_int32),
        ("struck_path", ctypes.c_char * 512),
        ("folder", ctypes.c_char * 512),
        ("seen", ctypes.c_uint8 * 8192),
    ]


class Control:
    """One run's control block, and what came of it. `folder`: whose files count."""

    def __init__(self, folder: Path, strike: Strike | None, trace: Path | None = None) -> None:
        self._memory = mmap.mmap(-1, ctypes.sizeof(_Layout))
        layout = self._layout = _Layout.from_buffer(self._memory)
        layout.folder = f"{folder.resolve()}/".encode()
        layout.trace = -1
        self._trace = trace
        if strike is not None:
            layout.at, layout.blow, layout.error = strike.at, strike.how, strike.error
            layout.until = FOREVER if strike.lasting else strike.at
            layout.kinds = sum(1 << kind for kind in _LASTING.get(strike.error, Kind))
            layout.group, layout.keep = strike.group, strike.keep

    def arm(self) -> None:
        """In the process that is to be struck."""
        if self._trace is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._layout.trace = os.open(self._trace, flags, 0o600)
        arm: Callable[[object], None] = ctypes.CDLL(None).shim_arm
        arm(ctypes.byref(self._layout))

    @property
    def count(self) -> int:
        """Calls that were made."""
        return int(self._layout.count)

    @property
    def struck(self) -> bool:
        return bool(self._layout.struck)

    @property
    def failed(self) -> int:
        return int(self._layout.failed)

    @property
    def struck_ns(self) -> int:
        """When, by the monotonic clock."""
        return int(self._layout.struck_ns)

    @property
    def mails(self) -> int:
        """MAIL commands that were sent after it."""
        return int(self._layout.mails)

    @property
    def where(self) -> str:
        """What was struck, for people: `WRITE c.journal-wal`."""
        path = os.fsdecode(self._layout.struck_path)
        return f"{Kind(self._layout.struck_kind).name} {path.rpartition('/')[2]}" if self.struck else "-"

    @property
    def calls(self) -> list[Kind]:
        return [Kind(kind) for kind in self._layout.seen[: self.count]]


def possible() -> bool:
    """Whether it can be built and loaded here."""
    return sys.platform == "linux" and shutil.which("cc") is not None


def built() -> Path:
    """The shim as a library; made by `cc` where this source was not built before."""
    source = SOURCE.read_bytes()
    folder = Path(tempfile.gettempdir()) / f"bulkmail-shim-{os.getuid()}"
    library = folder / f"{hashlib.sha256(source).hexdigest()[:16]}.so"
    if not library.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        new = library.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(new), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        new.rename(library)
    return library


def with_shim() -> None:
    """Go on as a process that has it: this one is executed anew, with the same command line, if need be."""
    if os.environ.get(LOADED) == "yes":
        return
    environment = {**os.environ, LOADED: "yes", "LD_PRELOAD": str(built())}
    sys.stdout.flush()
    os.execve(sys.executable, sys.orig_argv, environment)
