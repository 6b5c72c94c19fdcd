"""What a session had is let go when it ends, not when Python's collector happens to look: it looks seldom."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from post_office import Post, office

from bulkmail import sandbox
from bulkmail.delivery import session as sessions


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
async def test_a_session_that_has_ended_is_in_no_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[object]] = []

    class Seen(sessions._Session):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            alive.append(weakref.ref(self))

    monkeypatch.setattr(sessions, "_Session", Seen)
    world = sandbox.World()
    world.domain("a.test")
    async with office(world, Post()) as there:
        await there.deliver(3)
        assert (len(alive), [one() for one in alive if one() is not None]) == (1, [])
