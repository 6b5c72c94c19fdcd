"""Who has waited for a moment is told of, once, and whatever the clock says."""

from __future__ import annotations

import trio
import trio.testing

from bulkmail.delivery.watch import Watch


async def test_a_time_that_rounds_badly_is_not_looked_at_for_ever(mock_clock):
    """On a clock that stands still while anybody is awake it would be for ever: `plan --rehearse` has one."""
    moment_s = 5.0
    begin = next(at for at in (n * 0.001 for n in range(1, 10_000)) if (at + moment_s) - moment_s < at)
    told: list[str] = []
    watch: Watch[str] = Watch(moment_s, lambda guest: not told.append(guest))  # type: ignore[func-returns-value]
    mock_clock.jump(begin - trio.current_time())
    assert trio.current_time() == begin
    async with trio.open_nursery() as nursery:
        watch.begin("ann")
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(moment_s)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert told == ["ann"]
