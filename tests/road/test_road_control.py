"""Paused, gone on with and cancelled from outside, over real processes: what the other side sees of it.

The host holds back the reply to the end of data, so that the test and not the clock decides what is open when
the word is given; what is said after its answer is counted in the host's own account.
"""

from __future__ import annotations

import os
import signal
import stat

import pytest
import trio
from control_rig import FLAGS, MANY, ONE_BY_ONE, bulkmail, journal, mails, open_messages, order, states
from road_child import running

from bulkmail.campaign import control
from bulkmail.journal import CampaignLock
from bulkmail.sandbox import World


@pytest.mark.parametrize("workers", [1, 2])
async def test_after_the_answer_to_pause_no_mail_is_said_until_resume(world: World, road, held, workers):
    world.domain("a.test")
    async with running(road, *MANY, flags=FLAGS[workers], **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        (paused,) = await order(road, "pause")
        said = mails(world)
        held.release.set()  # what is open is finished, and nothing follows it
        await child.event("paused")
        while (await child.event("progress"))["totals"]["delivered"] < said:
            pass
        await child.event("progress")
        quiet = mails(world), dict(world.ledger.copies)
        (resumed,) = await order(road, "resume")
        finished = await child.last()
    assert (paused["did"], paused["running"], paused["totals"]["delivered"]) == ("pause", True, 0)
    assert quiet == (said, dict.fromkeys(quiet[1], 1))
    assert (len(quiet[1]), resumed["already"], finished["exit"]) == (said, False, 0)
    assert (states(road), world.ledger.copies) == (["delivered"] * 60, dict.fromkeys(MANY, 1))
    assert [event["event"] for event in child.events if event["event"] in ("paused", "resumed")] == [
        "paused",
        "resumed",
    ]


@pytest.mark.parametrize("workers", [1, 2])
async def test_cancelled_what_is_open_is_finished_and_the_rest_is_cancelled(
    world: World, road, held, workers, capsys
):
    world.domain("a.test")
    async with running(road, *MANY, flags=FLAGS[workers], **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        async with trio.open_nursery() as nursery:
            answers: list[object] = []

            async def cancel() -> None:
                answers.extend(await order(road, "cancel"))

            nursery.start_soon(cancel)
            await child.event("cancelled")
            said = mails(world)
            held.release.set()
        finished = await child.last()
    code, text = bulkmail(road, capsys, "run", "campaign.yaml", "--yes")
    first, last = answers
    delivered = len(world.ledger.copies)
    assert (child.process.returncode, finished["exit"], mails(world)) == (8, 8, said)
    assert (first["done"], last["done"], last["totals"]) == (False, True, finished["totals"])
    assert finished["totals"]["cancelled"] == 60 - delivered
    assert states(road) == ["cancelled"] * (60 - delivered) + ["delivered"] * delivered
    assert code == 8
    assert f"{delivered} were delivered to, {60 - delivered} cancelled" in text


async def test_a_paused_run_that_is_killed_stays_paused(world: World, road, held, capsys):
    """J1: and its socket, which answers nobody any more, is in nobody's way."""
    world.domain("a.test")
    async with running(road, *MANY, **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        await order(road, "pause")
        held.release.set()
        await child.event("paused")
        while (await child.event("progress"))["totals"]["delivered"] < 2:
            pass
        child.process.kill()
    socket = control.socket_path(journal(road))
    assert stat.S_ISSOCK(socket.stat().st_mode)
    code, text = bulkmail(road, capsys, "run", "campaign.yaml", "--yes")
    said = mails(world)
    (resumed,) = await order(road, "resume")
    report = await road.send(*MANY, **ONE_BY_ONE)
    assert (code, said, "paused by the operator" in text, "bulkmail resume" in text) == (7, 2, True, True)
    assert (resumed["running"], report.exit, socket.exists()) == (False, 0, False)
    assert (states(road), world.ledger.copies) == (["delivered"] * 60, dict.fromkeys(MANY, 1))


async def test_an_interrupt_of_a_paused_run_ends_it_paused(world: World, road, held):
    """P1."""
    world.domain("a.test")
    async with running(road, *MANY, **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        await order(road, "pause")
        held.release.set()
        child.process.send_signal(signal.SIGINT)
        finished = await child.last()
    assert (child.process.returncode, finished["exit"]) == (7, 7)
    (resumed,) = await order(road, "resume")
    assert (resumed["already"], resumed["totals"]["pending"]) == (False, 58)


async def test_two_who_pause_at_once_are_both_answered_when_it_is_done(world: World, road, held):
    world.domain("a.test")
    answers: list[object] = []

    async def pause() -> None:
        answers.extend(await order(road, "pause"))

    async with running(road, *MANY, **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pause)
            nursery.start_soon(pause)
        said = mails(world)
        held.release.set()
        await child.event("paused")
        await order(road, "resume")
        await child.last()
    assert said == 2
    assert sorted(answer["already"] for answer in answers) == [False, True]


async def test_whoever_pauses_while_the_list_is_read_is_heeded_before_the_first_mail(world: World, road):
    """Who has the campaign's lock does not listen yet: here the test itself."""
    world.domain("a.test")
    road.file(*MANY, **ONE_BY_ONE)
    with CampaignLock(journal(road)):
        (waits,) = await order(road, "pause")
    async with running(road, *MANY, **ONE_BY_ONE) as child:
        await child.event("paused")
        said = mails(world)
        (answer,) = await order(road, "resume")
        finished = await child.last()
    assert (f"pid {os.getpid()}" in waits["waits_for"], said) == (True, 0)
    assert (answer["already"], finished["exit"]) == (False, 0)
    assert control.wanted(journal(road)) == ""


async def test_without_a_run_the_word_is_kept_in_the_journal(world: World, road, held, capsys):
    world.domain("a.test")
    async with running(road, *MANY, **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        child.process.send_signal(signal.SIGINT)
        await child.event("stopping")
        held.release.set()
        await child.last()
    paused = bulkmail(road, capsys, "pause", "campaign.yaml")
    again = bulkmail(road, capsys, "pause", "campaign.yaml")
    run = bulkmail(road, capsys, "run", "campaign.yaml")
    asked = bulkmail(road, capsys, "cancel", "campaign.yaml")
    cancelled = bulkmail(road, capsys, "cancel", "campaign.yaml", "--yes")
    after = bulkmail(road, capsys, "pause", "campaign.yaml")
    assert "is paused, 58 are left" in paused[1]
    assert "is paused already" in again[1]
    assert (run[0], asked[0], "--yes" in asked[1]) == (7, 2, True)
    assert "2 delivered, 58 cancelled" in cancelled[1]
    assert "nothing to pause" in after[1]
    assert (states(road), mails(world)) == (["cancelled"] * 58 + ["delivered"] * 2, 2)


async def test_a_finished_campaign_is_neither_paused_nor_cancelled(world: World, road):
    world.domain("a.test")
    report = await road.send("ann@a.test")
    (paused,) = await order(road, "pause")
    (cancelled,) = await order(road, "cancel")
    again = await road.send("ann@a.test")
    assert (report.exit, paused["paused"], cancelled["cancelled"], again.exit) == (0, None, None, 0)


async def test_of_a_killed_run_who_may_have_it_is_in_doubt_and_not_cancelled(world: World, road, held):
    """J1: also where the campaign resends who is in doubt."""
    world.domain("a.test")
    async with running(road, *MANY, on_doubt="resend", **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        child.process.kill()
    (cancelled,) = await order(road, "cancel")
    assert (cancelled["totals"]["in_doubt"], cancelled["totals"]["cancelled"]) == (2, 58)
    assert states(road) == ["cancelled"] * 58 + ["in_doubt"] * 2


async def test_only_the_user_of_the_campaign_may_speak_to_it(world: World, road, held):
    world.domain("a.test")
    async with running(road, *MANY, **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        mode = control.socket_path(journal(road)).stat().st_mode
        held.release.set()
        await child.last()
    assert stat.S_IMODE(mode) == 0o600


async def test_who_is_suppressed_while_the_run_goes_gets_no_mail(world: World, road, held, capsys):
    """H3: by the verb, and with a pause in between."""
    world.domain("a.test")
    async with running(road, *MANY, **ONE_BY_ONE) as child:
        await open_messages(held, 2)
        await order(road, "pause")
        taken = set(world.ledger.copies)
        unwanted = [address for address in MANY if address not in taken]
        code, _ = bulkmail(road, capsys, "suppress", "add", *unwanted, "--project", "campaign.yaml")
        await order(road, "resume")
        held.release.set()
        finished = await child.last()
    assert (code, finished["exit"], finished["totals"]["suppressed"]) == (0, 0, 58)
    assert set(world.ledger.copies) == taken
