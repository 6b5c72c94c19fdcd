"""`world` is an empty internet, `road` the campaign that runs on it, `send` the call that most tests need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from road_rig import Report, Road

from bulkmail import sandbox


@pytest.fixture
def world() -> sandbox.World:
    return sandbox.World()


@pytest.fixture
async def road(world: sandbox.World, tmp_path: Path) -> AsyncIterator[Road]:
    async with sandbox.serve(world) as running:
        yield Road(running, tmp_path)


@pytest.fixture
async def send(road: Road) -> Callable[..., Awaitable[Report]]:
    return road.send
