"""Slots: taken at once where one is free, waited for where none is, never more of them than there are."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bulkmail.delivery.slots import LEAST_S, MOMENT_S, POLITE_S, Slots


async def test_a_free_slot_is_had_at_once_and_the_probes_leave_room_for_others() -> None:
    slots = Slots(4)
    took = [slots.enter_now(guest, probing=guest < 3) for guest in range(5)]
    assert (took, slots.taken) == ([True, True, False, True, True], 4)
    slots.proven(0)
    assert not slots.enter_now(5, probing=True)
    slots.leave(1)
    assert slots.enter_now(5, probing=True)


async def test_nobody_who_comes_later_overtakes_who_waits(autojump_clock: trio.testing.MockClock) -> None:
    slots = Slots(2)
    entered: list[int] = []

    async def enter(guest: int) -> None:
        await slots.enter(guest, probing=True)
        entered.append(guest)

    assert slots.enter_now(0, probing=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter, 1)
        await wait_all_tasks_blocked()
        slots.leave(0)
        assert not slots.enter_now(2, probing=True)
    assert entered == [1]
    assert slots.taken == 1


async def test_who_is_stopped_while_waiting_leaves_his_place_to_the_next() -> None:
    slots = Slots(2)
    assert slots.enter_now(0, probing=False)
    assert slots.enter_now(1, probing=False)
    with trio.CancelScope() as stopped:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(slots.enter, 2, probing=True))
            await wait_all_tasks_blocked()
            stopped.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(slots.enter, 3, probing=True))  # the only probe, which nobody has kept
        await wait_all_tasks_blocked()
        slots.leave(0)
    assert slots.taken == 2
    slots.leave(1)
    slots.proven(3)
    assert slots.enter_now(4, probing=True)


async def test_what_is_given_up_for_a_shortage_comes_back_to_who_waits() -> None:
    slots = Slots(4)
    for guest in range(4):
        assert slots.enter_now(guest, probing=False)
    slots.shed(10.0)
    slots.shed(10.5)  # the same shortage
    slots.leave(0)  # three are still inside, of three
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(slots.enter, 4, probing=False))
        await wait_all_tasks_blocked()
        assert (slots.total, slots.taken) == (3, 3)
        slots.recover()
    assert (slots.total, slots.taken) == (4, 4)


async def entered(slots: Slots, guest: int, *, gave_up: list[int] | None = None) -> None:
    await slots.enter(guest, probing=False)
    if gave_up is None:
        slots.conversing(guest)
    else:
        slots.dialling(guest, lambda: gave_up.append(guest))


async def test_whose_peer_is_silent_is_set_aside_and_others_have_the_slot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """P3."""
    slots = Slots(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.watch)
        for guest in range(4):
            await entered(slots, guest)
        await trio.sleep(LEAST_S)
        full = slots.taken, slots.enter_now(4, probing=False)  # there is no room to set more aside
        for guest in range(4):
            slots.heard(guest)  # and are in, all of them
        slots.leave(0)
        slots.leave(1)
        assert not slots.enter_now(4, probing=False)
        slots.leave(2)
        assert (full, slots.enter_now(4, probing=False)) == ((4, False), True)
        nursery.cancel_scope.cancel()


async def test_a_probe_that_is_set_aside_is_none_any_more(autojump_clock: trio.testing.MockClock) -> None:
    """P3."""
    slots = Slots(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.watch)
        assert slots.enter_now(0, probing=True)
        assert not slots.enter_now(1, probing=True)
        slots.dialling(0, lambda: None)
        await slots.enter(1, probing=True)
        assert trio.current_time() == autojump_clock.current_time() == pytest.approx(MOMENT_S)
        nursery.cancel_scope.cancel()


async def test_where_too_many_are_silent_the_longest_gives_up_if_it_was_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """P3: one that converses does not, for his message may be on its way."""
    slots = Slots(2)
    gave_up: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.watch)
        await entered(slots, 0)
        await entered(slots, 1, gave_up=gave_up)
        await trio.sleep(1.0)
        await entered(slots, 2, gave_up=gave_up)
        await trio.sleep(LEAST_S - 2.0)
        before = list(gave_up)
        await trio.sleep(2.0)
        assert (before, gave_up, slots.taken) == ([], [1], 3)
        assert slots.talking == 2  # the one who is not greeted yet holds no messages
        nursery.cancel_scope.cancel()


async def test_who_waits_and_not_for_his_peer_is_set_aside_and_has_all_his_time_when_he_dials(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """P3."""
    slots = Slots(1)
    gave_up: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.watch)
        assert slots.enter_now(0, probing=False)
        slots.queued(0)
        await entered(slots, 1, gave_up=[])  # for whom there is no room beside the slot
        await trio.sleep(10 * LEAST_S)
        talking, dialled = slots.talking, trio.current_time()
        slots.dialling(0, lambda: gave_up.append(trio.current_time() - dialled))
        await trio.sleep(2 * LEAST_S)
        nursery.cancel_scope.cancel()
    assert (talking, len(gave_up)) == (0, 1)
    assert LEAST_S <= gave_up[0] <= LEAST_S + 2 * MOMENT_S


async def test_who_was_greeted_is_not_left_without_a_word_however_many_talk(
    autojump_clock: trio.testing.MockClock,
) -> None:
    slots = Slots(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.watch)
        assert slots.enter_now("first", probing=False)
        slots.dialling("first", lambda: None)
        await trio.sleep(2 * MOMENT_S)
        assert slots.enter_now("talks on and on", probing=False)
        began = trio.current_time()
        await slots.greeted("first", probing=True)
        waited_s = trio.current_time() - began
        nursery.cancel_scope.cancel()
    assert (waited_s, slots.taken) == (POLITE_S, 2)
