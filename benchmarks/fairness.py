"""Twenty domains, one of them 70% of the list and slow: `python benchmarks/fairness.py [--delay 0.1]`.

The large one answers each command late (a sandbox, which is also the name server of all); the other nineteen
are the sink. The plan hands out the largest interval first, so that all sessions there may have are at work
for it before anybody else is routed. One core has who sends, another the rest.

Told is how soon the nineteen have everything, from the event `started` to the last message that the sink
accepted: with the large one in the list and without it, in turn. Then the run is killed, for the large one
would hold it for hours. The second promise is the same by CPU seconds, which a busy machine does not falsify.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import contest
import rig
import tarpits
from contest import Contest, Promise

SMALL = 19  # domains
PART = 0.7  # of the list is the large one's
MESSAGES = 4_000  # to each small domain
SHARING = 2  # recipients of each message, where they share it in small groups; of the large one's, one more
QUICK = 40
DELAY_S = 0.1  # until each reply of the large one
ALONE, BESIDE = "the nineteen alone", "beside the large one"
PERSONAL, GROUPED = "a message each", "in small groups"
AT_LEAST = 0.95
LOOK_S = 0.02
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Street:
    """`messages` to each small domain, `each` of them to so many; whether the large one is in the list, and
    how late it answers.

    With one recipient each a domain is one interval of the plan, else as many as there are groups.
    """

    messages: int
    each: int
    large: bool
    delay_s: float

    @property
    def recipients(self) -> int:
        """Of the small ones."""
        return SMALL * self.messages * self.each


@dataclass(frozen=True)
class Run:
    recipients: int
    seconds: float
    first_s: float  # until their first RCPT
    cpu_s: float  # after the plan was made
    beside: int  # recipients of the large one who had theirs meanwhile
    sink_share: float

    @property
    def per_s(self) -> float:
        return self.recipients / self.seconds


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="to each small domain")
    parser.add_argument("--delay", type=float, default=DELAY_S, help="seconds before each reply of the large")
    given = contest.options(__doc__, parser)
    messages = QUICK if given.quick else given.messages
    held = Contest("fairness", given)
    for how, each in ((PERSONAL, 1), (GROUPED, SHARING)):
        small, street = Street(10, each, False, given.delay), Street(messages, each, False, given.delay)
        held.add(f"{ALONE}, {how}", partial(run, street), warm_up=partial(run, small))
        held.add(f"{BESIDE}, {how}", partial(run, replace(street, large=True)))
    held.hold()
    rows = [
        {
            "what": name,
            "their recipients": found[0].recipients,
            "their recipients/s": rig.spread(each.per_s for each in found),
            "seconds": rig.spread(each.seconds for each in found),
            "first RCPT s": rig.spread(each.first_s for each in found),
            "CPU s": rig.spread(each.cpu_s for each in found),
            "of the large one meanwhile": rig.spread(each.beside for each in found),
            "sink": rig.spread(each.sink_share for each in found).median,
        }
        for name, found in held.results.items()
    ]
    promises = []
    for how in (PERSONAL, GROUPED):
        alone, beside = f"{ALONE}, {how}", f"{BESIDE}, {how}"
        what = f"19 domains beside a slow one that is 70% of the list, {how}: of their throughput alone"
        note = held.why(alone, beside)
        per_s = held.ratios(beside, alone, lambda each: each.per_s)
        per_cpu_s = held.ratios(beside, alone, lambda each: each.recipients / each.cpu_s)
        promises.append(Promise(what, per_s, at_least=AT_LEAST, note=note))
        promises.append(Promise(f"{what}, by CPU seconds", per_cpu_s, note=note))
    held.tell(rows, promises)


def run(street: Street) -> Run:
    """Until the small ones have everything. Raises RuntimeError."""
    with (
        tempfile.TemporaryDirectory(prefix="fairness-") as name,
        rig.sinking(host=tarpits.SINK, starttls=False) as mx,
        tarpits.sandbox(world(street), Path(name), mx.port) as resolver,
    ):
        folder = Path(name)
        write(street, folder, mx.port, resolver)
        with tarpits.sending(folder) as process:
            began = tarpits.started(process)
            peak = tarpits.Peak(process.pid, folder)
            planning_s = peak.look()
            while (counts := mx.counts()).recipients < street.recipients:
                if process.poll() is not None or time.monotonic() - began > PATIENCE_S:
                    raise RuntimeError(f"{counts.recipients} of {street.recipients} at the end")
                tarpits.drain(process)
                time.sleep(LOOK_S)
            cpu_s = peak.look() - planning_s
        beside = accepted(folder / "sandbox" / "ledger.jsonl")
        counts = mx.counts()
    assert counts.first_rcpt is not None
    assert counts.last_message is not None
    if counts.recipients != street.recipients:
        raise RuntimeError(f"{counts.recipients} arrived of {street.recipients}")
    if street.large and not beside:
        raise RuntimeError("the large one had nothing: it was not beside anybody")
    seconds = counts.last_message - began
    return Run(street.recipients, seconds, counts.first_rcpt - began, cpu_s, beside, counts.cpu_s / seconds)


def accepted(ledger: Path) -> int:
    """Recipients whose message the sandbox has taken."""
    lines = ledger.read_text("utf-8").splitlines() if ledger.exists() else []
    return sum(len(one["to"]) for one in map(json.loads, lines) if one["event"] == "accepted")


def world(street: Street) -> dict[str, Any]:
    """As `bulkmail sandbox` reads it."""
    small = {f"small{n}.test": {"hosts": {f"mx.small{n}.test": 10}} for n in range(SMALL)}
    large = {"large.test": {"tarpit": f"{street.delay_s:g}s"}} if street.large else {}
    at = {f"mx.small{n}.test": {"addresses": [tarpits.SINK]} for n in range(SMALL)}
    return {"unknown_domains": "nxdomain", "domains": small | large, "hosts": at}


def write(street: Street, folder: Path, port: int, resolver: str) -> None:
    """The campaign, its list and its message."""
    domains = {f"small{n}.test": (street.messages, street.each) for n in range(SMALL)}
    if street.large:
        more = street.each + (street.each > 1)  # who has the largest intervals is handed out first
        domains["large.test"] = (round(street.recipients * PART / (1 - PART) / more), more)
    with (folder / "people.csv").open("w", encoding="utf-8") as people:
        people.write("email,group\n")
        for domain, (messages, each) in domains.items():
            people.writelines(f"p{n}-{k}@{domain},{n}\n" for n in range(messages) for k in range(each))
    to = "{{ email }}" if street.each == 1 else "Readers <news@acme.example>"
    tarpits.write_campaign(folder, port, resolver, to=to)


if __name__ == "__main__":
    main()
