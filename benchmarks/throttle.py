"""Providers that tell nobody what they allow: `python benchmarks/throttle.py [--output FOLDER]`.

Seven sandbox providers at once, each with a token bucket of R messages a second, as deep as a second of it,
that answers 451 4.7.1 beyond, and at most C connections. One campaign writes to all of them and knows
neither. After a while R halves, and after another it is what it was. Told is the providers' own account.

A rate is found when ten seconds have passed in which 90% of it was let in, with 90% of it, and less than 2%
of all commands throttled, from their end to the end of the stretch. With `--output` the folder also gets
throttle.svg.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import contest
import rig
import throttle_plot
from contest import Contest, Promise

ALLOWED = ((5, 1), (5, 3), (5, 20), (50, 1), (50, 3), (50, 20), (500, 20))  # R, C
QUICK = ((20, 3),)
STRETCH_S, QUICK_S = 120.0, 30.0
LASTED_S = 10
OURS = 20  # connections that the campaign would open
REACHED, THROTTLED, WITHIN_S = 0.9, 0.02, 120.0
NEVER_S = 9_999  # more than is promised, however long a stretch is
START_S, LOOK_S = 60.0, 0.2
PROVIDERS = Path(__file__).with_name("providers.py")
STRETCHES = ("at first", "halved", "doubled again")


@dataclass(frozen=True)
class Stretch:
    """What was let in and refused while the rate was `rate`."""

    rate: float
    found_s: int  # NEVER_S where it was not
    messages: int  # until then
    reached: float  # of the rate, afterwards; of the whole stretch where it was not found
    throttled: float  # of all commands, afterwards


@dataclass(frozen=True)
class Seen:
    """One provider."""

    rate: float
    connections: int
    accepted: Sequence[int]  # in each second
    throttled: Sequence[int]
    commands: Sequence[int]
    peak: int
    stretch_s: int

    @property
    def name(self) -> str:
        return f"{self.rate:g}/s, {self.connections} connection{'s' * (self.connections > 1)}"

    @property
    def stretches(self) -> list[Stretch]:
        return [
            self._stretch(number, rate) for number, rate in enumerate((self.rate, self.rate / 2, self.rate))
        ]

    def _stretch(self, number: int, rate: float) -> Stretch:
        first, end = number * self.stretch_s, (number + 1) * self.stretch_s
        for since in range(first + LASTED_S, end - LASTED_S):
            lasted = sum(self.accepted[since - LASTED_S : since]) / LASTED_S / rate
            reached = sum(self.accepted[since:end]) / (end - since) / rate
            throttled = sum(self.throttled[since:end]) / max(1, sum(self.commands[since:end]))
            if min(lasted, reached) >= REACHED and throttled < THROTTLED:
                return Stretch(rate, since - first, sum(self.accepted[first:since]), reached, throttled)
        whole = sum(self.accepted[first:end])
        share = sum(self.throttled[first:end]) / max(1, sum(self.commands[first:end]))
        return Stretch(rate, NEVER_S, whole, whole / self.stretch_s / rate, share)


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--stretch", type=float, default=STRETCH_S, help="seconds of each rate")
    parser.add_argument("--all-at", nargs=2, type=float, metavar=("R", "C"), help="only this provider")
    parser.set_defaults(rounds=1)
    given = contest.options(__doc__, parser)
    allowed = ((given.all_at[0], int(given.all_at[1])),) if given.all_at else given.size(ALLOWED, QUICK)
    held = Contest("throttle", given)
    held.add("ours", partial(run, allowed, given.size(given.stretch, QUICK_S)))
    held.hold()
    rounds: list[list[Seen]] = held.results.get("ours", [])
    held.tell(list(rows(rounds)), list(promises(rounds, allowed, held.why("ours"))))
    if given.output is not None and rounds:
        (given.output / "throttle.svg").write_text(throttle_plot.svg(rounds[0], rig.machine()), "utf-8")


def rows(rounds: Sequence[Sequence[Seen]]) -> Iterator[dict[str, object]]:
    for same in zip(*rounds, strict=True):
        for number, what in enumerate(STRETCHES):
            found = [one.stretches[number] for one in same]
            yield {
                "provider": same[0].name,
                "rate": what,
                "found s": rig.spread(one.found_s for one in found),
                "messages until then": rig.spread(one.messages for one in found),
                "of the rate, then": rig.spread(one.reached for one in found),
                "throttled % of commands, then": rig.spread(100 * one.throttled for one in found),
                "connections": max(one.peak for one in same),
            }


def promises(
    rounds: Sequence[Sequence[Seen]], allowed: Sequence[tuple[float, int]], why: str
) -> Iterator[Promise]:
    for at, (rate, connections) in enumerate(allowed):
        stretches = [[*each[at].stretches] for each in rounds]
        who = f"{rate:g}/s over {connections}"
        for number, what in enumerate(STRETCHES):
            same = [one[number] for one in stretches]
            found = rig.spread(one.found_s for one in same) if same else None
            note = why or f"{REACHED:.0%} of it, and throttled less than {THROTTLED:.0%} from then on"
            yield Promise(f"{who}, {what}: found within", found, at_most=WITHIN_S, unit="s", note=note)


def run(allowed: Sequence[tuple[float, int]], stretch_s: float) -> list[Seen]:
    """One campaign, until the last stretch is over. Raises RuntimeError."""
    world = {
        f"p{number}.test": {
            "domains": [f"d{number}.test"],
            "message_rate": f"{rate:g}/s",
            "connections": connections,
            "changes": [
                (stretch_s, {"message_rate": f"{rate / 2:g}/s"}),
                (2 * stretch_s, {"message_rate": f"{rate:g}/s"}),
            ],
        }
        for number, (rate, connections) in enumerate(allowed)
    }
    with tempfile.TemporaryDirectory(prefix="throttle-") as name, providing(world) as (where, account):
        folder, events = Path(name), Path(name) / "events"
        write(folder, where, allowed, stretch_s)
        with rig.on(rig.client_core()):
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bulkmail",
                    "run",
                    folder / "campaign.yaml",
                    "--yes",
                    "--new",
                    "--json",
                ],
                stdin=subprocess.DEVNULL,
                stdout=events.open("wb"),
                stderr=(folder / "errors").open("wb"),
            )
        try:
            wait(process, events, 3 * stretch_s + 2)
            if process.poll() is not None:
                raise RuntimeError(f"it ended early: {(folder / 'errors').read_text('utf-8')[-500:]}")
            told = account()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(rig.STOP_S)
            finally:
                process.kill()
    length = int(3 * stretch_s)
    return [
        Seen(
            rate,
            connections,
            *[padded(told[f"p{at}.test"][kind], length) for kind in ("accepted", "throttled", "commands")],
            told[f"p{at}.test"]["peak_connections"],
            int(stretch_s),
        )
        for at, (rate, connections) in enumerate(allowed)
    ]


def padded(counts: Sequence[int], length: int) -> list[int]:
    return [*counts, *[0] * length][:length]


def wait(process: subprocess.Popen[bytes], events: Path, for_s: float) -> None:
    """So long from the moment when it says that it has begun, or until it ends."""
    end = time.monotonic() + START_S + for_s
    begun = False
    while process.poll() is None and time.monotonic() < end:
        if not begun and b'"progress"' in events.read_bytes():
            begun, end = True, time.monotonic() + for_s
        time.sleep(LOOK_S)


@contextmanager
def providing(world: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """These providers on the sink's core: where they are, and how to end them and have their account."""
    with rig.on(rig.sink_core()):
        process = subprocess.Popen(
            [sys.executable, str(PROVIDERS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(world) + "\n")
        process.stdin.flush()
        where = json.loads(process.stdout.readline())

        def account() -> Any:
            return json.loads(process.communicate(timeout=START_S)[0])

        yield where, account
    finally:
        process.kill()
        process.wait()


def write(
    folder: Path, where: Mapping[str, Any], allowed: Sequence[tuple[float, int]], stretch_s: float
) -> None:
    """The campaign: more for each provider than it may take in that time."""
    with (folder / "people.csv").open("w", encoding="utf-8") as people:
        people.write("email\n")
        for at, (rate, _) in enumerate(allowed):
            count = int(3.3 * rate * stretch_s) + 200
            people.writelines(f"p{n}@d{at}.test\n" for n in range(count))
    (folder / "hello.txt").write_text("Hello {{ email }},\n\n" + "this week at Acme\n" * 20, "utf-8")
    campaign = {
        "campaign": "throttle",
        "from": "Acme News <news@acme.example>",
        "subject": "Hello",
        "recipients": "people.csv",
        "content": "hello.txt",
        "delivery": {
            "via": "mx",
            "ehlo": "bench.acme.example",
            "tls": "none",
            "resolvers": [where["dns"]],
            "port": where["port"],
            "allow_private": True,
            "workers": 1,
        },
        "shaping": {
            "default": {"connections": OURS, "message_rate": "100000/s", "connection_rate": "1000/s"}
        },
    }
    (folder / "campaign.yaml").write_text(json.dumps(campaign, indent=1), "utf-8")


if __name__ == "__main__":
    main()
