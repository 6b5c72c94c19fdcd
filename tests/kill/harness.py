"""Kills the runner at seeded moments, resumes, and holds journal and receiving side to the law (J1).

    python -m tests.kill.harness --seed N --kills N

A campaign is killed many times before a last run may finish it; campaigns follow each other until there were
enough kills. Each runner is forked from this process, which has imported everything and has neither threads
nor a loop, so that a runner costs milliseconds instead of half a second; it executes the real command line.
The moments vary with the speed of the machine; the law holds at all of them, so the verdict does not.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kill.audit import Broken, Open, Snapshot, check, check_end, demand, read
from tests.kill.process import JOURNAL, STDERR, Ended, run
from tests.kill.receiver import Receiver
from tests.kill.scenario import Moment, Scenario, draw

KILLS_PER_CAMPAIGN = 10
ON_USE = (  # what the command line imports only when it is used
    "bulkmail.campaign.prepare",
    "bulkmail.campaign.runner",
    "bulkmail.campaign.workers.crew",
    "bulkmail.campaign.workers.parent",
    "bulkmail.cli.resolve",
    "bulkmail.cli.run",
    "bulkmail.cli.screen",
    "bulkmail.sandbox.authority",
    "bulkmail.sandbox.serve",
)


@dataclass(slots=True)
class Tally:
    kills: int = 0
    campaigns: int = 0
    runs: int = 0
    where: Counter[str] = field(default_factory=Counter)  # what the killed runner was about
    in_doubt: int = 0
    arrived: int = 0
    most: tuple[int, int] = (0, 0)  # in doubt after one kill, and how many it could have been
    second_copies: int = 0


class Killing:
    """One campaign, from its first run to its last."""

    def __init__(self, scenario: Scenario, moments: Sequence[Moment], folder: Path, tally: Tally) -> None:
        self.scenario, self.moments, self.folder, self.tally = scenario, moments, folder, tally
        self.rng = random.Random(f"{scenario.name} and its operator")
        self.story: list[str] = []
        self.journal = folder / JOURNAL
        self.last = Snapshot()
        self.opened: dict[Open, str] = {}  # and the run that had opened it
        self.exactly = True
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.receiver = Receiver(scenario, folder / "received")
        self.file = scenario.write(folder, self.receiver.resolver, self.receiver.port)

    def run(self) -> None:
        """Raises Broken."""
        try:
            for moment in self.moments:
                if self._attempt(moment):
                    break
                if self.scenario.verdict and self.rng.random() < 0.3:
                    self._resolve()
            while not self._attempt(None):
                pass
            if self.scenario.verdict:
                self._resolve()
                self._attempt(None)
            self.receiver.quiet()
            self._conclude()
        finally:
            self.receiver.close()

    # --- one run ------------------------------------------------------------------------------------------

    def _attempt(self, moment: Moment | None) -> bool:
        """One run, killed at `moment` unless it ends before; whether the campaign has ended."""
        name = f"run{self.tally.runs}.test"
        self.tally.runs += 1
        words = ["run", str(self.file), "--yes", "--new", "--json", "--workers", str(self.scenario.workers)]
        ended = self._process(words, name, moment)
        now = self._audit(name)
        if ended.killed:
            self.tally.kills += 1
            self._classify(now)
            return False
        if ended.lost:  # the run itself has put those of the dead worker in doubt
            self.tally.kills += 1
            self.tally.where["with its workers, of whom one died"] += 1
            self.exactly = False
            if ended.code == 5:
                return False
        if moment is not None and moment.warnings:
            self.exactly &= "SIGINT" not in moment.warnings
            if ended.signal == signal.SIGTERM or ended.code in (5, 130):
                return False
        demand(ended.code in (0, 4), f"{name} ended by itself with exit code {ended.code}")
        return True

    def _resolve(self) -> None:
        words = ["resolve", str(self.file), "--in-doubt", self.scenario.verdict]
        ended = self._process(words, "operator.test", None)
        demand(ended.code == 0 or not self.journal.exists(), f"resolve ended with exit code {ended.code}")
        self._audit("resolve")

    def _audit(self, name: str) -> Snapshot:
        before, self.last = self.last, read(self.journal, self.scratch)
        check(self.scenario, before, self.last, self.receiver.copies())
        for one in self.last.intents:
            self.opened.setdefault(one, name)
        return self.last

    def _classify(self, now: Snapshot) -> None:
        where = (
            ("before its journal existed" if not self.journal.exists() else "while planning")
            if not now.planned
            else "planned, nothing sent"
            if not now.frozen
            else "with open transactions"
            if now.intents
            else "sending, nothing open"
        )
        self.tally.where[where] += 1
        could = self.scenario.open_per_site * len(self.scenario.sites)
        self.tally.most = max(self.tally.most, (len(now.intents), could))
        self.story.append(f"  killed {where}: {len(now.intents)} in doubt")

    def _conclude(self) -> None:
        copies = self.receiver.copies()
        check(self.scenario, self.last, self.last, copies)
        check_end(self.scenario, self.last, copies, self.opened, exactly=self.exactly)
        arrived = {(copy.to, copy.helo) for copy in copies}
        self.tally.in_doubt += len(self.opened)
        self.tally.arrived += sum((one.address, name) in arrived for one, name in self.opened.items())
        twice = Counter(copy.to for copy in copies)
        self.tally.second_copies += sum(count - 1 for count in twice.values())
        self.tally.campaigns += 1

    def _process(self, words: list[str], name: str, moment: Moment | None) -> Ended:
        self.story.append(f"{name}: {words[0]}, {'to be killed ' + str(moment) if moment else 'to its end'}")
        try:
            return run(words, name, moment, self.receiver, self.folder)
        except TimeoutError as late:
            raise Broken(str(late)) from late


# --- many campaigns -----------------------------------------------------------------------------------------


def kill(seed: int, kills: int, *, keep: bool) -> bool:
    """Kill `kills` runners; prints what was found, and how to see a failure again. True: the law holds."""
    for module in ON_USE:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that a child's collector does not copy the parent's pages
    tally, began, number = Tally(), time.monotonic(), 0
    while tally.kills < kills:
        scenario = draw(seed, number, kills=KILLS_PER_CAMPAIGN)
        number += 1
        folder = Path(tempfile.mkdtemp(prefix="bulkmail-kill-"))
        killing = Killing(scenario, scenario.moments[: kills - tally.kills], folder, tally)
        try:
            killing.run()
        except Broken as broken:
            _tell(broken, killing, seed, kills)
            return False
        if not keep:
            shutil.rmtree(folder)
    seconds = time.monotonic() - began
    print(f"seed {seed}: {tally.kills} kills in {tally.runs} runs of {tally.campaigns} campaigns")
    print(
        "  the runner was killed " + ", ".join(f"{n} times {what}" for what, n in tally.where.most_common())
    )
    print(f"  in doubt: {tally.in_doubt} recipients, of whom {tally.arrived} had really arrived")
    print("  most in doubt after one kill: {} of the {} that could have been open".format(*tally.most))
    print(f"  second copies: {tally.second_copies}, all of recipients listed as in doubt; nobody lost")
    print(f"  {seconds:.1f} s, {tally.kills / seconds:.1f} kills/s")
    return True


def _tell(broken: Broken, killing: Killing, seed: int, kills: int) -> None:
    print(f"THE LAW IS BROKEN: {broken}")
    scenario = killing.scenario
    print(f"  campaign {scenario.name}: {scenario.content} content, on_doubt {scenario.on_doubt}, "
          f"{len(scenario.people)} recipients, {len(scenario.sites)} sites")  # fmt: skip
    print("\n".join(f"  {line}" for line in killing.story[-8:]))
    errors = killing.folder / STDERR
    if errors.exists():
        print("  " + "\n  ".join(errors.read_text(errors="replace").splitlines()[-30:]))
    print(f"  journal and received mail: {killing.folder}")
    print(f"  again: python -m tests.kill.harness --seed {seed} --kills {kills}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the runner at seeded random moments and resume.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--keep", action="store_true", help="leave the campaigns' folders")
    options = parser.parse_args()
    return 0 if kill(options.seed, options.kills, keep=options.keep) else 1


if __name__ == "__main__":
    sys.exit(main())
