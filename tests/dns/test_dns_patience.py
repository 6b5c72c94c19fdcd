"""How long a name is waited for that nobody answers. The clock stands still unless the test moves it."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from dns_responder import Responder

from bulkmail.dns.resolver import Resolver, Status


@pytest.mark.parametrize(("others", "after_s"), [(False, 15), (True, 10)])
async def test_a_silent_name_is_given_up_sooner_where_the_server_answers_others(
    others: bool, after_s: float, mock_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """D1."""
    names: Responder = await nursery.start(Responder().serve)
    names.silent.add(("silent.test", "MX"))
    names.add("b.test", "MX 10 mx.b.test.")
    resolver = Resolver([names.address])
    given_up = trio.Event()
    took = 0.0

    async def ask() -> None:
        nonlocal took
        began = trio.current_time()
        answer = await resolver.mx("silent.test")
        assert answer.status is Status.FAILED
        took = trio.current_time() - began
        given_up.set()

    async def asked(times: int) -> None:
        while names.count("silent.test", "MX") < times:
            await trio.testing.wait_all_tasks_blocked(0.001)

    nursery.start_soon(ask)
    await asked(1)
    if others:
        await resolver.mx("b.test")
    mock_clock.jump(2)
    await asked(2)
    mock_clock.jump(3)
    await asked(3)
    mock_clock.jump(after_s - 5 - 0.1)
    await trio.testing.wait_all_tasks_blocked()
    too_early = given_up.is_set()
    mock_clock.jump(0.1)
    await given_up.wait()
    assert (too_early, took) == (False, pytest.approx(after_s))
    nursery.cancel_scope.cancel()
