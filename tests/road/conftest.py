"""`world` is an empty internet, `road` the campaign that runs on it, `send` the call that most tests need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from road_child import Held
from road_rig import Report, Road

from bulkmail import sandbox
from bulkmail.sandbox.smtp import Conversation
from bulkmail.smtp import Message


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


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held()
    answer = Conversation._answer

    async def answer_when_told(self: Conversation, event: object) -> None:
        await answer(self, event)
        if isinstance(event, Message):
            held.messages += 1
            held.arrived.set()
            await held.release.wait()

    monkeypatch.setattr(Conversation, "_answer", answer_when_told)
    return held
