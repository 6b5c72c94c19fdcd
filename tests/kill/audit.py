"""The law: what must be true of the journal and of the receiving side's count after a kill, and at the end.

The journal is read from a copy, with SQL of our own, so that looking changes nothing for the resume and the
product's queries are not their own witness. Only what its logs still hold is taken into the copy as a resume
would: a mistake there shows as somebody sent to twice, or lost. A copy counts as explained when somebody
answered for it: the journal recorded the 250, or lists the recipient as in doubt, or still holds the intent
that a resume will turn into doubt. More copies than that is sending twice without knowing; fewer than the
recorded 250s is losing somebody. What a line on the receiving side proves is fixed by its order: it is
written before the 250.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal import Store
from tests.kill.receiver import Copy
from tests.kill.scenario import Scenario

SETTLED = ("delivered", "bounced", "expired", "cancelled")
LEFT_OUT = ("invalid", "duplicate", "filtered", "excluded", "skipped")  # by the plan of these campaigns
INTERRUPTED = "interrupted before"  # how the text of a recovery begins


class Broken(AssertionError):
    """The law does not hold."""


@dataclass(frozen=True, slots=True)
class Open:
    """One recipient in an open intent; `at` tells one intent from the next."""

    address: str
    at: float
    host: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a journal says, with every range spelled out."""

    planned: bool = False
    frozen: bool = False
    totals: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)  # who is in the plan
    answered: Counter[str] = field(default_factory=Counter)  # final dots answered 2yz
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)  # that ended by themselves, and how
    listed: Counter[str] = field(default_factory=Counter)  # attempts that ended in doubt
    interrupted: frozenset[tuple[str, float]] = frozenset()  # those of them that a recovery listed
    intents: frozenset[Open] = frozenset()


def read(journal: Path, scratch: Path) -> Snapshot:
    """The journal at `journal` as nobody's process left it; an empty snapshot where there is none."""
    if not journal.exists():
        return Snapshot()
    copy = scratch / "journal"
    for suffix in ("", "-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    for log in copy.parent.glob("journal.*.log"):
        log.unlink()
    logs = [path.name.removeprefix(journal.name) for path in journal.parent.glob(f"{journal.name}.*.log")]
    for suffix in ("", "-wal", *logs):
        original = journal.with_name(journal.name + suffix)
        if original.exists():
            shutil.copyfile(original, copy.with_name(copy.name + suffix))
    try:
        with Store.open(copy) as store:
            store.take_in_leftovers()
    except StoreError as error:
        raise Broken(str(error)) from error
    db = apsw.Connection(str(copy))
    try:
        return _read(db)
    finally:
        db.close()


def _read(db: apsw.Connection) -> Snapshot:
    problems = [row[0] for row in db.execute("PRAGMA integrity_check")]
    if problems != ["ok"]:
        raise Broken(f"the journal is damaged: {problems[:3]}")
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if "planned" not in meta:
        return Snapshot(frozen="frozen" in meta)
    totals = {name: value for name, value in db.execute("SELECT name, value FROM total") if name != "seq"}
    people: dict[int, str] = {}
    for number, addresses in db.execute("SELECT number, addresses FROM roll"):
        people.update(enumerate(addresses.split("\n"), max(1, number * 256)))
    unfinished: dict[int, str] = {}
    for table, state in (("pending", "pending"), ("deferral", "deferred"), ("doubt", "in_doubt")):
        for first, last in db.execute(f"SELECT first, last FROM {table}"):
            for number in range(first, last + 1):
                if unfinished.setdefault(number, state) != state:
                    raise Broken(f"{people[number]} is {state} and {unfinished[number]}")
    final: dict[int, str] = {}
    answered: Counter[str] = Counter()
    ended: Counter[tuple[str, str]] = Counter()
    listed: Counter[str] = Counter()
    interrupted: list[tuple[str, float]] = []
    attempts = """SELECT a.first, a.last, a.state, a.at, a.attempted, r.text FROM attempt a
        JOIN reply r ON r.id = a.reply ORDER BY a.seq"""
    for first, last, state, at, attempted, text in db.execute(attempts):
        for number in range(first, last + 1):
            address = people[number]
            if final.get(number) in SETTLED:
                raise Broken(f"{address} was {final[number]} and became {state}")
            final[number] = state
            answered[address] += state == "delivered" and attempted
            listed[address] += state == "in_doubt"
            if state == "in_doubt" and text.startswith(INTERRUPTED):
                interrupted.append((address, at))
            elif attempted or state == "suppressed":
                ended[address, state] += 1
    if len(set(interrupted)) != len(interrupted):
        raise Broken("one interruption was listed twice")
    intents: list[Open] = []
    for first, last, at, host in db.execute("SELECT first, last, at, host FROM intent"):
        intents += [Open(people[number], at, host) for number in range(first, last + 1)]
    states = {address: unfinished.get(number) or final.get(number, "") for number, address in people.items()}
    return Snapshot(
        True,
        "frozen" in meta,
        totals,
        states,
        answered,
        ended,
        listed,
        frozenset(interrupted),
        frozenset(intents),
    )


def check(scenario: Scenario, before: Snapshot, now: Snapshot, copies: Iterable[Copy]) -> None:
    """What must hold whenever no runner is alive. Raises Broken."""
    received = Counter(copy.to for copy in copies)
    received.pop(f"ops@{scenario.sites[0].domains[0]}", None)
    if not now.frozen:
        demand(not received, f"mail was accepted before the plan was frozen: {sorted(received)[:3]}")
    if not now.planned:
        demand(not before.planned or not before.frozen, "the plan is gone")
        return
    _adds_up(scenario, now)
    for address, state in before.states.items() if before.frozen else ():
        if state in SETTLED:
            demand(now.states[address] == state, f"{address} was {state} and is {now.states[address]}")
    kinds = {one.address: one.kind for one in scenario.people}
    strangers = received.keys() - kinds.keys()
    demand(not strangers, f"mail for somebody who is not in the list: {sorted(strangers)[:3]}")
    in_flight = {one.address for one in now.intents}
    for address, kind in kinds.items():
        answered, listed = now.answered[address], now.listed[address]
        most = answered + listed + (address in in_flight)
        told = f"{address} ({now.states[address]}): {received[address]} arrived"
        demand(received[address] <= most, f"sent twice without being in doubt: {told}, {most} explained")
        demand(answered <= received[address], f"lost: {told}, {answered} answered")
        refused = kind == "unknown"
        # an intent may hold him: in a message sent in one breath nobody has been refused yet
        demand(not (refused and answered), f"refused by RCPT: {told}")
    _not_more_than_was_open(scenario, now)


def _adds_up(scenario: Scenario, now: Snapshot) -> None:
    states = Counter(now.states.values())
    totals = dict(now.totals)
    source = totals.pop("source")
    demand(source == sum(totals.values()), f"source {source} is not the sum of {totals}")
    rows = len(scenario.people) + scenario.duplicates + scenario.invalid
    demand(source == rows, f"source is {source}, the list has {rows}")
    demand(totals["duplicate"] == scenario.duplicates, f"{totals['duplicate']} duplicates")
    demand(totals["invalid"] == scenario.invalid, f"{totals['invalid']} invalid")
    counted = {state: count for state, count in totals.items() if count and state not in LEFT_OUT}
    demand(counted == dict(states), f"totals say {counted}, the ranges {dict(states)}")
    demand(now.states.keys() == {one.address for one in scenario.people}, "the plan is not the list")


def _not_more_than_was_open(scenario: Scenario, now: Snapshot) -> None:
    addresses = [one.address for one in now.intents]
    demand(len(addresses) == len(set(addresses)), "somebody is in two open transactions")
    for address in addresses:
        state = now.states[address]
        demand(state in ("pending", "deferred"), f"{address} is {state} and in an open transaction")
    for site, count in Counter(scenario.site_of(one.host) for one in now.intents).items():
        most = scenario.open_per_site
        demand(count <= most, f"{count} recipients of {site} were open, {most} can be")


def check_end(
    scenario: Scenario,
    now: Snapshot,
    copies: Iterable[Copy],
    opened: Mapping[Open, str],
    *,
    exactly: bool,
    named: Set[str] = frozenset(),
) -> None:
    """What must hold when the campaign has ended, beside `check`. Raises Broken.

    `named`: whom the operator has suppressed meanwhile.

    `opened`: everybody who was found in an open intent after some kill. `exactly`: nothing else was
    interrupted (a second SIGINT interrupts, too, and the runner then lists it by itself).
    """
    demand(now.planned and not now.intents, "intents are open after the end")
    for one in scenario.people:
        state, listed = now.states[one.address], now.listed[one.address]
        if state == "suppressed":
            demand(one.address in named, f"{one.address} is suppressed, and nobody asked for that")
        elif one.kind == "unknown":
            # in doubt he can be, too, and then resolved: what said that he does not exist was never read
            bounced = state == "bounced" or (listed > 0 and state in ("delivered", "in_doubt"))
            demand(bounced, f"{one.address} is {state}, it does not exist")
        elif not listed:
            demand(state == "delivered", f"{one.address} is {state}")
            demand(now.answered[one.address] == 1, f"{one.address} is delivered, and nobody said so")
        else:
            demand(state in ("delivered", "in_doubt"), f"{one.address} is {state}")
    killed = {(one.address, one.at) for one in opened}
    missing = killed - now.interrupted
    demand(not missing, f"open at a kill and never listed as in doubt: {sorted(missing)[:3]}")
    extra = now.interrupted - killed
    demand(not (exactly and extra), f"listed as in doubt and not open at any kill: {sorted(extra)[:3]}")
    reports = sum(copy.to.startswith("ops@") for copy in copies)
    demand(reports <= int(scenario.report), f"the report was sent {reports} times")


def demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)
