"""Several campaigns at once, each with a look into one file of all: together never more than the whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from leasing_rig import SCOPES, WHOLE, Machine

from bulkmail.campaign.leasing import DEATHS_S, TURN_S

WORKERS = (3, 1, 0)  # of the whole, what each process of a campaign has while there is no other one


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


def test_processes_of_one_campaign_have_their_own_division_while_no_other_one_is_there(machine: Machine):
    """It is no equal one, and they stop sharing, all of them, once the last other campaign has gone."""
    for alone in (3, 1):
        machine.begins("a", wants=SCOPES).alone = alone
    machine.looks(5)
    before = machine.may()
    b = machine.begins("b", wants=("google",))
    machine.looks(8)
    together = machine.may("google"), machine.may("example.com")
    machine.running.remove(b)
    b.end()
    machine.looks(8)
    assert (before, together) == ([3, 1], ([1, 1, 2], [3, 1, 0]))
    assert ([one.leasing.sharing for one in machine.running], machine.may()) == ([False, False], [3, 1])
    assert machine.running[0]._leases.held() == {}


def test_who_had_more_than_alone_gives_it_up_before_a_sibling_has_what_is_its_own(machine: Machine):
    """Two of its processes and one of another campaign: 1, 1 and 2 of 4; alone it has 4 and none."""
    one, other = (machine.begins("a", wants=("google",)) for _ in range(2))
    one.alone, other.alone = 4, 0
    b = machine.begins("b", wants=("google",))
    machine.looks(8)
    other.open("google")
    machine.running.remove(b)
    b.end()
    machine.looks(8)
    before = one.may("google"), one.leasing.sharing, other.may("google")
    other.close("google")
    machine.looks(4)
    assert (before, one.may("google")) == ((1, True, 0), 4)
    assert [each.leasing.sharing for each in machine.running] == [False, False]


def test_a_division_that_is_over_before_anybody_could_keep_to_it_leaves_nobody_waiting(machine: Machine):
    """Both have all they may have, nothing of that ends, and the other campaign is soon gone again."""
    two = [machine.begins("a", wants=("google",)) for _ in range(2)]
    for one in two:
        one.alone = 2
        for _ in range(2):
            one.open("google")
    b = machine.begins("b", wants=("google",))
    machine.looks(4)
    before = machine.may()
    machine.running.remove(b)
    b.die()
    machine.looks(int(DEATHS_S / 0.25) + 3)
    assert (before, machine.may(), [one.leasing.sharing for one in two]) == ([1, 1, 0], [2, 2], [False] * 2)


def test_a_process_that_begins_among_siblings_that_share_has_nothing_before_they_keep_to_that(
    machine: Machine,
):
    one = machine.begins("a", wants=("google",))
    b = machine.begins("b", wants=("google",))
    machine.looks(8)
    machine.running.remove(b)
    b.end()
    one.alone = 3  # its new sibling has the rest
    late = machine.begins("a", wants=("google",))
    late.alone = 1
    before = late.may("google"), one.leasing.sharing
    machine.looks(8)
    assert (before, machine.may()) == ((0, True), [3, 1])


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


def test_who_is_the_first_in_one_line_and_not_in_the_other_that_he_needs_waits_in_neither_for_ever(
    machine: Machine,
):
    """Their limit is of both scopes together; each is the first in one of two lines."""
    two = [machine.begins() for _ in range(2)]
    for one in two:
        one.whole = 1
        one.together = True
    for number, scope in ((0, "google"), (1, "example.com"), (1, "google"), (0, "example.com")):
        two[number].wants.add(scope)
        machine.looks(4)
    had = [0, 0]
    for _ in range(int(6 * TURN_S / 0.25)):
        machine.looks()
        had = [count + bool(one.may("google")) for count, one in zip(had, two, strict=True)]
        assert sum(one.may("google") for one in two) <= 1
    assert min(had) > 0


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
            taken = {one.alone for one in machine.running if one.name == "workers"}
            alone = next((share for share in WORKERS if share not in taken), None)
            if alone is None or rng.random() < 0.3:
                machine.begins(first=rng.random() < 0.3)
            else:
                machine.begins("workers").alone = alone
        if machine.running and rng.random() < 0.02:
            gone = machine.running.pop(rng.randrange(len(machine.running)))
            rng.choice((gone.end, gone.die))()
        for one in machine.running:
            if rng.random() < 0.5:
                one.leasing.look()
            scope = rng.choice(SCOPES)
            if rng.random() < 0.05:
                one.wants ^= {scope}
            one.open(scope)
            if scope not in one.wants or one.standing[scope] > one.may(scope) or rng.random() < 0.1:
                one.close(scope)
        for scope in SCOPES:
            peak = max(peak, sum(one.standing[scope] for one in machine.running))
    for one in machine.running:
        one.end()
    assert peak == WHOLE
