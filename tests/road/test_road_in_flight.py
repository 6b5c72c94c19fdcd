"""Several messages in flight on the whole road: stopped, cut off or refused in the middle.

The host holds back its reply to one end of data and all replies behind it, so that the test and not the clock
decides what is open when the signal comes.
"""

from __future__ import annotations

import signal

import pytest
import trio
from road_child import running
from road_rig import people, states_of

from bulkmail.journal import STATES, Store
from bulkmail.sandbox.smtp import Conversation
from bulkmail.smtp import Message

FEW_AT_ONCE = {"transaction": "individual", "connections": 1}
WINDOW = 8
SLIDES = 9 + WINDOW // 2 + 1  # three times one message, two, four, and half of the first window of eight


class HeldFrom:
    """The reply to the `first` message and all behind it wait until the test lets them go.

    `arrived`: it is there; where the window has `slid`, so are those who follow upon the replies before it.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.slid = first >= SLIDES
        self.messages = 0
        self.arrived = trio.Event()
        self.release = trio.Event()


@pytest.fixture
def held_from(monkeypatch: pytest.MonkeyPatch):
    """Replies to what came before it have left."""

    def hold(first: int) -> HeldFrom:
        held = HeldFrom(first)
        answer = Conversation._answer

        async def answer_when_told(self: Conversation, event: object) -> None:
            if isinstance(event, Message):
                held.messages += 1
                if held.messages >= first:
                    await self._flush()
                    if held.messages == first and held.slid:
                        self._protocol.receive_data(await self._wire.receive())
                    held.arrived.set()
                    await held.release.wait()
            await answer(self, event)

        monkeypatch.setattr(Conversation, "_answer", answer_when_told)
        return held

    return hold


def states(road) -> dict[str, str]:
    with Store.open(road.folder / ".bulkmail" / "road.journal") as store:
        totals = store.totals()
        assert totals["source"] == sum(totals[state] for state in STATES)
        return states_of(store)[0]


def count(kinds: dict[str, str]) -> dict[str, int]:
    return {kind: list(kinds.values()).count(kind) for kind in sorted(set(kinds.values()))}


# By the window: three times one message, two, four, then eight; once six of them are answered, six more.
@pytest.mark.parametrize(("first", "drained"), [(2, 2), (4, 5), (7, 9), (12, 17), (16, 23)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_drains_what_is_in_flight_and_begins_nothing_new(
    world, road, held_from, number, first, drained
):
    """P1."""
    world.domain("a.test")
    held = held_from(first)
    addresses = people(40)
    async with running(road, *addresses, **FEW_AT_ONCE) as child:
        await held.arrived.wait()
        child.process.send_signal(number)
        await child.event("stopping")
        held.release.set()
        finished = await child.event("finished")
    assert (child.process.returncode, finished["exit"]) == (5, 5)
    assert count(states(road)) == {"delivered": drained, "pending": 40 - drained}
    assert sum(world.ledger.copies.values()) == drained
    report = await road.send(*addresses, **FEW_AT_ONCE)
    assert (report.totals["delivered"], max(world.ledger.copies.values())) == (40, 1)


@pytest.mark.parametrize(
    ("first", "answered", "open_"), [(2, 1, 1), (4, 3, 2), (7, 6, 3), (12, 11, 6), (16, 15, 8)]
)
async def test_a_second_signal_leaves_in_doubt_what_was_in_flight_and_nobody_else(
    world, road, held_from, first, answered, open_
):
    """P2: by the precedence rule; answered is answered, what was sent whole is in doubt, the rest pending."""
    world.domain("a.test")
    held = held_from(first)
    addresses = people(40)
    async with running(road, *addresses, **FEW_AT_ONCE) as child:
        await held.arrived.wait()
        child.process.send_signal(signal.SIGINT)
        await child.event("stopping")
        child.process.send_signal(signal.SIGINT)
        await child.event("finished")
    kinds = states(road)
    assert child.process.returncode == 130
    assert count(kinds) == {"delivered": answered, "in_doubt": open_, "pending": 40 - answered - open_}
    held.release.set()
    report = await road.send(*addresses, **FEW_AT_ONCE)
    assert (report.totals["in_doubt"], report.totals["delivered"]) == (open_, 40 - open_)


async def test_a_kill_while_the_window_slides_leaves_the_window_in_doubt_and_nobody_else(
    world, road, held_from
):
    """J1: what was answered was on disk before those behind it were sent."""
    world.domain("a.test")
    held = held_from(16)
    addresses = people(40)
    async with running(road, *addresses, **FEW_AT_ONCE) as child:
        await held.arrived.wait()
        child.process.kill()
    held.release.set()
    report = await road.send(*addresses, **FEW_AT_ONCE)
    assert (report.totals["in_doubt"], report.totals["delivered"]) == (WINDOW, 40 - WINDOW)
    assert max(world.ledger.copies.values()) == 1


async def test_who_was_refused_in_a_message_that_was_broken_off_stays_refused(world, road, held_from):
    """P2: shared transactions; of each in flight those who were refused are settled, the others in doubt."""
    domain = world.domain("a.test")
    for number in range(50, 55):
        domain.refuse(f"p{number:05}")
    held = held_from(6)
    addresses = people(200)
    settings = {"connections": 1, "recipients_per_transaction": 10}
    async with running(road, *addresses, **settings) as child:
        await held.arrived.wait()
        child.process.send_signal(signal.SIGINT)
        await child.event("stopping")
        child.process.send_signal(signal.SIGINT)
        await child.event("finished")
    kinds = states(road)
    # five transactions were answered, then four went in one breath, of which the first has its RCPTs answered
    assert count(kinds) == {"bounced": 5, "delivered": 50, "in_doubt": 35, "pending": 110}
    assert {one for one, kind in kinds.items() if kind == "bounced"} == set(addresses[50:55])
    held.release.set()
    report = await road.send(*addresses, **settings)
    assert (report.totals["bounced"], report.totals["in_doubt"]) == (5, 35)


@pytest.mark.parametrize("taken", [True, False])
async def test_a_connection_lost_in_the_middle_of_a_window_leaves_no_more_than_it_in_doubt(
    world, send, taken
):
    """X8: everybody else is delivered to, once; the rig counts."""
    world.domain("a.test").drop("END_OF_DATA", after=12, times=1, accepted=taken)
    report = await send(*people(60), **FEW_AT_ONCE)
    # the thirteenth of 1 + 1 + 1 + 2 + 4 + 8, so five of the eight were not answered
    assert (report.totals["in_doubt"], report.totals["delivered"]) == (5, 55)


async def test_the_campaign_caps_what_may_be_in_doubt(world, send):
    world.domain("a.test").drop("END_OF_DATA", after=9, times=1)
    report = await send(*people(60), messages_in_flight=1, **FEW_AT_ONCE)
    assert (report.totals["in_doubt"], report.totals["delivered"]) == (1, 59)


async def test_a_421_in_the_middle_of_a_window_puts_nobody_in_doubt(world, send):
    """G2: what stands behind it was not processed."""
    world.domain("a.test").reply("END_OF_DATA", b"421 4.3.2 going down", after=9, times=1)
    report = await send(*people(60), **FEW_AT_ONCE)
    attempts = [len(report.histories[one].attempts) for one in report.states]
    assert (report.totals["delivered"], sorted(attempts)[-2:]) == (60, [1, 2])


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
async def test_a_refusal_in_the_middle_of_a_window_moves_nobody_under_another_reverse_path(
    world, road, stage
):
    """X17."""
    (road.folder / "secret").write_text("a secret of at least sixteen characters")
    world.domain("a.test").reply(stage, b"550 5.1.0 refused", after=9, times=1)
    report = await road.send(
        *people(60),
        reverse_path="bounces+{{ token }}@acme.test",
        unsubscribe={"secret": {"file": "secret"}},
        **FEW_AT_ONCE,
    )
    paths = {message.reverse_path for message in report.ledger.messages}
    assert (report.totals["bounced"], report.totals["delivered"], len(paths)) == (1, 59, 59)


@pytest.mark.parametrize("words", [b"502 5.5.1 command not implemented", b"500 what?"])
async def test_a_host_that_refuses_bdat_gets_data_at_once_and_nobody_is_charged(world, send, words):
    """X12."""
    world.domain("a.test").reply("BDAT", words)
    report = await send(*people(60), **FEW_AT_ONCE)
    assert (report.totals["delivered"], {len(one.attempts) for one in report.histories.values()}) == (60, {1})


async def test_a_refused_sender_whose_message_is_taken_all_the_same_is_delivered_and_the_connection_closed(
    world, send
):
    """X3: the host says no to MAIL, and yes to the content that followed unasked."""
    world.domain("a.test").pretend("MAIL", b"550 5.7.1 not you", times=1, after=4)
    report = await send(*people(12), connections=1, transaction="individual")
    assert ({tuple(report.dispositions(one)) for one in report.states}, report.ledger.connections) == (
        {("delivered",)},
        2,
    )
    (noted,) = [one for one in report.states if "550" in report.reply(one) or "MAIL" in report.reply(one)]
    assert report.ledger.copies[noted] == 1
