"""What the scenarios have in common: their options, who takes part, and what was promised of it.

A scenario says who sends what, holds the contest, and says what it was to show. Somebody who cannot take part
(a peer that is not installed) or fails is named with the reason, and the others go on. A ratio is taken in
each round; its median is told, with the lowest and the highest, beside what was promised. With `--quick`
everything is tiny and runs once: that shows that it works, and its rates mean nothing.
"""

from __future__ import annotations

import argparse
import compileall
import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import rig
from peers.job import Missing
from rig import Spread
from senders import Sent

Value = TypeVar("Value", int, float)


@dataclass(frozen=True)
class Promise:
    """A row of the table of what must be seen, and what was. `reached` is None where it was not measured."""

    what: str
    reached: Spread | None
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"
    over: str = ""  # the peer, where it is a ratio to one
    note: str = ""

    @property
    def holds(self) -> bool | None:
        if self.reached is None or (self.at_least is None and self.at_most is None):
            return None
        enough = self.at_least is None or self.reached.median >= self.at_least
        return enough and (self.at_most is None or self.reached.median <= self.at_most)

    def as_json(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return rig.plain(told) | {"holds": self.holds}


class Given(argparse.Namespace):
    """The options that every scenario has."""

    rounds: int
    quick: bool
    minutes: float
    only: list[str] | None
    json: bool
    output: Path | None

    def size(self, full: Value, quick: Value) -> Value:
        return quick if self.quick else full


def parser(doc: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    made.add_argument("--rounds", type=int, default=5, help="of which the median counts")
    made.add_argument("--quick", action="store_true", help="tiny and once, to see that it works")
    made.add_argument("--minutes", type=float, default=60.0, help="then no further round begins")
    made.add_argument("--only", action="append", help="who has this in the name; may be given again")
    made.add_argument("--json", action="store_true", help="only the JSON, without the table")
    made.add_argument("--output", type=Path, help="a folder for the table and the JSON")
    return made


def options(doc: str | None, made: argparse.ArgumentParser | None = None) -> Given:
    """What was asked for. From here on SIGTERM ends us as an exception does: what was started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    compileall.compile_dir(rig.CHECKOUT / "bulkmail", quiet=1)  # as an installation does
    return (made or parser(doc)).parse_args(namespace=Given())


class Contest:
    """Who takes part, and the results of each round; `missing` says why somebody has none."""

    def __init__(self, name: str, given: Given) -> None:
        self.name, self.given = name, given
        self.missing: dict[str, str] = {}
        self.results: dict[str, list[Any]] = {}
        self._turns: dict[str, Callable[[], Any]] = {}
        self._warm_ups: dict[str, Callable[[], Any]] = {}
        self._rounds: dict[str, int] = {}

    def add(
        self,
        name: str,
        turn: Callable[[], Any],
        *,
        warm_up: Callable[[], Any] | None = None,
        rounds: int | None = None,
    ) -> None:
        """`warm_up`: a small turn before the first; `rounds`: so many are enough, nothing is promised."""
        if self.given.only is None or any(part in name for part in self.given.only):
            self._turns[name] = turn
            if warm_up is not None and not self.given.quick:
                self._warm_ups[name] = warm_up
            if rounds is not None:
                self._rounds[name] = rounds

    def hold(self) -> None:
        if not self._turns:
            raise SystemExit(f"{self.name}: nobody takes part")
        found = rig.rounds(
            {name: partial(self._turn, name, turn) for name, turn in self._turns.items()},
            repeats=1 if self.given.quick else self.given.rounds,
            warm_ups={name: partial(self._turn, name, turn) for name, turn in self._warm_ups.items()},
            fewer=self._rounds,
            within_s=self.given.minutes * 60,
        )
        self.results = {name: each for name, each in found.items() if name not in self.missing}

    def _turn(self, name: str, turn: Callable[[], Any]) -> Any:
        if name in self.missing:
            return None
        try:
            return turn()
        except Missing as reason:
            self.missing[name] = str(reason)
        except Exception as error:  # the others are worth measuring all the same
            self.missing[name] = f"{type(error).__name__}: {error}"
        print(f"{name}: {self.missing[name]}", file=sys.stderr)
        return None

    # ---- what was seen ----

    def ratios(
        self, one: str, other: str, of: Callable[[Any], float], of_other: Callable[[Any], float] | None = None
    ) -> Spread | None:
        """Of one to the other, each round by itself; None where one of them has no result."""
        if one not in self.results or other not in self.results:
            return None
        pairs = zip(self.results[one], self.results[other], strict=True)
        return rig.spread(of(ours) / (of_other or of)(theirs) for ours, theirs in pairs)

    def seen(self, name: str, of: Callable[[Any], float]) -> Spread | None:
        return rig.spread(map(of, self.results[name])) if name in self.results else None

    def why(self, *names: str) -> str:
        """Why there is no result of one of these."""
        return "; ".join(f"{name}: {self.missing[name]}" for name in names if name in self.missing)

    def tell(self, rows: Iterable[Mapping[str, object]], promises: Sequence[Promise] = ()) -> None:
        """Tables on standard error, JSON on standard output, both in the folder where one was given."""
        rows, about = list(rows), rig.machine()
        listed = [promise.as_json() for promise in promises]
        if self.given.quick:  # so small that it says nothing
            listed = [{**one, "holds": None} for one in listed]
        written = {
            "benchmark": self.name,
            "machine": about,
            "quick": self.given.quick,
            "rounds": max(map(len, self.results.values()), default=0),
            "results": [rig.plain(row) for row in rows],
            "promises": listed,
            "missing": self.missing,
        }
        text = "\n\n".join(
            filter(
                None,
                (
                    rig.table(rows),
                    rig.table([promised(one) for one in listed]),
                    "\n".join(f"- {name}: {reason}" for name, reason in self.missing.items()),
                    ", ".join(f"{key} {value}" for key, value in about.items()),
                ),
            )
        )
        if not self.given.json:
            print(f"{self.name}\n\n{text}", file=sys.stderr)
        print(json.dumps(written))
        if self.given.output is not None:
            self.given.output.mkdir(parents=True, exist_ok=True)
            (self.given.output / f"{self.name}.md").write_text(f"## {self.name}\n\n{text}\n", "utf-8")
            (self.given.output / f"{self.name}.json").write_text(json.dumps(written) + "\n", "utf-8")


def promised(one: Mapping[str, Any]) -> dict[str, object]:
    """A row of the table that people read, from a promise as JSON has it."""
    unit = one.get("unit", "×")
    behind = f" {unit}" if unit[:1].isalnum() else unit
    bound = ""
    if "at_least" in one:
        bound = f"≥ {rig.shown(float(one['at_least']))}{behind}"
    if "at_most" in one:
        bound = f"≤ {rig.shown(float(one['at_most']))}{behind}"
    reached = one.get("reached")
    verdict = {True: "holds", False: "**missed**", None: ""}[one["holds"]]
    return {
        "what": one["what"],
        "promised": bound,
        "reached": rig.shown(Spread(**reached)) + behind if reached else "not measured",
        "": verdict,
        "note": one.get("note", ""),
    }


def sent_row(name: str, sents: Sequence[Sent]) -> dict[str, object]:
    """A line of the table: what everybody who sends is told of."""
    return {
        "who": name,
        "recipients": sents[0].counts.recipients,
        "recipients/s": rig.spread(sent.recipients_per_s for sent in sents),
        "messages/s": rig.spread(sent.messages_per_s for sent in sents),
        "whole process, recipients/s": rig.spread(sent.whole_per_s for sent in sents),
        "CPU µs a message": rig.spread(sent.used.cpu_s / sent.counts.transactions * 1e6 for sent in sents),
        "peak MB": max(sent.used.peak_mb for sent in sents),
        "sink": rig.spread(sent.sink_share for sent in sents).median,
    }
