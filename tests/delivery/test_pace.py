"""Rates of several scopes at once: none is ever exceeded, and none is kept waiting for nothing."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkmail.delivery import pace
from bulkmail.delivery.pace import Pace
from bulkmail.delivery.shaping import BURST_S

RATES = st.sampled_from((0.5, 2.0, 10.0, 50.0, 1000.0))


def within(gone: list[tuple[float, int]], rate: float) -> bool:
    """In no stretch of time more than the rate and a tenth of a second of it, beside the first."""
    gone = sorted(gone)
    for first in range(len(gone)):
        units = 0  # but the last, which may begin as soon as what was before is paid for
        for last in range(first, len(gone)):
            if units > rate * (gone[last][0] - gone[first][0] + BURST_S) + 1 + 1e-6:
                return False
            units += gone[last][1]
    return True


async def sent(paces: pace.Paces, gone: list, pauses: list[float], sizes: list[int], most: int) -> None:
    for pause, size in zip(pauses, sizes, strict=True):
        await trio.sleep(pause)
        await pace.turn(paces, size)
        gone.append((trio.current_time(), size))
        count = pace.more(paces, trio.current_time(), [size] * most)
        gone += [(trio.current_time(), size)] * count


PAUSES = st.lists(st.sampled_from((0.0, 0.0, 0.01, 0.3, 7.0)), min_size=1, max_size=8)


@settings(max_examples=40)
@given(st.data())
def test_whoever_shares_what_no_scope_gives_more_than_its_rates(data):
    """A provider, two sites in it, one of them with a domain; transactions of any size."""
    rates = [(data.draw(RATES), data.draw(st.none() | RATES)) for _ in range(4)]
    jobs = [(who, data.draw(PAUSES), data.draw(st.integers(0, 8))) for who in (0, 0, 1, 2, 2)]
    sizes = [[data.draw(st.integers(1, 5)) for _ in pauses] for _, pauses, _ in jobs]

    async def run() -> list[list[tuple[float, int]]]:
        now = trio.current_time()
        provider, one, other, domain = [Pace(each, people, now) for each, people in rates]
        ways = [(one, provider), (other, provider), (domain, one, provider)]
        gone: list[list[tuple[float, int]]] = [[], [], []]
        async with trio.open_nursery() as nursery:
            for (who, pauses, most), size in zip(jobs, sizes, strict=True):
                nursery.start_soon(sent, ways[who], gone[who], pauses, size, most)
        return gone

    plain, other, domain = trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    for mine, (each, people) in zip(
        (plain + other + domain, plain + domain, other, domain), rates, strict=True
    ):
        assert within([(at, 1) for at, _ in mine], each)
        assert people is None or within(mine, people)


async def test_a_site_that_waits_for_its_own_rate_takes_no_turn_of_the_provider(autojump_clock):
    """Nothing is booked in one and lost in the other: the provider's rate is used to the full."""
    now = trio.current_time()
    provider, slow, fast = Pace(10.0, None, now), Pace(0.1, None, now), Pace(1000.0, None, now)
    gone: list[float] = []

    async def send(paces: pace.Paces, count: int) -> None:
        for _ in range(count):
            await pace.turn(paces)
            gone.append(trio.current_time() - now)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(send, (slow, provider), 1)
        for _ in range(4):
            nursery.start_soon(send, (fast, provider), 50)
    assert len(gone) == 205
    assert sum(at <= 10.0 for at in gone) >= 99
    assert max(gone) == pytest.approx(40.0, abs=1.0)


async def test_a_provider_that_has_no_turn_lets_no_site_save_up(autojump_clock):
    now = trio.current_time()
    provider, site = Pace(0.1, None, now), Pace(1.0, None, now)
    provider.book(now, 1)
    gone: list[float] = []

    async def send() -> None:
        await pace.turn((site, provider))
        gone.append(trio.current_time() - now)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(send)
        await trio.sleep(5)
        provider.limit(1000.0, None)
    assert gone == pytest.approx([10.0, 20.0, 21.0 - BURST_S])  # the second turn was there already


async def test_who_gives_up_waiting_at_a_door_leaves_it_to_the_next(autojump_clock):
    now = trio.current_time()
    provider, site = Pace(100.0, None, now), Pace(1.0, None, now)
    await pace.turn((site, provider))
    with trio.move_on_after(0.5):
        await pace.turn((site, provider))
    await pace.turn((site, provider))
    assert trio.current_time() - now == pytest.approx(1.0)


async def test_recipients_who_did_not_go_are_given_back(autojump_clock):
    now = trio.current_time()
    paces = (Pace(None, 10.0, now),)
    await pace.turn(paces, 100)
    pace.adjust(paces, 80)
    await pace.turn(paces, 1)
    assert trio.current_time() - now == pytest.approx(2.0)


async def test_nobody_overtakes_who_waits_for_his_turn(autojump_clock):
    now = trio.current_time()
    paces = (Pace(1.0, None, now), Pace(1000.0, None, now))
    await pace.turn(paces)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pace.turn, paces)
        await trio.sleep(0.5)
        assert pace.more(paces, now + 5.0, [1] * 5) == 0
