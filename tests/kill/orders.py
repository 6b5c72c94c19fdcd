"""An order from another terminal, and the runner, or the verb itself, killed while it is carried out.

What was answered stands, whatever is killed then: a campaign that is said to be paused begins no message
until its operator says so, one that is said to be cancelled none any more, and nobody who is said to be
suppressed gets one that begins later. What was not answered was heeded or not, and nothing in between.
Either way everybody is accounted for, and nobody is sent to twice.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.kill.asker import Asker
from tests.kill.audit import demand
from tests.kill.killing import Killing
from tests.kill.process import Ended, run_alone
from tests.kill.receiver import Copy
from tests.kill.scenario import Scenario
from tests.kill.shim import Control, How, Strike
from tests.kill.tally import Tally

Word = Literal["pause", "resume", "cancel", "suppress"]
HOWS = (How.BEFORE, How.AFTER, How.TORN)
PAUSED, CANCELLED = 7, 8  # exit codes
NAMED = 5  # are suppressed by one order


@dataclass(frozen=True, slots=True)
class Told:
    """When `after` transactions were accepted the run is told the `word`; it is killed at the `at`th call."""

    word: Word
    after: int
    strike: Strike

    def __str__(self) -> str:
        return f"told to {self.word} after {self.after} accepted, {self.strike}"


@dataclass(frozen=True, slots=True)
class Verb:
    """A run is killed (`before`), and then the verb, which finds nobody there."""

    word: Word
    before: Strike
    strike: Strike

    def __str__(self) -> str:
        return f"{self.before}, and {self.word} {self.strike}"


Order = Told | Verb


def told(rng: random.Random, word: str, at: int) -> Told:
    return Told(_word(word), rng.randint(1, 6), Strike(at, rng.choice(HOWS), keep=rng.randint(0, 999)))


def verb(rng: random.Random, word: str, at: int) -> Verb:
    before = Strike(rng.randint(250, 400), rng.choice(HOWS), keep=rng.randint(0, 999))
    return Verb(_word(word), before, Strike(at, rng.choice(HOWS), keep=rng.randint(0, 999)))


def _word(word: str) -> Word:
    if word not in get_args(Word):
        raise ValueError(f"{word} is no order")
    return word  # type: ignore[return-value]


class Suppressing(Asker):
    """The other terminal, where `words` are said to the project, whether it is sending or not."""

    def __init__(self, journal: Path, after: int, words: list[str], folder: Path) -> None:
        super().__init__(journal, "suppress", after)
        self._said, self._folder = words, folder

    def accepted(self, count: int) -> None:
        if count >= self._after and self._words:
            self._words.clear()
            if run_alone(self._said, "operator.test", self._folder) == 0:
                self.answered.append("suppress")


class Ordered(Killing):
    """One campaign that is given an order."""

    def __init__(self, scenario: Scenario, order: Order, folder: Path, tally: Tally) -> None:
        super().__init__(scenario, (), folder, tally)
        self.order = order
        self.cancelled = False
        if order.word == "suppress":
            spoken_for = [one.address for one in scenario.people if one.kind != "unknown"]
            self.named = frozenset(random.Random(f"{scenario.name} {order}").sample(spoken_for, NAMED))

    def run(self) -> None:
        """Raises Broken."""
        try:
            promised = self._told(self.order) if isinstance(self.order, Told) else self._by_verb(self.order)
            if not self.cancelled and self._go_on(promised):
                self._to_the_end()
            self.receiver.quiet()
            self.failed = self.cancelled  # what a run that sends would remove may be left behind
            self._conclude()
        finally:
            self.receiver.close()

    def _told(self, order: Told) -> str:
        """What was answered last: "pause", "cancel", "suppress", "" for that it goes on, "?" for nothing."""
        control = Control(self.campaign, order.strike)
        asker = Asker(self.journal, order.word, order.after)
        if order.word == "suppress":
            asker = Suppressing(self.journal, order.after, self._words(order.word), self.campaign)
        ended = self._run("run1.test", control, asker)
        self.story.append(f"  answered: {asker.answered}")
        promised = asker.answered[-1].replace("resume", "") if asker.answered else "?"
        if ended.killed:
            return promised
        self.cancelled = ended.code == CANCELLED
        demand(ended.code in (0, 4, CANCELLED), f"the run that was told ended with exit code {ended.code}")
        demand(promised != "cancel" or self.cancelled, f"cancelled, and it ended with exit code {ended.code}")
        return promised

    def _by_verb(self, order: Verb) -> str:
        if not self._run("run1.test", Control(self.campaign, order.before)).killed or not self.last.planned:
            return "?"  # there is nothing that could be told anything; the next number is another try
        if order.word == "resume":
            paused = self._process(self._words("pause"), "operator.test", None, None)
            demand(paused.code in (0, 2), f"pause ended with exit code {paused.code}")
            if paused.code:
                return "?"
        control = Control(self.campaign, order.strike)
        ended = self._process(self._words(order.word), "operator.test", order.strike, control)
        self.reached = control.struck
        if control.struck:
            self.tally.struck[f"{order.word}: {control.where}"] += 1
        self._audit("the verb that was struck")
        if ended.killed:
            self.tally.kills += 1
            return "?"
        demand(ended.code in (0, 2), f"{order.word} ended with exit code {ended.code}")
        if ended.code or not any(self._left):
            return "?"
        return "" if order.word == "resume" else order.word

    def _words(self, word: Word) -> list[str]:
        if word == "suppress":
            return ["suppress", "add", *sorted(self.named), "--project", str(self.file)]
        return [word, str(self.file), *(["--yes"] if word == "cancel" else ())]

    @property
    def _left(self) -> list[str]:
        return [
            who for who, state in self.last.states.items() if state in ("pending", "deferred", "cancelled")
        ]

    def _go_on(self, promised: str) -> bool:
        """The next run, which keeps to what was promised; whether there is anything left to be done."""
        before = len(self.receiver.copies())
        held = self.named & self.suppressed
        if promised == "suppress":
            demand(held == self.named, f"said to be suppressed, and not: {sorted(self.named - held)[:3]}")
        demand(held in (self.named, frozenset()), f"suppressed by an order half-way: {sorted(held)}")
        ended = self._run("run2.test")
        came = len(self.receiver.copies()) - before
        code = ended.code
        late = {copy.to for copy in self.receiver.copies()[before:]} & held
        demand(not late, f"suppressed, and sent to by a run that began later: {sorted(late)[:3]}")
        if code in (PAUSED, CANCELLED):
            demand(not came, f"exit code {code}, and {came} were accepted")
        if promised == "pause":
            demand(code == PAUSED or not self._left, f"it was paused, and the next run ended with {code}")
        elif promised == "cancel":
            demand(
                code == CANCELLED or not self._left, f"it was cancelled, and the next run ended with {code}"
            )
        elif promised == "":
            demand(code in (0, 4), f"it was resumed, and the next run ended with {code}")
        self.cancelled = code == CANCELLED
        if code != PAUSED:
            demand(code in (0, 4, CANCELLED), f"the run after the order ended with exit code {code}")
            return False
        resumed = self._process(["resume", str(self.file)], "operator.test", None, None)
        demand(resumed.code == 0, f"resume ended with exit code {resumed.code}")
        return True

    def _to_the_end(self) -> None:
        ended = self._run("run3.test")
        demand(ended.code in (0, 4), f"the last run ended with exit code {ended.code}")

    def _run(self, name: str, control: Control | None = None, asker: Asker | None = None) -> Ended:
        """One run, and the audit after it."""
        self.tally.runs += 1
        words = ["run", str(self.file), "--yes", "--json", "--workers", str(self.scenario.workers)]
        if not self.journal.exists():
            words.append("--new")
        try:
            ended = self._process(words, name, None, control, *([asker] if asker is not None else ()))
        finally:
            if asker is not None:
                asker.close()
        if control is not None:
            self.reached = control.struck
            self.tally.beyond_reach += not control.struck
            if control.struck:
                self.quietly = False
                self.tally.struck[control.where] += 1
        now = self._audit(name)
        if ended.killed:
            self.tally.kills += 1
            self._classify(now)
        return ended

    def _settled(self, copies: Sequence[Copy]) -> None:
        """At the end: everybody, or nobody is left of a campaign that was cancelled."""
        if not self.cancelled:
            super()._settled(copies)
            return
        demand(not self.last.intents, "intents are open after it was cancelled")
        left = [who for who, state in self.last.states.items() if state in ("pending", "deferred")]
        demand(not left, f"it was cancelled, and these are left: {left[:3]}")
        killed, listed = {(one.address, one.at) for one in self.opened}, self.last.interrupted
        demand(
            killed <= listed, f"open at a kill and never listed as in doubt: {sorted(killed - listed)[:3]}"
        )
