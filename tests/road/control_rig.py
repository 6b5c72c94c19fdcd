"""What tests of a run that is spoken to have in common: to give the word, and to see what comes of it."""

from __future__ import annotations

import contextlib
import os

import trio
from road_rig import people, states_of

from bulkmail.campaign import config, control, operator
from bulkmail.cli import exit_code
from bulkmail.journal import STATES, CampaignLock, Store
from bulkmail.sandbox import World

ONE_BY_ONE = {"transaction": "individual", "connections": 2}
FLAGS = {1: ("--yes", "--new"), 2: ("--yes", "--new", "--workers", "2")}
MANY = people(60)


def journal(road):
    return road.folder / ".bulkmail" / "road.journal"


async def order(road, word):
    """The answers that the verb gets; it is not the verb's process that is tried here."""
    campaign = config.load(road.folder / "campaign.yaml", environ=os.environ)
    return await trio.to_thread.run_sync(lambda: list(operator.order(campaign, word)), abandon_on_cancel=True)


def bulkmail(road, capsys, *words):
    """What a verb says, and its exit code; none of these here needs a loop of its own."""
    with contextlib.chdir(road.folder):
        code = exit_code(words)
    said = capsys.readouterr()
    return code, said.out + said.err


def mails(world: World) -> int:
    return sum(line.startswith("MAIL") for one in world.ledger.sessions for line in one.commands)


def states(road) -> list[str]:
    """Of everybody, once nobody runs the campaign, their sum being the source."""
    with CampaignLock(journal(road)), Store.open(journal(road)) as store:
        totals = store.totals()
        assert totals["source"] == sum(totals[state] for state in STATES)
        return sorted(states_of(store)[0].values())


async def seen_from_above(road, enough):
    """What `top` is told until it is enough."""
    found = []

    def look() -> None:
        for answer in control.ask(control.socket_path(journal(road)), {"do": "top"}):
            found.append(answer)
            if enough(answer):
                return

    await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    return found


async def drains(road) -> None:
    """Return when the run does, with all of its workers: whoever answers has heard what was said before."""

    def all_of_it(answer) -> bool:
        return answer["done"] or (
            answer["stopping"] and sum(row["connections"] for row in answer["rows"]) == 2
        )

    await seen_from_above(road, all_of_it)


async def open_messages(held, count: int) -> None:
    while held.messages < count:
        await trio.lowlevel.checkpoint()
