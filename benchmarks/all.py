"""Everything, one after the other, into one table and one picture: `python benchmarks/all.py`.

Each benchmark is a process of its own, with a time that it may take; one that fails, or has no time left, is
named with the reason, and the others go on. After each, the folder has what is known until then:
results.json, results.md and ratios.svg. What is there already of others stays (`--only NAME` measures one
anew), each with the date and the machine of its own. The folder is results/ in the repository, and README.md
is written with it, unless another is named; tiny runs (`--quick`) have one of their own. Exit code 0: all
ran, whatever they showed; 1: not all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import contest
import plot
import readme
import rig
from others import OTHERS

HERE = Path(__file__).resolve().parent
TINY = rig.CHECKOUT / ".cache" / "quick-results"
# What takes long stands last.
SCENARIOS = (
    "start",
    "calls",
    "latency",
    "connections",
    "signed",
    "personal",
    "longtail",
    "journal",
    "flat",
    "nowhere",
    "tarpits",
    "fairness",
    "list",
    "resume",
    "foreign",
    "foreign_sink",
    "shared",
)
STOP_S = 30.0  # for one that was told to end
LATE = 1.5  # times its minutes, until it is told: a round that had begun may end


class Failed(Exception):
    """It has no result."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="may be given again")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny and once, to see that everything works")
    parser.add_argument("--minutes", type=float, default=300.0, help="for all; what is left out is told")
    parser.add_argument("--each", type=float, default=45.0, help="minutes for one of them")
    parser.add_argument("--output", type=Path, help="the folder for what was seen")
    given = parser.parse_args()
    kept = given.output is None and not given.quick
    given.output = given.output or (readme.RESULTS if kept else TINY)
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "results.json"
    seen: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known = seen.get("scenarios", {})
    end, failed = time.monotonic() + given.minutes * 60, 0
    for name in SCENARIOS:
        if given.only is not None and name not in given.only:
            continue
        began = time.monotonic()
        try:
            known[name] = measured(name, given, min(given.each, (end - began) / 60))
        except Failed as reason:
            failed += 1
            known[name] = {"failed": str(reason), "machine": rig.machine()}
            print(f"{name}: {reason}", file=sys.stderr)
        known[name]["took_s"] = round(time.monotonic() - began, 1)
        ordered = {each: known[each] for each in SCENARIOS if each in known}
        write(given.output, {"machine": rig.machine(), "scenarios": ordered})
        if kept:
            readme.main()
    print((given.output / "results.md").read_text("utf-8"))
    return 1 if failed else 0


def measured(name: str, given: argparse.Namespace, minutes: float) -> dict[str, Any]:
    """One of them: its machine, rows and promises. Raises Failed."""
    if minutes <= 0:
        raise Failed("there was no time left")
    command = [sys.executable, str(HERE / f"{name}.py"), "--json"]
    other = OTHERS.get(name)
    if other is None:
        command += ["--rounds", str(given.rounds), "--minutes", f"{minutes:.2f}"]
        command += ["--quick"] if given.quick else []
    else:
        command += [*(other.quick if given.quick else other.full), "--repeats"]
        command += ["1" if given.quick else str(given.rounds)]
    print(f"==== {name}", file=sys.stderr)
    said = output(command, minutes * 60 * LATE)
    if other is None:
        return said
    promises = [promise.as_json() for promise in other.promises(said)]
    return {
        "benchmark": name,
        "machine": rig.machine(),
        "quick": given.quick,
        "rounds": 1 if given.quick else given.rounds,
        "results": other.rows(said),
        "promises": [{**one, "holds": None} for one in promises] if given.quick else promises,
        "missing": {},
    }


def output(command: Sequence[str], within_s: float) -> dict[str, Any]:
    """The JSON that it prints. It and whatever it started are gone afterwards. Raises Failed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, start_new_session=True)
        late = False
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            stop(process)
        out.seek(0)
        lines = out.read().splitlines()
    if late:
        raise Failed(f"was not done after {within_s / 60:.0f} minutes")
    if process.returncode:
        raise Failed(f"ended with {process.returncode}")
    try:
        said: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise Failed("said nothing") from None
    return said


def stop(process: subprocess.Popen[bytes]) -> None:
    """First asked, then its whole group is killed: it has one of its own."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# ---- what is written ----


def write(folder: Path, results: Mapping[str, Any]) -> None:
    (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "results.md").write_text(markdown(results), "utf-8")
    (folder / "ratios.svg").write_text(plot.svg(results), "utf-8")


def markdown(results: Mapping[str, Any]) -> str:
    """The promises of all, then what each has seen."""
    scenarios: Mapping[str, Any] = results["scenarios"]
    listed = [one for each in scenarios.values() for one in each.get("promises", ())]
    promised = [one for one in listed if "at_least" in one or "at_most" in one]
    held, missed = (sum(one["holds"] is verdict for one in promised) for verdict in (True, False))
    parts = ["# What was measured", f"Last on: {machine_line(results['machine'])}"]
    parts.append(f"Of {len(promised)} promises {held} hold and {missed} do not; others were not judged.")
    parts.append(rig.table([contest.promised(one) for one in promised]))
    for name, each in scenarios.items():
        parts.append(f"## {name}")
        if "failed" in each:
            parts.append(f"Not measured: {each['failed']}.")
            continue
        quick = ", tiny: no rate of it means anything" if each["quick"] else ""
        where = f"{each['machine']['date']}, {each['machine']['cpu']}, bulkmail {each['machine']['bulkmail']}"
        parts.append(f"{each['rounds']} rounds, {each['took_s']:,.0f} s, {where}{quick}")
        parts.append(
            rig.table([{key: spread(value) for key, value in row.items()} for row in each["results"]])
        )
        ratios = [one for one in each["promises"] if one.get("reached") and one not in promised]
        parts.append(rig.table([contest.promised(one) for one in ratios]))
        parts.append("\n".join(f"- {who}: {reason}" for who, reason in each["missing"].items()))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def machine_line(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def spread(value: object) -> object:
    """As the table wants it, from JSON."""
    if isinstance(value, dict) and set(value) == set(rig.Spread._fields):
        return rig.Spread(**value)
    return value


if __name__ == "__main__":
    sys.exit(main())
