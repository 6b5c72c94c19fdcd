"""`bulkmail run` in a process of its own, and a host that waits with its reply until the test lets it go.

Every event that the process prints is held to `schema --events`, whatever the test is about.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from road_events import complaints
from road_rig import PATIENCE_S


class Child:
    """`bulkmail run` in a process of its own; its events, one by one. `events`: those that were read."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        assert process.stdout is not None
        self._out = process.stdout
        self._rest = b""

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name. EOFError where none comes."""
        async for event in self:
            if event["event"] == name:
                return event
        raise EOFError(f"no {name}")

    async def last(self) -> dict[str, Any]:
        """The last event, once there are no more."""
        async for _ in self:
            pass
        return self.events[-1]

    def __aiter__(self) -> Child:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            data = await self._out.receive_some()
            if not data:
                assert self._rest == b""
                raise StopAsyncIteration
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        assert complaints(event) == []
        self.events.append(event)
        return event


@asynccontextmanager
async def running(road, *addresses, flags=("--yes", "--new"), **settings) -> AsyncIterator[Child]:
    file = road.file(*addresses, **settings)
    command = [sys.executable, "-m", "bulkmail", "run", str(file), "--json", *flags]
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
            env=dict(os.environ),
        )
        process = await nursery.start(run)
        with trio.fail_after(PATIENCE_S):
            yield Child(process)
            await process.wait()


class Held:
    """Messages that have come whole and whose 250 waits until the test lets it go."""

    def __init__(self) -> None:
        self.arrived = trio.Event()
        self.release = trio.Event()
        self.messages = 0
