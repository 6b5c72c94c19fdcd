"""The command as a process of its own: interrupted once, interrupted twice, and asked where its state went.

The host holds back the reply to the end of data, so that the test and not the clock decides what is open when
the signal comes.
"""

from __future__ import annotations

import shutil
import signal

import trio
from road_child import running
from road_rig import people, states_of

from bulkmail.journal import STATES, Store

ONE_BY_ONE = {"transaction": "individual", "connections": 2}


def states(road) -> dict[str, str]:
    with Store.open(road.folder / ".bulkmail" / "road.journal") as store:
        totals = store.totals()
        assert totals["source"] == sum(totals[state] for state in STATES)
        return states_of(store)[0]


async def test_one_interrupt_drains_and_the_next_run_finishes(world, road, held):
    """P1."""
    world.domain("a.test")
    addresses = people(8)
    async with running(road, *addresses, **ONE_BY_ONE) as child:
        await held.arrived.wait()
        child.process.send_signal(signal.SIGINT)
        await child.event("stopping")
        held.release.set()
        finished = await child.event("finished")
    first, drained = states(road), dict(world.ledger.copies)
    report = await road.send(*addresses, **ONE_BY_ONE)
    assert (child.process.returncode, finished["exit"]) == (5, 5)
    assert {address for address, state in first.items() if state == "delivered"} == drained.keys()
    assert set(first.values()) == {"delivered", "pending"}
    assert set(report.kinds().values()) == {"delivered"}


async def test_a_second_interrupt_stops_at_once_and_what_was_open_is_in_doubt(world, road, held):
    """P2."""
    world.domain("a.test")
    addresses = people(8)
    async with running(road, *addresses, **ONE_BY_ONE) as child:
        await held.arrived.wait()
        child.process.send_signal(signal.SIGINT)
        await child.event("stopping")
        child.process.send_signal(signal.SIGINT)
        finished = await child.event("finished")
    first, taken = states(road), dict(world.ledger.copies)
    held.release.set()
    report = await road.send(*addresses, **ONE_BY_ONE)
    assert (child.process.returncode, finished["exit"]) == (130, 130)
    assert {address for address, state in first.items() if state == "in_doubt"} == taken.keys()
    assert set(first.values()) == {"in_doubt", "pending"}
    assert (report.exit, report.totals["in_doubt"] + report.totals["delivered"]) == (4, 8)


async def test_an_interrupt_while_a_host_is_silent_puts_nobody_in_doubt(world, road):
    """P2: no end of data was on its way."""
    world.domain("a.test").stall("RCPT")
    async with running(road, "ann@a.test") as child:
        await child.event("started")
        while not any("RCPT" in c for session in world.ledger.sessions for c in session.commands):
            await trio.lowlevel.checkpoint()
        child.process.send_signal(signal.SIGTERM)
        await child.event("stopping")
        child.process.send_signal(signal.SIGTERM)
        await child.event("finished")
    assert (child.process.returncode, states(road)) == (130, {"ann@a.test": "pending"})


async def test_a_real_send_without_a_state_directory_needs_a_word(world, road):
    """I13."""
    world.domain("a.test")
    async with running(road, "ann@a.test", flags=["--yes"]) as child:
        pass
    assert (child.process.returncode, world.ledger.connections) == (2, 0)
    async with running(road, "ann@a.test", flags=["--yes", "--new"]) as child:
        await child.event("finished")
    assert (child.process.returncode, world.ledger.copies["ann@a.test"]) == (0, 1)


async def test_a_lost_state_directory_does_not_become_a_second_mailing(world, road):
    """I13."""
    world.domain("a.test")
    async with running(road, "ann@a.test") as child:
        await child.event("finished")
    shutil.rmtree(road.folder / ".bulkmail")
    async with running(road, "ann@a.test", flags=["--yes"]) as child:
        pass
    assert (child.process.returncode, world.ledger.copies["ann@a.test"]) == (2, 1)


async def test_a_real_send_asks_and_where_nobody_can_answer_nothing_is_sent(world, road):
    world.domain("a.test")
    async with running(road, "ann@a.test", flags=["--new"]) as child:
        pass
    assert (child.process.returncode, world.ledger.connections) == (2, 0)
