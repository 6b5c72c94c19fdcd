"""A run is stopped at once at an `await` of its session, on the whole road: the journal knows who has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from road_rig import Road, people
from stepping import Stepper
from ways import only

from bulkmail import sandbox
from bulkmail.campaign import runner
from bulkmail.campaign.ending import Ending
from bulkmail.journal import SiteFile, Store

EVERY = 7  # of the steps: all of them are taken in tests/delivery, where the journal is in memory


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> list[Ending]:
    """That of the latest run."""
    made: list[Ending] = []

    class Told(Ending):
        def __init__(self, *args, **named) -> None:
            super().__init__(*args, **named)
            made[:] = [self]

    monkeypatch.setattr(runner, "Ending", Told)
    return made


def senders(state: Path) -> tuple[list[object], list[str]]:
    """Who says that he sends now, and the locks of those: nobody's leases may stay."""
    assert (state / "sites.db").exists()
    with SiteFile.look(state / "sites.db") as file, file.reading() as db:
        found = db.execute("SELECT id FROM sender UNION SELECT sender FROM lease").fetchall()
    return found, [path.name for path in state.glob("sites.db.*.lock")]


@pytest.mark.parametrize(("way", "first"), [("plain", 1), ("riding", 3), ("whole", 5)])
async def test_wherever_a_run_is_stopped_the_next_brings_everybody_one_copy(way, first, ending, tmp_path):
    """P2, J1."""
    world = sandbox.World()
    world.domain("a.test")
    everybody = people(6)
    async with sandbox.serve(world) as running:
        step, met = first, True
        while met:
            (folder := tmp_path / str(step)).mkdir()
            road = Road(running, folder)
            with only(way, 3), Stepper(step, lambda: ending[0]._everything.cancel()) as stepper:
                await road.send(*everybody, transaction="individual", connections=1)
            met = stepper.met
            while not all(session.ended for session in world.ledger.sessions):
                await trio.lowlevel.checkpoint()
            assert senders(folder / ".bulkmail") == ([], [])
            with Store.open(folder / ".bulkmail" / "road.journal") as store:
                doubted = [one.address for one in store.export("in_doubt")]
                assert all(world.ledger.copies[address] == 1 for address in doubted)
                store.resolve_doubt("delivered", 0.0)
            second = await road.send(*everybody, transaction="individual")
            assert second.totals["delivered"] == len(everybody)
            world.ledger.copies.clear()
            step += EVERY
