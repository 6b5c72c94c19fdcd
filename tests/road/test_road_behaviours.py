"""Every behaviour of the sandbox by its name, beside all the others in one run: what becomes of whom.

In the default world a domain whose first label is the name of a behaviour has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from road_rig import FIRST_PASS, people

from bulkmail import sandbox
from bulkmail.sandbox.catalogue import CATALOGUE, HOST
from bulkmail.sandbox.values import MISSING

COUNT = 6  # people of each domain
# Would leave this machine; takes its time, and has it in tests/dns; and a second for which a busy machine may
# be idle in the midst of sending: who is hung up on for that is in test_road_421.py.
ELSEWHERE = {"mx-ip", "dns-timeout", "idle-close"}
MUTE = {"black-hole", "never-greets", "slow", "tarpit"}  # for who waits for a greeting
SILENT = {"stall", "stops-reading", "flushes-input"}  # for who waits for a later reply

# What becomes of the first, of the second …; the last word is that of all others. Else: delivered.
FATES: Mapping[str, str] = {
    "nxdomain": "bounced",
    "servfail": "deferred",
    "mx-unresolvable": "bounced",
    "mx-servfail": "deferred",
    "null-mx": "bounced",
    "refuse-connections": "deferred",
    "reset": "deferred",
    "black-hole": "deferred",
    "never-greets": "deferred",
    "slow": "deferred",
    "tarpit": "deferred",
    "stops-reading": "in_doubt in_doubt in_doubt deferred",  # three in a row, then it is left alone
    "blocked": "deferred",
    "busy": "deferred",
    "greets-354": "deferred",
    "greets-http": "deferred",
    "greets-binary": "deferred",
    "mixed-codes": "deferred",
    "endless-lines": "deferred",
    "endless-line": "deferred",
    "escapes": "bounced",
    "wrong-enhanced": "bounced",
    "missing-reply": "deferred delivered",
    "tls-extra": "deferred",
    "drop": "deferred",
    "drop-body": "bounced",
    "drop-before-accepting": "in_doubt delivered",
    "drop-after-accepting": "in_doubt delivered",
    "stall": "in_doubt in_doubt in_doubt deferred",
    "refuse-mail": "bounced bounced bounced deferred",  # the sender: not the whole list is to bounce
    "refuse-data": "deferred deferred delivered",  # two by DATA, then there is BDAT
    "refuse-content": "bounced",
    "refuse-then-close": "bounced bounced bounced deferred",
    "flushes-input": "deferred delivered",
    "greylist": "deferred",
    "greylisting": "deferred",
    "unknown": "bounced",
    "full": "deferred",
    "later": "deferred",
}
NAMES = [name for name, row in CATALOGUE.items() if row.default is not MISSING and row.where != HOST]
OTHERS = {*NAMES} - ELSEWHERE - MUTE - SILENT


@pytest.fixture
def world() -> sandbox.World:
    return sandbox.World.default()


def fates(name: str) -> list[str]:
    first = FATES.get(name, "delivered").split()
    return first + first[-1:] * (COUNT - len(first))


@pytest.mark.parametrize(
    ("names", "limits"),
    [
        (OTHERS, {}),
        (MUTE, {"connect": "300ms", "greeting": "300ms"}),
        (SILENT, {"rcpt": "2s", "data": "2s", "end_of_data": "2s"}),
    ],
    ids=["talking", "mute", "silent"],
)
async def test_each_behaviour_does_to_a_campaign_what_its_name_says(world, send, names, limits):
    there = {name: people(COUNT, f"{name}.test") for name in sorted(names)}
    report = await send(
        *(one for everybody in there.values() for one in everybody),
        until=FIRST_PASS,
        transaction="individual",
        connections=1,
        time_limits=limits,
        retry={"first": "1h", "max": "1h", "give_up": "1d"},
    )
    found = {name: [report.states[one] for one in everybody] for name, everybody in there.items()}
    assert found == {name: fates(name) for name in there}


def test_every_fate_is_that_of_a_behaviour() -> None:
    assert FATES.keys() - {*NAMES} == set()
