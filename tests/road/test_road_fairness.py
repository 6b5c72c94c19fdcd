"""Twenty domains, one of them 70% of the list and slow: the other nineteen finish as if it were not there.

Groups of the large one have a recipient more, so that they are the first of the plan, all of them.
"""

from __future__ import annotations

import random
from pathlib import Path

from street import LARGE, LATE_S, SMALL, Person, done_at

from bulkmail import sandbox

GROUPS = 240  # of each small domain: those of all of them cannot be out at once
WITHIN = 1.05


def of_the_large_one(small: list[Person], each: int) -> list[Person]:
    return [(f"p{n}@{LARGE}", f"{n // each}") for n in range(len(small) * 7 // 3)]


def furnish(world: sandbox.World) -> None:
    for name in SMALL:
        world.domain(name)
    world.domain(LARGE).tarpit(LATE_S)


def in_disorder(people: list[Person]) -> list[Person]:
    return random.Random(1).sample(people, len(people))


async def longest(folder: Path, alone: list[Person], *lists: list[Person], **settings: object) -> list[float]:
    """For each of the lists, how much longer than alone the one takes who is held up most."""
    times = []
    for number, people in enumerate([alone, *lists]):
        (there := folder / str(number)).mkdir()
        times.append(await done_at(there, people, furnish=furnish, **settings))
    return [max(found[name] / times[0][name] for name in SMALL) for found in times[1:]]


async def test_small_domains_in_groups_finish_as_if_a_slow_large_one_were_not_there(tmp_path, autojump_clock):
    """P3. Whatever the order of the list."""
    small = [(f"p{n}@{name}", f"{n}") for name in SMALL for n in range(GROUPS)]
    large = of_the_large_one(small, 2)
    found = await longest(tmp_path, small, large + small, in_disorder(large + small))
    assert max(found) <= WITHIN, found


async def test_small_domains_with_a_message_each_finish_as_if_a_slow_large_one_were_not_there(
    tmp_path, autojump_clock
):
    """P3."""
    small = [(f"p{n}@{name}", "") for name in SMALL for n in range(60)]
    found = await longest(tmp_path, small, of_the_large_one(small, 1) + small, to="{{ email }}")
    assert max(found) <= WITHIN, found
