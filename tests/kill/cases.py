"""Cases by name: a name says all of what is tried, so that a case can be tried again alone.

    moments/SEED/NUMBER                a campaign of hundreds, killed ten times at random moments
    calls/WAY/SEED/N                   killed at the N-th call that changes a file, and in the resume again
    power/WAY/SEED/N                   the same, and what was not synced is lost, or some of it
    steps/WAY/SEED/N                   killed, or warned, at the N-th step of the protocol
    disk/WAY/ERROR/N                   the N-th call fails: ENOSPC, EIO …; "s" behind it: and all later ones
    again/WAY/ERROR/N                  the same in the run that follows one that was killed
    lost/WAY/ERROR/N                   the same, and the power goes when the run has stopped
    two/WAY/SEED/N                     another run is started N milliseconds after the first
    short/WAY/SEED/N                   the N-th write is a short one
    told/WAY/WORD/N                    told the WORD while it sends, and killed at the N-th call
    verb/WAY/WORD/N                    a run is killed, and then the WORD at its N-th call

WAY names a small campaign by how its letters go; WORD is pause, resume, cancel or suppress; the rest is
drawn from the name.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.kill.orders import Order, told, verb
from tests.kill.power import Cut
from tests.kill.process import Blow, Two
from tests.kill.scenario import Scenario, draw, small
from tests.kill.shim import How, Strike
from tests.kill.steps import Act, Step, Victim

KILLS_PER_CAMPAIGN = 10
WAYS = (
    *("plain", "riding", "breath", "shared", "grouped", "resend"),
    *("workers", "workers-shared", "warming", "workers-warming"),
)
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS", "EACCES")}
MOST_BLOWS = 12
ENUMERATED = "0"  # the seed of campaigns that are gone through call by call: each is struck less often
FAMILIES = {
    "calls": 40,
    "power": 20,
    "steps": 25,
    "moments": 8,
    "disk": 4,
    "lost": 2,
    "told": 4,
    "verb": 3,
    "two": 1,
}
HOWS = (How.BEFORE, How.AFTER, How.TORN, How.TORN)


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    scenario: Scenario
    blows: tuple[Blow, ...]
    cut: Cut = ""
    order: Order | None = None


def case(name: str) -> Case:
    """Raises ValueError for a name that means nothing."""
    match name.split("/"):
        case ["moments", seed, number]:
            scenario = draw(int(seed), int(number), kills=KILLS_PER_CAMPAIGN)
            return Case(name, scenario, scenario.moments)
        case [("told" | "verb") as family, way, word, number] if way in WAYS:
            make = told if family == "told" else verb
            return Case(name, small(way, "0"), (), order=make(random.Random(name), word, int(number)))
        case [
            ("calls" | "power" | "steps" | "disk" | "again" | "lost" | "short" | "two") as family,
            way,
            seed,
            number,
        ] if way in WAYS:
            # an enumeration is of one campaign: only what befalls it differs
            scenario = small(way, seed if seed.isdigit() else "0")
            rng = random.Random(name)
            at = int(number)
            if family == "calls":
                return Case(name, scenario, _calls(rng, at, _more(seed)))
            if family == "power":
                return Case(
                    name, scenario, _calls(rng, at, _more(seed), alone=False), rng.choice(("all", "some"))
                )
            if family == "steps":
                return Case(name, scenario, _steps(rng, at, _more(seed), scenario.workers))
            if family == "two":
                return Case(name, scenario, (Two(at / 1000),))
            if family == "short":
                return Case(name, scenario, (Strike(at, How.SHORT, keep=rng.choice((0, 300, 999))),))
            error = ERRORS[seed.removesuffix("s")]
            blow = Strike(at, How.FAIL, error, lasting=seed.endswith("s"))
            if family == "again":
                killed = Strike(rng.randint(250, 340), rng.choice(HOWS), keep=rng.randint(0, 999))
                return Case(name, scenario, (killed, blow))
            return Case(name, scenario, (blow,), rng.choice(("all", "some")) if family == "lost" else "")
    raise ValueError(f"{name} is no case")


def _more(seed: str) -> float:
    """How likely another blow follows the last one."""
    return 0.5 if seed == ENUMERATED else 0.85


def _calls(rng: random.Random, at: int, more: float, *, alone: bool = True) -> tuple[Blow, ...]:
    how = rng.choice(HOWS)
    group = not alone or rng.random() < 0.7
    blows = [Strike(at, how, group=group, keep=rng.randint(0, 999))]
    while len(blows) < MOST_BLOWS and rng.random() < more:
        # in the recovery, which is the beginning of the next run, or soon after
        how = rng.choice(HOWS)
        blows.append(Strike(rng.randint(1, rng.choice((40, 160))), how, keep=rng.randint(0, 999)))
    return tuple(blows)


def _steps(rng: random.Random, at: int, more: float, workers: int) -> tuple[Blow, ...]:
    acts: tuple[Act, ...] = ("SIGKILL", "SIGTERM", "SIGINT", "SIGINT twice")
    victims: tuple[Victim, ...] = ("all", "parent", "worker") if workers > 1 else ("all",)
    blows = [Step(at, rng.choices(acts, (70, 10, 10, 10))[0], rng.choice(victims))]
    while len(blows) < MOST_BLOWS and rng.random() < more:
        blows.append(Step(rng.randint(1, 80), "SIGKILL", rng.choice(victims)))
    return tuple(blows)


def drawn(seed: int) -> Iterator[str]:
    """Names without end, of all kinds."""
    rng = random.Random(f"{seed} and its cases")
    number = 0
    while True:
        family = rng.choices(tuple(FAMILIES), tuple(FAMILIES.values()))[0]
        number += 1
        if family == "moments":
            yield f"moments/{seed}/{number}"
            continue
        way = rng.choice(WAYS)
        third = f"{seed}{number}"
        if family in ("disk", "lost"):
            third = rng.choice(("ENOSPC", "ENOSPCs", "EIO", "EIOs"))
        elif family in ("told", "verb"):
            third = rng.choice(("pause", "cancel", "suppress", *(("resume",) if family == "verb" else ())))
        if family == "two":
            at = rng.randint(0, 100)
        elif family == "steps":
            at = rng.randint(1, 200)
        elif family == "verb":
            at = rng.randint(1, 60)
        else:  # a plan takes about 250 of them
            at = rng.randint(1, 250) if rng.random() < 0.3 else rng.randint(240, 360)
        yield f"{family}/{way}/{third}/{at}"
