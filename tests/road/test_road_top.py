"""Looked at while it goes, over real processes: what `top` is told."""

from __future__ import annotations

import signal

import pytest
import trio
from control_rig import FLAGS, MANY, ONE_BY_ONE, bulkmail, open_messages, order, seen_from_above
from road_child import running

from bulkmail.sandbox import World


@pytest.mark.parametrize("workers", [1, 2])
async def test_whoever_looks_sees_each_provider_and_what_holds_it_back(
    world: World, road, held, workers, capsys
):
    world.domain("a.test").refuse(MANY[0], b"451 4.7.1 slow down, too many messages")
    async with running(road, *MANY, flags=FLAGS[workers], **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        (busy,) = await seen_from_above(road, lambda answer: True)
        await order(road, "pause")
        held.release.set()
        paused = await seen_from_above(road, lambda answer: not answer["rows"][0]["connections"])
        async with trio.open_nursery() as nursery:
            ends: list[object] = []

            async def look() -> None:
                ends.extend(await seen_from_above(road, lambda answer: answer["done"]))

            nursery.start_soon(look)
            await order(road, "resume")
            await trio.to_thread.run_sync(child.process.send_signal, signal.SIGINT)
            finished = await child.last()
    (row,) = busy["rows"]
    assert (row["provider"], row["connections"], 0 < row["waiting"] <= 58) == ("a.test", 2, True)
    assert paused[-1]["rows"][0]["held"] == "paused"
    assert paused[-1]["rows"][0]["answered"] >= 2
    assert ends[-1]["totals"] == finished["totals"]
    assert bulkmail(road, capsys, "top", "campaign.yaml")[0] == 0
    assert "does not run now" in bulkmail(road, capsys, "top", "campaign.yaml")[1]
