"""The whole road without sockets, threads and real time: a campaign is run against a world of memory.

Waiting costs nothing: five minutes of a greylist are over at once, and the journal has their times. The clock
of the machine is trio's, from EPOCH on. The store does its work inline: a virtual clock would jump past a
thread.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import trio
from click.testing import CliRunner
from road_rig import Report, Road

from bulkmail import sandbox
from bulkmail.campaign import road as real
from bulkmail.campaign import runner, warmup
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.rehearse_road import IndoorRouting, memory_pool
from bulkmail.campaign.way import Way
from bulkmail.cli.explain import command
from bulkmail.journal import Journal
from bulkmail.sandbox.indoors import indoors
from bulkmail.transport.approach import Approach, TlsPolicy

PATIENCE_S = 30 * 86_400.0  # of virtual time
EPOCH = 1_800_000_000.0  # 2027-01-15T08:00:00Z


class Inline:
    """A disk that writes on the spot."""

    def submit(self, work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
        failure = None
        try:
            work()
        except BaseException as problem:
            failure = problem
        done(failure)

    def close(self) -> None:
        pass


async def inline(work: Callable[[], object]) -> object:
    await trio.lowlevel.checkpoint()
    return work()


def journal(store: Any) -> Journal:
    return Journal(store, disk=Inline(), run_sync=inline)


@contextmanager
def in_virtual_time(world: sandbox.World, latency_s: float = 0.0) -> Iterator[None]:
    """Runs go to this world, and the machine's clock is trio's. No progress is told: days are long."""

    @asynccontextmanager
    async def road(campaign: Campaign, keys: Sequence[object]) -> AsyncIterator[real.Road]:
        limits = campaign.shaping.default
        approach = Approach(port=25, ehlo="out.test", tls=TlsPolicy.NONE)
        async with (
            indoors(world, latency_s=latency_s) as there,
            memory_pool(
                there, approach, per_host=limits.connections, messages=limits.messages_per_connection
            ) as pool,
        ):
            yield real.Road(IndoorRouting(there), pool, Way("out.test", 25))

    real_time = time.time

    def now() -> float:
        with contextlib.suppress(RuntimeError):  # not in a run of trio
            return EPOCH + trio.current_time()
        return real_time()

    with (
        patch.object(runner, "road", road),
        patch.object(runner, "PROGRESS_S", PATIENCE_S),
        patch.object(runner, "Journal", journal),
        patch.object(warmup, "in_thread", inline),
        patch("time.time", now),
    ):
        yield


class StillRoad(Road):
    """`Road`, without a served sandbox beside it."""

    def __init__(self, world: sandbox.World, folder: Path, **defaults: Any) -> None:
        super().__init__(None, folder, defaults, PATIENCE_S)  # type: ignore[arg-type]
        self._world = world
        self.latency_s = 0.0  # of each octet, one way

    @property
    def world(self) -> sandbox.World:
        return self._world

    def delivery(self) -> dict[str, Any]:
        return {"via": "mx", "ehlo": "out.test", "retry": {"first": "10m", "max": "4h", "give_up": "2d"}}

    async def send(self, *addresses: str, **settings: Any) -> Report:
        with in_virtual_time(self.world, self.latency_s):
            return await super().send(*addresses, **settings)

    def explained(self, address: str) -> str:
        """What `bulkmail explain` says of somebody."""
        result = CliRunner().invoke(
            command, [str(self.folder / "campaign.yaml"), address], catch_exceptions=False
        )
        return result.output

    def attempts_told(self, address: str) -> list[str]:
        """What it says of each attempt, one text each, which begins with the time."""
        return re.split(r"\n  (?=\d{4}-)", self.explained(address))[1:]
