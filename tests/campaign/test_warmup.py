"""What is counted of a warm-up in one process: in blocks, beside the loop, and forgotten without a loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from bulkmail.campaign import warmup
from bulkmail.campaign.warmup import DAY_S, Warmup
from bulkmail.journal.quotas import NAME, Quotas
from bulkmail.transport.approach import Source

QUOTA = 10
SOURCE = Source("192.0.2.1", "out.test")
HOSTS = ("mx.a.test", "mx.b.test", "mx.c.test", "mx.d.test")


class Rig:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.day = 20_000.0
        self.warmup = Warmup(
            Quotas.open(path, "c"),
            Quotas.look(path, "c"),
            lambda day: QUOTA,
            provider_of=lambda host: host,
            now=lambda: self.day * DAY_S,
        )

    async def send(self, host: str, wanted: int) -> int:
        await self.warmup.provide(SOURCE, host, wanted)
        return self.warmup.claim(SOURCE, host, wanted)

    def used(self, host: str) -> int:
        with Quotas.look(self.path, "another") as quotas:
            return quotas.used(SOURCE.address, host, int(self.day))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / NAME)
    yield made
    made.warmup.close()


async def test_providers_beyond_those_that_are_remembered_give_back_what_was_not_sent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmup, "STOCKS", 2)
    first, *_ = sent = [await rig.send(host, 3) for host in HOSTS]
    assert (sent, len(rig.warmup._stocks), rig.used(HOSTS[0])) == ([3] * 4, 2, 3)
    assert [await rig.send(HOSTS[0], 9), rig.used(HOSTS[0])] == [QUOTA - first, QUOTA]


async def test_who_waits_for_another_process_to_commit_holds_up_nobody_else(rig: Rig) -> None:
    with Quotas.open(rig.path, "another") as other:
        other._db.execute("BEGIN IMMEDIATE")
        sent = []

        async def send() -> None:
            sent.append(await rig.send(HOSTS[0], 3))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            before = list(sent)
            other._db.execute("ROLLBACK")
    assert (before, sent) == ([], [3])


async def test_many_at_once_are_granted_the_quota_and_not_one_more(rig: Rig) -> None:
    sent: list[int] = []

    async def send() -> None:
        sent.append(await rig.send(HOSTS[0], 4))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(send)
    told = rig.warmup.spent(SOURCE, HOSTS[0])
    assert (sum(sent), rig.used(HOSTS[0]), told is not None) == (QUOTA, QUOTA, True)


async def test_what_did_not_go_may_go_later_on_the_same_day_only(rig: Rig) -> None:
    await rig.send(HOSTS[0], QUOTA)
    await rig.send(HOSTS[0], 1)
    rig.warmup.unclaim(SOURCE, HOSTS[0], 2)
    assert rig.warmup.spent(SOURCE, HOSTS[0]) is None
    assert await rig.send(HOSTS[0], 3) == 2
    rig.day += 1
    rig.warmup.unclaim(SOURCE, HOSTS[0], 2)  # claimed before midnight
    assert await rig.send(HOSTS[0], QUOTA + 2) == QUOTA
