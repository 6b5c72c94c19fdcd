"""What a rate belongs to: the machine, the versions, the day, and how long its disk takes for a sync."""

from __future__ import annotations

import os
import platform
import ssl
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bulkmail import __version__

SYNCS = 20


def machine(folder: Path | None) -> dict[str, object]:
    """`sync_ms`: the median time that a small write to `folder` (None: temporary files) takes to last."""
    return {
        "cpu": _processor(),
        "processors": processors(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "bulkmail": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "sync_ms": round(_sync_s(folder) * 1e3, 3),
    }


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _sync_s(folder: Path | None) -> float:
    sync = getattr(os, "fdatasync", os.fsync)
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            file.write(b"." * 4096)
            file.flush()
            began = time.perf_counter()
            sync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)
