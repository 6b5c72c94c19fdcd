"""Several processes send one campaign: together as one would; whoever of them is killed, by the law of one.

The host holds back the reply to the end of data, so that the test and not the clock decides what is open when
somebody is killed. Two connections to the only site make one for each worker, with one message open on it.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from pathlib import Path

import pytest
import trio
from control_rig import drains
from road_child import Child, running
from road_rig import PATIENCE_S, people, states_of

from bulkmail.journal import STATES, CampaignLock, Store, Suppressions
from bulkmail.sandbox import World

TWO = ("--yes", "--new", "--workers", "2")
SHARED_SITE = {"transaction": "individual", "connections": 2}
NXDOMAIN = b"\x81\x83"  # the flags of a DNS header
MANY = people(200)  # enough to be worth a second worker


def workers_of(child: Child) -> list[int]:
    pid = child.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def states(road) -> dict[str, str]:
    """Of everybody, once nobody runs the campaign and nothing is left in a log."""
    path = road.folder / ".bulkmail" / "road.journal"
    with CampaignLock(path), Store.open(path) as store:
        assert list(path.parent.glob("*.log")) == []
        totals = store.totals()
        assert totals["source"] == sum(totals[state] for state in STATES)
        return states_of(store)[0]


async def all_gone(road) -> None:
    """Wait for the lock, which the last process of a run frees by ending."""

    def wait() -> None:
        with (road.folder / ".bulkmail" / "road.journal.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    with trio.fail_after(PATIENCE_S):
        await trio.to_thread.run_sync(wait, abandon_on_cancel=True)


async def open_messages(held, count: int) -> None:
    while held.messages < count:
        await trio.lowlevel.checkpoint()


async def test_two_workers_bring_everybody_one_copy_within_the_limits_of_each_site(world: World, road):
    world.domain("b.test")
    world.domain("a.test").host("mx.a.test").greylist("p00003")
    addresses = [*people(300), *people(40, "b.test"), *(f"one@d{n}.test" for n in range(20)), "x@gone.test"]
    for number in range(20):
        world.domain(f"d{number}.test")
    async with running(road, *addresses, flags=TWO, transaction="individual", connections=3) as child:
        started = await child.event("started")
        finished = await child.event("finished")
    found = states(road)
    assert (child.process.returncode, finished["exit"], started["totals"]["pending"]) == (0, 0, 361)
    assert {one: state for one, state in found.items() if state != "delivered"} == {"x@gone.test": "bounced"}
    assert world.ledger.copies == dict.fromkeys(set(found) - {"x@gone.test"}, 1)
    assert world.ledger.peak_by_host["mx.a.test"] <= 3
    assert finished["transactions"] == 361  # one was greylisted, and came twice
    assert finished["connections"] == world.ledger.connections
    log = (road.folder / "accounting.jsonl").read_text().splitlines()
    assert len(log) == 362


async def test_a_worker_that_is_killed_takes_nobody_with_it(world: World, road, held):
    """P5: only who was in its open message is in doubt; the other one sends to the rest."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        first, _ = workers_of(child)
        os.kill(first, signal.SIGKILL)
        warning = await child.event("warning")
        held.release.set()
        finished = await child.event("finished")
    found = states(road)
    doubtful = [address for address, state in found.items() if state == "in_doubt"]
    assert (child.process.returncode, finished["exit"], len(doubtful)) == (4, 4, 1)
    assert f"(process {first}) died: killed by SIGKILL, 1 recipients are in doubt" in warning["text"]
    assert sorted(found.values()) == ["delivered"] * 199 + ["in_doubt"]
    assert world.ledger.copies == dict.fromkeys(MANY, 1)


async def test_without_any_worker_left_the_run_stops_and_the_next_one_goes_on(world: World, road, held):
    """P5."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        for pid in workers_of(child):
            os.kill(pid, signal.SIGKILL)
        stopped = await child.last()
    taken = set(world.ledger.copies)
    held.release.set()
    report = await road.send(*MANY, **SHARED_SITE)
    assert (child.process.returncode, stopped["event"], stopped["exit"]) == (5, "stopped", 5)
    assert "it was the last one" in stopped["reason"]
    assert {one for one, state in report.kinds().items() if state == "in_doubt"} == taken
    assert (len(taken), report.totals["delivered"]) == (2, 198)


async def test_workers_whose_parent_is_killed_end_what_is_open_and_go(world: World, road, held):
    """P5: so nobody is in doubt, and the lock is free when they are gone."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        child.process.kill()
        await child.process.wait()
        held.release.set()
    await all_gone(road)
    taken = dict(world.ledger.copies)
    report = await road.send(*MANY, **SHARED_SITE)
    assert (len(taken) >= 2, set(report.kinds().values())) == (True, {"delivered"})


async def test_while_workers_outlive_their_parent_nobody_else_may_run(world: World, road, held):
    """P5, J4."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        child.process.kill()
        await child.process.wait()
        async with running(road, *MANY, **SHARED_SITE) as second:
            pass
        held.release.set()
    await all_gone(road)
    assert second.process.returncode == 6


async def test_when_all_are_killed_at_once_who_was_open_is_in_doubt(world: World, road, held):
    """P5, J1: what the workers had written down is read first by the next run."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        for pid in (*workers_of(child), child.process.pid):
            os.kill(pid, signal.SIGKILL)
    await all_gone(road)
    taken = set(world.ledger.copies)
    held.release.set()
    report = await road.send(*MANY, **SHARED_SITE)
    assert {one for one, state in report.kinds().items() if state == "in_doubt"} == taken
    assert (len(taken), report.totals["delivered"]) == (2, 198)


async def test_an_interrupt_of_the_whole_group_drains_and_the_next_run_finishes(world: World, road, held):
    """P1."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        for pid in (*workers_of(child), child.process.pid):
            os.kill(pid, signal.SIGINT)
        await child.event("stopping")
        await drains(road)
        held.release.set()
        finished = await child.event("finished")
    found = states(road)
    report = await road.send(*MANY, **SHARED_SITE)
    assert (child.process.returncode, finished["exit"]) == (5, 5)
    assert set(found.values()) == {"delivered", "pending"}
    assert set(report.kinds().values()) == {"delivered"}


async def test_a_signal_while_the_road_is_being_built_lets_the_workers_go(world: World, road):
    """P1: DNS is asked where the relay is before anybody is told to begin."""
    nameserver = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await nameserver.bind(("127.0.0.1", 0))
    host, port = nameserver.getsockname()
    way = {"via": "smtp://relay.test:25", "resolvers": [f"{host}:{port}"], "allow_private": False}
    with nameserver:
        async with running(road, "ann@a.test", flags=TWO, **way) as child:
            query, asker = await nameserver.recvfrom(512)
            child.process.send_signal(signal.SIGINT)
            await child.event("stopping")
            await nameserver.sendto(query[:2] + NXDOMAIN + query[4:], asker)
            finished = await child.last()
    told = [event["event"] for event in child.events]
    assert (child.process.returncode, finished["exit"]) == (5, 5)
    assert told == ["planned", "started", "stopping", "finished"]  # and of nobody's death


@pytest.mark.parametrize("warning", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_stops_all_at_once_and_what_was_open_is_in_doubt(
    world: World, road, held, warning: signal.Signals
):
    """P2."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        child.process.send_signal(warning)
        await child.event("stopping")
        child.process.send_signal(warning)
        finished = await child.event("finished")
    taken = set(world.ledger.copies)
    held.release.set()
    found = states(road)
    assert (child.process.returncode, finished["exit"]) == (130, 130)
    assert {one for one, state in found.items() if state == "in_doubt"} == taken
    assert sorted(found.values()) == ["in_doubt"] * 2 + ["pending"] * 198


async def test_what_one_worker_is_refused_for_good_stops_all(world: World, road, monkeypatch):
    """A relay that does not take our password."""
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    monkeypatch.setenv("RELAY_PASSWORD", "wrong")
    world.host("relay.test").set(relay=True).users({"user": "right"})
    road.defaults = {
        "via": f"smtp://user@relay.test:{road.running.smtp_port}",
        "password": {"env": "RELAY_PASSWORD"},
    }
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        stopped = await child.last()
    assert (child.process.returncode, stopped["event"], "535" in stopped["reason"]) == (5, "stopped", True)
    assert set(states(road).values()) == {"pending"}


async def test_who_asks_for_no_more_mail_gets_none_whichever_worker_has_him(world: World, road, held):
    """H3: the store of suppressions is looked at by each worker."""
    world.domain("a.test")
    async with running(road, *MANY, flags=TWO, **SHARED_SITE) as child:
        await open_messages(held, 2)
        taken = set(world.ledger.copies)
        unwanted = [address for address in MANY if address not in taken]
        with Suppressions.open(road.folder / ".bulkmail" / "project.db") as store:
            store.add(unwanted, "asked for it")
        held.release.set()
        finished = await child.event("finished")
    assert (finished["exit"], set(world.ledger.copies)) == (0, taken)
    assert finished["totals"]["suppressed"] == len(unwanted)


async def test_a_worker_that_cannot_write_its_log_stops_all_before_the_next_mail(world: World, road, held):
    """J3: its disk is full, as far as it can tell."""
    world.domain("a.test")
    quiet = SHARED_SITE | {"log": None}
    async with running(road, *MANY, flags=TWO, **quiet) as child:
        await open_messages(held, 2)
        resource.prlimit(workers_of(child)[0], resource.RLIMIT_FSIZE, (1, 1))
        held.release.set()
        stopped = await child.last()
    report = await road.send(*MANY, **quiet)
    doubtful = [address for address, state in report.kinds().items() if state == "in_doubt"]
    assert (child.process.returncode, stopped["event"], stopped["exit"]) == (5, "stopped", 5)
    assert "road.journal" in stopped["reason"]
    assert (len(doubtful) <= 16, report.totals["delivered"] + len(doubtful)) == (True, 200)
