"""What README.md shows of the results: `python benchmarks/readme.py`, which all.py does, too.

Between two markers in README.md stands a short table of what was promised, a row for what belongs together,
the picture, and when and with what it was measured; everything from results/results.json and nothing by hand
(a test compares). What was missed is bold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plot
import rig

README = rig.CHECKOUT / "README.md"
RESULTS = Path(__file__).resolve().parent / "results"
BEGIN, END = (
    "<!-- benchmarks: begin (python benchmarks/readme.py writes this) -->",
    "<!-- benchmarks: end -->",
)

BOUNDS = {"at_least": "≥", "at_most": "≤"}


def main() -> None:
    results = json.loads((RESULTS / "results.json").read_text("utf-8"))
    README.write_text(written(README.read_text("utf-8"), results), "utf-8")


def written(text: str, results: Mapping[str, Any]) -> str:
    """README.md with what these results say."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has lost the markers of the benchmarks")
    return f"{before}{BEGIN}\n{block(results)}\n{END}{after}"


def block(results: Mapping[str, Any]) -> str:
    scenarios = results["scenarios"]
    promised = [
        one
        for each in (scenarios[name] for name in sorted(scenarios, key=plot.place))
        for one in each.get("promises", ())
        if "at_least" in one or "at_most" in one
    ]
    rows: dict[str, list[str]] = {}
    for one in promised:
        if one.get("reached"):
            what, colon, which = one["what"].rpartition(": ")
            rows.setdefault(what if colon else which, []).append(cell(which if colon else "", one))
    lines = ["| what | median (promised) |", "|---|---|"]
    lines += [f"| {what} | {'; '.join(cells)} |" for what, cells in rows.items()]
    held, missed = (sum(one["holds"] is verdict for one in promised) for verdict in (True, False))
    open_ = len(promised) - held - missed
    told = f"{held} of {len(promised)} promises held, **{missed} missed**"
    told += f", {open_} not measured" if open_ else ""
    failed = [name for name, each in scenarios.items() if "failed" in each]
    told += f" ({', '.join(failed)}: not at all)." if failed else "."
    picture = f"![bulkmail ÷ peer, bars]({(RESULTS / 'ratios.svg').relative_to(rig.CHECKOUT)})"
    table = (RESULTS / "results.md").relative_to(rig.CHECKOUT)
    where = f"{told} {measured(results)} Every table, with the peers: [{table}]({table})."
    return "\n".join([*lines, "", where, "", picture])


def cell(which: str, one: Mapping[str, Any]) -> str:
    """One promise: what was reached, the bound, and what is to be known of it."""
    unit = one.get("unit", "×")
    bounds = [f"{sign} {rig.shown(float(one[key]))}" for key, sign in BOUNDS.items() if key in one]
    note = f"; {one['note']}" if one.get("note") else ""
    text = f"{rig.shown(float(one['reached']['median']))} {unit} ({', '.join(bounds)}{note})"
    text = f"{which}: {text}" if which else text
    return f"**{text}**" if one["holds"] is False else text


def measured(results: Mapping[str, Any]) -> str:
    """Where, when, with what and how often."""
    done = [each for each in results["scenarios"].values() if "failed" not in each]
    days = sorted({each["machine"]["date"].partition(" ")[0] for each in done})
    commits = sorted({each["machine"]["bulkmail"] for each in done})
    counts = sorted({each["rounds"] for each in done})
    rounds = f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} round{'s' * (counts[-1] > 1)}"
    about = results["machine"]
    # each scenario is measured where it was asked for last, which need not be one machine for all
    cpus = sorted({each["machine"]["cpu"] for each in done})
    machine = f"{about['cores'].partition(' ')[0]} cores of an {' or an '.join(cpus)}, {about['kernel']}"
    day = " to ".join(dict.fromkeys((days[0], days[-1])))
    versions = f"Python {about['python']}, OpenSSL {about['openssl']}, bulkmail {', '.join(commits)}"
    return f"Measured by `python benchmarks/all.py`, {rounds}, {day}: {machine}, {versions}."


if __name__ == "__main__":
    main()
