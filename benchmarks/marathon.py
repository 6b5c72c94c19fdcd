"""Who runs campaigns as long as he is given any: the long-lived process of endurance.py.

A line on standard input names a campaign file, and says how many seconds after the begin of a run a SIGINT
comes, once for each; the campaign is run until it is settled. Then a line on standard output says what this
process has, when everything that can be let go has been.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from bulkmail.campaign import config, runner
from bulkmail.campaign.prepare import prepared
from bulkmail.campaign.runner import Until

RESUMABLE = (5, 130)
AGAIN_S = 0.3  # between two Ctrl-C of one operator


async def main() -> None:
    async with trio.lowlevel.FdStream(os.dup(0)) as given:
        rest = b""
        async for data in given:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                print(json.dumps(await campaign(json.loads(line))), flush=True)


async def campaign(wanted: dict[str, Any]) -> dict[str, int]:
    runs = 0
    for after_s in [*wanted["signals"], None]:
        runs += 1
        code = await run(Path(wanted["file"]), after_s, twice=runs % 2 == 0)
        if code not in RESUMABLE:
            break
    if code not in (0, 4):
        raise RuntimeError(f"it ended with {code}")
    return {"runs": runs, "signals": runs - 1, **has()}


async def run(file: Path, after_s: float | None, *, twice: bool) -> int:
    """One run, interrupted after so long unless it ends before; the exit code that the command would have."""

    def tell(event: Any) -> None:
        if event["event"] == "started" and after_s is not None:
            operator.start_soon(interrupt, after_s, twice)
        elif event["event"] == "finished":  # from now on nobody listens to signals
            operator.cancel_scope.cancel()

    loaded = config.load(file, environ=os.environ)
    async with trio.open_nursery() as operator:
        with prepared(loaded, accept=frozenset(), anew=True, tell=tell) as ready:
            ready.freeze()
            with trio.CancelScope(shield=True):
                outcome = await runner.run(ready, tell=tell, until=Until())
    return outcome.exit


async def interrupt(after_s: float, twice: bool) -> None:
    await trio.sleep(after_s)
    os.kill(os.getpid(), signal.SIGINT)
    if twice:
        await trio.sleep(AGAIN_S)
        os.kill(os.getpid(), signal.SIGINT)


def has() -> dict[str, int]:
    """Memory in octets, and how many of everything else."""
    gc.collect()
    with suppress(AttributeError, OSError):  # another C library has no such thing
        ctypes.CDLL(None).malloc_trim(0)
    kept = {"Rss:": 0, "Private_Clean:": 0, "Private_Dirty:": 0}
    for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()[1:]:
        name, size, *_ = line.split()
        if name in kept:
            kept[name] = int(size) * 1024
    return {
        "rss": kept["Rss:"],
        "uss": kept["Private_Clean:"] + kept["Private_Dirty:"],
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # one is that of the look itself
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "threads": threading.active_count(),
        "objects": len(gc.get_objects()),
    }


if __name__ == "__main__":
    trio.run(main)
    sys.exit(0)
