"""Several campaigns at once, each with a look of its own into one file: together never more than the whole.

The grounds are counters here: what stands, stands until its campaign ends it, however small its part has
become. What real connections do is asserted from the server's side (road/test_road_at_once.py).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from bulkmail.campaign.leasing import DEATHS_S, TURN_S, Leasing
from bulkmail.delivery.shaping import Limits
from bulkmail.journal import Leases, SiteFile

WHOLE = 4
SCOPES = ("google", "example.com")


class Campaign:
    """One process that sends: as many connections at each scope as it may have, where it wants any."""

    def __init__(self, path: Path, name: str, clock: Callable[[], float], *, first: bool = False) -> None:
        self._file = SiteFile.open(path)
        self.name = name
        self._leases = Leases(self._file, name, first=first)
        self.leasing = Leasing(self._leases, self, clock=clock)
        self.wants: set[str] = set()
        self.standing = dict.fromkeys(SCOPES, 0)
        self.booked = 0.0
        self.whole = WHOLE

    # the ground

    def scopes(self) -> set[str]:
        return self.wants | {scope for scope, count in self.standing.items() if count}

    def keeps(self, scope: str) -> bool:
        return self.standing[scope] <= self.may(scope)

    def booked_s(self, scope: str) -> float:
        return self.booked

    def starves(self, scope: str) -> bool:
        return scope in self.wants and not self.may(scope)

    def is_empty(self, scope: str) -> bool:
        return not self.standing[scope]

    def limit_again(self, scopes: Collection[str] | None) -> None:
        pass

    # and what happens there

    def may(self, scope: str) -> int:
        return self.leasing.limited(scope, Limits(self.whole), Limits(self.whole)).connections

    def open(self, scope: str) -> None:
        if scope in self.wants and self.standing[scope] < self.may(scope):
            self.standing[scope] += 1

    def close(self, scope: str) -> None:
        self.standing[scope] = max(0, self.standing[scope] - 1)

    def end(self) -> None:
        self._leases.close()
        self._file.close()

    def die(self) -> None:
        """Nothing is given back, but for what the kernel closes."""
        os.close(self._leases._descriptor)
        self._leases._descriptor = None
        self._file.close()


class Machine:
    """Campaigns and a clock that only the test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.running: list[Campaign] = []
        self._names = 0

    def begins(self, name: str = "", *, first: bool = False, wants: tuple[str, ...] = ()) -> Campaign:
        self._names += 1
        made = Campaign(self.path, name or f"c{self._names}", lambda: self.now, first=first)
        made.wants.update(wants)
        self.running.append(made)
        made.leasing.look()
        return made

    def looks(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 0.25
            for one in self.running:
                one.leasing.look()

    def may(self, scope: str = SCOPES[0]) -> list[int]:
        return [one.may(scope) for one in self.running]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "sites.db")
    yield made
    for one in made.running:
        one.end()


def test_who_is_alone_holds_everything_and_writes_nothing(machine: Machine):
    alone = machine.begins(wants=SCOPES)
    machine.looks(20)
    assert (machine.may(), alone._leases.held()) == ([WHOLE], {})


def test_a_second_campaign_begins_only_when_the_first_has_made_room(machine: Machine):
    a = machine.begins(wants=SCOPES)
    for _ in range(WHOLE):
        a.open("google")
    b = machine.begins(wants=SCOPES)
    machine.looks(10)
    before = machine.may(), machine.may("example.com")
    a.close("google"), a.close("google")
    machine.looks(3)
    assert (before, machine.may()) == (([2, 0], [2, 2]), [2, 2])
    b.open("google"), b.open("google"), b.open("google")
    assert (a.standing["google"], b.standing["google"]) == (2, 2)


def test_turns_that_were_given_out_before_come_first(machine: Machine):
    a = machine.begins(wants=SCOPES)
    a.booked = 5.0
    machine.begins(wants=SCOPES)
    machine.looks(16)
    before = machine.may()
    machine.looks(10)
    assert (before, machine.may()) == ([2, 0], [2, 2])


def test_who_has_nobody_left_there_gives_it_back(machine: Machine):
    a, b = machine.begins(wants=SCOPES), machine.begins(wants=SCOPES)
    machine.looks(5)
    b.wants.remove("google")
    machine.looks(5)
    assert (a.may("google"), a.may("example.com")) == (WHOLE, WHOLE // 2)


def test_when_all_others_are_gone_one_is_alone_again(machine: Machine):
    a, b = machine.begins(wants=SCOPES), machine.begins(wants=SCOPES)
    machine.looks(5)
    machine.running.remove(b)
    b.end()
    machine.looks(3)
    assert (a.may("google"), a.may("nobody.test"), a._leases.held()) == (WHOLE, WHOLE, {})


def test_the_part_of_one_who_was_killed_is_the_others(machine: Machine):
    for _ in range(2):
        machine.begins(wants=SCOPES)
    machine.looks(5)
    machine.running.pop().die()
    machine.looks(int(DEATHS_S / 0.25) + 3)
    assert (machine.may(), len(list(machine.path.parent.glob("*.lock")))) == ([WHOLE], 1)


def test_what_one_who_was_killed_while_he_was_alone_held_is_nobodys(machine: Machine):
    a = machine.begins(wants=SCOPES)
    machine.running.remove(a)
    a.die()
    machine.begins(wants=SCOPES)
    assert machine.may() == [WHOLE]


def test_processes_of_one_campaign_keep_to_their_own_division_until_another_comes(machine: Machine):
    for _ in range(2):
        machine.begins("a", wants=SCOPES)
    machine.looks(5)
    alone = machine.may()
    machine.begins("b", wants=SCOPES)
    machine.looks(8)
    assert (alone, machine.may()) == ([WHOLE, WHOLE], [1, 1, 2])


def test_a_transactional_campaign_overtakes(machine: Machine):
    for first in (False, True):
        machine.begins(wants=SCOPES, first=first).whole = 10
    machine.looks(5)
    assert machine.may() == [1, 9]


@pytest.mark.parametrize(("first", "shares"), [(0, (1, 1, 1)), (1, (9, 1, 1))])
def test_where_there_is_one_connection_for_three_each_has_its_turn(
    machine: Machine, first: int, shares: tuple[int, ...]
):
    three = [machine.begins(wants=("google",), first=number < first) for number in range(3)]
    had, most = [0, 0, 0], 0
    for _ in range(int(4 * 3 * TURN_S / 0.25)):
        machine.looks()
        for number, one in enumerate(three):
            one.whole = 1
            (one.open if one.may("google") else one.close)("google")
            had[number] += one.standing["google"]
        most = max(most, sum(one.standing["google"] for one in three))
    assert most == 1
    assert [round(count / min(had)) for count in had] == pytest.approx(shares, abs=3)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_there_are_never_more_connections_than_one_campaign_may_have(
    tmp_path: Path, seed: int
):
    rng = random.Random(seed)
    machine = Machine(tmp_path / "sites.db")
    peak = 0
    for _ in range(800):
        machine.now += rng.choice((0.0, 0.1, 0.25))
        if len(machine.running) < 5 and rng.random() < 0.03:
            machine.begins(rng.choice(("", "workers")), first=rng.random() < 0.3)
        if machine.running and rng.random() < 0.02:
            gone = machine.running.pop(rng.randrange(len(machine.running)))
            rng.choice((gone.end, gone.die))()
        for one in machine.running:
            if rng.random() < 0.5:
                one.leasing.look()
            scope = rng.choice(SCOPES)
            if rng.random() < 0.05:
                one.wants ^= {scope}
            if one.name != "workers" or one.leasing._sharing:  # alone, their shares are the workers' own
                one.open(scope)
            if scope not in one.wants or one.standing[scope] > one.may(scope) or rng.random() < 0.1:
                one.close(scope)
        for scope in SCOPES:
            peak = max(peak, sum(one.standing[scope] for one in machine.running))
    for one in machine.running:
        one.end()
    assert peak == WHOLE
