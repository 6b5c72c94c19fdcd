"""One campaign, from its first run to its last: what befalls each run, and what must hold after it.

Whatever has befallen it, a run is followed by an audit when all of its processes are gone; a power cut is
played on its files before. When nothing more is to befall it, the campaign is run to its end.
"""

from __future__ import annotations

import errno
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.kill import accounts, quotas, suppressed
from tests.kill.audit import Broken, Open, Snapshot, check, check_end, demand, read
from tests.kill.power import Cut, Disk, calls
from tests.kill.process import JOURNAL, STDERR, Asker, Blow, Ended, Two, run, two
from tests.kill.receiver import Copy, Receiver
from tests.kill.scenario import Moment, Scenario
from tests.kill.shim import Control, How, Strike
from tests.kill.steps import Step
from tests.kill.tally import Tally

ATTEMPTS = 20  # runs after the last blow: one ends it, as a rule
LEFT_BEHIND = ("*.log", "*.new", "*.new-wal", "*.spill/*", "*.wanted")  # in the state directory
# What must not go unnoticed. SQLite may put up with other failures, such as of a checkpoint: what it did not
# get into the file is in its WAL, and tried again.
VITAL = re.compile(r"(WRITE|CREATE) .*-wal$|(WRITE|SYNC|CREATE) .*(\.log|accounting\.jsonl)$")


class Killing:
    """One campaign. `folder`: an empty one."""

    def __init__(
        self, scenario: Scenario, blows: Sequence[Blow], folder: Path, tally: Tally, *, cut: Cut = ""
    ) -> None:
        self.scenario, self.blows, self.folder, self.tally, self.cut = scenario, blows, folder, tally, cut
        self.rng = random.Random(f"{scenario.name} and its operator")
        self.story: list[str] = []
        self.campaign = folder / "campaign"
        self.campaign.mkdir()
        self.journal = self.campaign / JOURNAL
        self.last = Snapshot()
        self.named: frozenset[str] = frozenset()  # whom the operator has suppressed, or may have
        self.suppressed: frozenset[str] = frozenset()  # who is
        self.opened: dict[Open, str] = {}  # and the run that had opened it
        self.exactly = True
        self.quietly = True  # nothing has befallen it
        self.failed = False  # the disk did
        self.began_ns = 0  # the last run
        self.fell = False  # the blow of the last run
        # what an enumeration counts: the first one, or what fails in the run behind one that was killed
        fails = [one for one in blows if isinstance(one, Strike) and one.how is How.FAIL]
        self.counted = next(iter((*fails, *blows)), None)
        self.reached = True
        self.runs = 0
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.receiver = Receiver(scenario, folder / "received")
        self.file = scenario.write(self.campaign, self.receiver.resolver, self.receiver.port)

    def run(self) -> None:
        """Raises Broken."""
        try:
            for blow in self.blows:
                if self._attempt(blow):
                    break
                if self.scenario.verdict and self.rng.random() < 0.3:
                    self._resolve()
            for _ in range(ATTEMPTS):
                if self._attempt(None):
                    break
            else:
                raise Broken(f"{ATTEMPTS} runs, and it has not come to its end")
            if self.scenario.verdict:
                self._resolve()
                self._attempt(None)
            self.receiver.quiet()
            self._conclude()
        finally:
            self.receiver.close()

    # --- one run ------------------------------------------------------------------------------------------

    def _attempt(self, blow: Blow | None) -> bool:
        """One run, and what befalls it unless it ends before; whether the campaign has ended."""
        self.runs += 1
        self.tally.runs += 1
        name = f"run{self.runs}.test"
        words = ["run", str(self.file), "--yes", "--json", "--workers", str(self.scenario.workers)]
        if not self.journal.exists():
            words.append("--new")
        if isinstance(blow, Two):
            return self._two(words, name, blow)
        trace = self.folder / "trace" if self.cut else None
        disk = Disk(self.campaign) if trace is not None else None
        control = None
        if isinstance(blow, Strike):
            control = Control(self.campaign, blow, trace)
        self.began_ns = time.monotonic_ns()
        ended = self._process(words, name, blow, control)
        killed_ns = time.monotonic_ns()
        self.fell = False
        if control is not None and control.struck:
            self.fell, killed_ns = True, control.struck_ns
            self.tally.struck[control.where] += 1
        elif isinstance(blow, Step) and (done := self.receiver.steps()[1]):
            self.fell, killed_ns = True, done["ns"]
            self.tally.struck[done["where"]] += 1
        elif isinstance(blow, Strike | Step):
            self.reached = self.reached and blow is not self.counted
            self.tally.beyond_reach += 1
        if self.fell:
            self.quietly = False
        if trace is not None and disk is not None and trace.exists():
            if ended.killed or (control is not None and control.struck):
                for done_call in calls(trace.read_bytes()):
                    disk.happened(done_call)
                disk.cut(self.cut, self.rng)
            trace.unlink()
        return self._judged(name, blow, control, ended, killed_ns)

    def _two(self, words: list[str], name: str, blow: Two) -> bool:
        """One of them runs, and the other is told which (J4)."""
        self.story.append(f"{name}: and another one {blow.delay_s * 1000:.0f} ms later")
        names = name, f"other-{name}"
        first, second = two(words, names, blow.delay_s, self.campaign)
        self.story.append(f"  ended: {first} {second}")
        self._audit(name)
        codes = [ended.code for _, ended, _ in (first, second)]
        refused = [(mine, other) for mine, other in ((first, second), (second, first)) if mine[1].code == 6]
        demand(len(refused) < 2, "both were refused")
        for (_, _, said), (pid, _, _) in refused:
            demand(f"pid {pid} " in said, f"the one that was refused was not told of {pid}: {said}")
        rest = [code for code in codes if code != 6]
        demand(all(code in (0, 4) for code in rest), f"they ended with exit codes {codes}")
        return True

    def _judged(
        self, name: str, blow: Blow | None, control: Control | None, ended: Ended, killed_ns: int
    ) -> bool:
        now = self._audit(name)
        if ended.killed:
            self.quietly = False
            self.tally.kills += 1
            self._classify(now)
            if not (isinstance(blow, Moment) or (isinstance(blow, Step) and blow.victim != "all")):
                self._no_more_than_the_receiver_saw(name, killed_ns)
            return False
        if ended.lost:  # the run itself has put those of the dead worker in doubt
            self.quietly = self.exactly = False
            self.tally.kills += 1
            self.tally.where["with its workers, of whom one died"] += 1
            if ended.code == 5:
                return False
        if isinstance(blow, Strike) and control is not None and control.struck:
            return self._disk_failed(name, blow, control, ended)
        warned = self._warnings(blow)
        if warned:
            self.tally.signals += 1
            self.quietly = False
            self.exactly &= "SIGINT" not in warned
            if ended.signal == signal.SIGTERM or ended.code in (5, 130):
                return False
        demand(ended.code in (0, 4), f"{name} ended by itself with exit code {ended.code} ({ended.signal})")
        return True

    def _warnings(self, blow: Blow | None) -> Sequence[str]:
        if isinstance(blow, Moment):
            return blow.warnings
        if isinstance(blow, Step) and blow.act != "SIGKILL" and self.fell:
            return blow.act.split()
        return ()

    def _disk_failed(self, name: str, blow: Strike, control: Control, ended: Ended) -> bool:
        """What must hold when a call has failed, or was cut short, and the run went on or stopped."""
        if blow.how is How.SHORT:
            demand(ended.code in (0, 4), f"{name} took a short write for a failure: exit code {ended.code}")
            return True
        if blow.how is not How.FAIL:
            return ended.code in (0, 4)
        self.tally.failures += 1
        self.failed = True
        self.tally.exits[f"{ended.code} {control.where}"] += 1
        self.tally.mails += control.mails
        told = self.errors.splitlines()
        demand("Traceback" not in self.errors, f"{control.where} failed, and a traceback was shown")
        allowed = (0, 4, 5) if blow.error in (errno.ENOSPC, errno.EIO) else (0, 2, 4, 5)
        demand(ended.code in allowed, f"{control.where} failed, and the exit code was {ended.code}")
        demand(ended.code in (0, 4) or bool(told), f"{control.where} failed, and nothing was said")
        if vital := VITAL.search(control.where):
            demand(ended.code in (2, 5), f"{control.where} failed, and the exit code was {ended.code}")
        if vital and ended.code == 5:
            demand(not control.mails, f"{control.mails} MAIL after {control.where} had failed")
        return ended.code in (0, 4)

    @property
    def errors(self) -> str:
        """What was said on standard error since the last run."""
        path = self.folder / STDERR
        return path.read_text(errors="replace") if path.exists() else ""

    def _resolve(self) -> None:
        words = ["resolve", str(self.file), "--in-doubt", self.scenario.verdict]
        ended = self._process(words, "operator.test", None, None)
        demand(ended.code == 0 or not self.journal.exists(), f"resolve ended with exit code {ended.code}")
        self._audit("resolve")

    # --- what must hold -----------------------------------------------------------------------------------

    def _audit(self, name: str) -> Snapshot:
        before, self.last = self.last, read(self.journal, self.scratch)
        check(self.scenario, before, self.last, self.receiver.copies())
        quotas.check(self.scenario, self.journal.parent, self.scratch, self.receiver.copies())
        before_it, self.suppressed = self.suppressed, suppressed.read(self.journal.parent, self.scratch)
        suppressed.check(self.scenario, before_it, self.suppressed, self.named)
        accounts.check(self.accounting, self.last, complete=False, damaged=self.damaged)
        for one in self.last.intents:
            self.opened.setdefault(one, name)
        return self.last

    @property
    def damaged(self) -> bool:
        """Whether a line of the accounting log may be unreadable: it is never synced."""
        return bool(self.cut)

    @property
    def accounting(self) -> Path:
        return self.campaign / "accounting.jsonl"

    def _no_more_than_the_receiver_saw(self, run: str, killed_ns: int) -> None:
        """Each session has put so many in doubt, and none has that the receiving side does not know of.

        A session may have closed its connection already: its last verdicts are on disk a moment later.
        """
        sessions = self.receiver.connected(self.began_ns, killed_ns)
        for host, count in Counter(one.host for one, of in self.opened.items() if of == run).items():
            most = min(sessions[host], self.scenario.connections) * self.scenario.open_per_session
            told = f"{count} in doubt at {host}, which saw {sessions[host]} connections"
            demand(count <= most, f"{told}: {most} could be")

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
        self._settled(copies)
        self.tally.unaccounted += accounts.check(
            self.accounting, self.last, complete=self.quietly, damaged=self.damaged
        )
        left = [path.name for pattern in LEFT_BEHIND for path in self.journal.parent.glob(pattern)]
        demand(not left or self.failed, f"left behind: {left}")  # what it could not remove does no harm
        arrived = {(copy.to, copy.helo) for copy in copies}
        self.tally.in_doubt += len(self.opened)
        self.tally.arrived += sum((one.address, name) in arrived for one, name in self.opened.items())
        twice = Counter(copy.to for copy in copies)
        self.tally.second_copies += sum(count - 1 for count in twice.values())
        self.tally.campaigns += 1

    def _settled(self, copies: Sequence[Copy]) -> None:
        check_end(self.scenario, self.last, copies, self.opened, exactly=self.exactly, named=self.named)
        suppressed.check_end(self.last, self.suppressed)
        quotas.check_end(self.scenario, self.journal.parent, self.scratch)

    def _process(
        self, words: list[str], name: str, blow: Blow | None, control: Control | None, *asker: Asker
    ) -> Ended:
        self.story.append(f"{name}: {words[0]}, {f'to be struck: {blow}' if blow else 'to its end'}")
        (self.folder / STDERR).unlink(missing_ok=True)
        try:
            ended = run(words, name, blow, self.receiver, self.campaign, control, *asker)
        except TimeoutError as late:
            raise Broken(str(late)) from late
        self.story.append(f"  ended: {ended}; {' / '.join(self.errors.splitlines()[-3:])}")
        return ended
