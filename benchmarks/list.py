"""How fast a list is planned, and how much memory that takes: `python benchmarks/list.py`.

For each size, a CSV with a realistic mix of domains is written, and a fresh process reads it, plans it into
a real journal (the one `run` uses), counts what is in the journal, and reports its peak memory. The process
also imports what a run imports, so the figure is that of a whole run up to the first connection. Every size
is planned `--repeats` times; the median is reported, with the spread. After each, the same file is read by a
bare `csv.reader` on the same core: `of_csv` is how the rows a second of the two compare, `of_csv_cpu` their
processor time, which says more on a busy machine. Peak memory is of all processes together.
"""

from __future__ import annotations

import argparse
import compileall
import csv
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import rig

BIG = (("gmail.example", 0.40), ("outlook.example", 0.25), ("yahoo.example", 0.15))  # 80% of the people
HEADER = "email,first_name,last_name,country,joined,code\n"
NAMES = ("Ann", "Bob", "Chloé", "Dieter", "Eve", "Fatima", "Goran", "Hélène", "Ivo", "Jun")
CONTENTS = {
    "same": ("Readers <news@acme.example>", "Hello everybody.\n"),
    "name": ("Readers <news@acme.example>", "Hello {{ first_name }}.\n"),
    "personal": ("{{ email }}", "Hello {{ first_name }}, your code is {{ code }}.\n"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument(
        "--domains", type=int, default=100_000, help="at most; never more than a third of the rows"
    )
    parser.add_argument("--content", choices=CONTENTS, default="personal")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--flat", action="store_true", help="every domain as big as the others")
    parser.add_argument("--json", action="store_true", help="only the JSON, without the table")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the child: plan this file
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)  # the child: only read this file
    options = parser.parse_args()
    if options.bare is not None:
        print(json.dumps(read_bare(options.bare)))
        return
    if options.one is not None:
        print(json.dumps(plan_once(options.one, options.content)))
        return
    compileall.compile_dir(rig.CHECKOUT / "bulkmail", quiet=1)  # as an installation does
    results = [measure(rows, options) for rows in options.rows]
    if not options.json:
        print(table(results, options.content), file=sys.stderr)
    print(json.dumps({"benchmark": "list", "content": options.content, "results": results}))


def measure(rows: int, options: argparse.Namespace) -> dict[str, object]:
    domains = min(options.domains, max(1, rows // 3))
    with tempfile.TemporaryDirectory(prefix="bulkmail-list-") as folder:
        people = Path(folder) / "people.csv"
        with people.open("w", encoding="utf-8") as file:
            file.write(HEADER)
            file.writelines(lines(rows, domains, flat=options.flat))
        size = people.stat().st_size
        runs = [child(people, options.content) for _ in range(options.repeats)]
    ratios = [run["csv_seconds"] / run["seconds"] for run in runs]
    for run in runs:
        counted = sum(run["totals"].values()) - run["totals"]["source"]
        if not run["totals"]["source"] == counted == rows:
            raise SystemExit(f"the totals do not add up: {run['totals']}")
    seconds = [run["seconds"] for run in runs]
    return {
        "rows": rows,
        "domains": runs[0]["domains"],
        "megabytes": round(size / 1e6, 1),
        "totals": {state: n for state, n in runs[0]["totals"].items() if n},
        "seconds": round(statistics.median(seconds), 3),
        "spread_s": [round(min(seconds), 3), round(max(seconds), 3)],
        "rows_per_s": round(rows / statistics.median(seconds)),
        "of_csv": round(statistics.median(ratios), 4),
        "of_csv_spread": [round(min(ratios), 4), round(max(ratios), 4)],
        "of_csv_cpu": round(statistics.median(run["csv_cpu_s"] / run["cpu_s"] for run in runs), 4),
        "cpu_us_per_row": round(statistics.median(run["cpu_s"] for run in runs) / rows * 1e6, 2),
        "imported_mb": round(statistics.median(run["imported_mb"] for run in runs), 1),
        "peak_mb": round(max(run["peak_mb"] for run in runs), 1),
    }


def lines(rows: int, domains: int, *, flat: bool) -> Iterator[str]:
    """The same list for the same size. 0.5% are duplicates and 0.2% no address."""
    rng = random.Random(20_261_124)
    for number in range(rows):
        name = NAMES[number % len(NAMES)]
        if flat or number < domains:  # each domain at least once
            domain = f"d{number % domains}.example"
        else:
            domain = rng.choices((*(d for d, _ in BIG), ""), (*(w for _, w in BIG), 0.2))[0]
            domain = domain or f"d{rng.randrange(domains)}.example"
        user = number if number % 200 else 0
        address = f"user{user}@{domain}" if number % 500 else f"user{user}.{domain}"
        yield f"{address},{name},Example,ES,2026-01-{number % 28 + 1:02},{rng.getrandbits(64):016x}\n"


def child(people: Path, content: str) -> dict[str, object]:
    """The plan, and then the bare pass, each in a process of its own."""
    plan, bare = (
        rig.run([sys.executable, __file__, *more], pinned=rig.client_core())
        for more in (["--one", people, "--content", content], ["--bare", people])
    )
    if plan.code or bare.code:
        raise SystemExit(f"planning ended with {plan.code}, reading with {bare.code}")
    told = json.loads(plan.lines[-1])
    peak = max(told["peak_mb"], plan.peak_mb)
    return told | json.loads(bare.lines[-1]) | {"peak_mb": peak}


def read_bare(people: Path) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    with people.open(encoding="utf-8", newline="") as file:
        for _ in csv.reader(file):
            pass
    return {"csv_seconds": time.perf_counter() - began, "csv_cpu_s": time.process_time() - cpu}


def plan_once(people: Path, content: str) -> dict[str, object]:
    import apsw
    import dns.message  # noqa: F401  # what a run has in memory before it connects
    import pydantic  # noqa: F401
    import rich.progress  # noqa: F401
    import tenacity  # noqa: F401
    import trio  # noqa: F401

    from bulkmail.campaign.listing import ListSpec
    from bulkmail.campaign.plan import make_plan
    from bulkmail.journal.store import Store
    from bulkmail.journal.suppressions import Suppressions
    from bulkmail.message.composer import Composer
    from bulkmail.message.draft import Draft

    to, text = CONTENTS[content]
    draft = Draft("Acme <news@acme.example>", to, None, "News", {}, text, None, "bench")
    composer = Composer(draft, date=datetime(2026, 11, 24, tzinfo=UTC))
    imported = peak_mb()
    with tempfile.TemporaryDirectory(prefix="state-", dir=people.parent) as state:
        folder = Path(state)
        suppressions = Suppressions.open(folder / "project.db")
        began, cpu = time.perf_counter(), time.process_time()
        with Store.create(folder / "bench.journal", {"campaign": "bench"}) as store:
            make_plan(ListSpec([people]), composer, store, suppressions, folder=folder / "bench.spill")
            seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
            totals = store.totals()
        suppressions.close()
        peak = peak_mb()
        with apsw.Connection(str(folder / "bench.journal"), flags=apsw.SQLITE_OPEN_READONLY) as journal:
            domains = journal.execute("SELECT count(DISTINCT domain) FROM interval").fetchone()[0]
        journal.close()
        return {
            "seconds": seconds,
            "cpu_s": cpu_s,
            "totals": totals,
            "domains": domains,
            "imported_mb": imported,
            "peak_mb": peak,
        }


def peak_mb() -> float:
    """Of this process, in MB (10^6 octets); ru_maxrss is in KiB on Linux and in octets on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def table(results: list[dict[str, object]], content: str) -> str:
    columns = (
        "rows",
        "megabytes",
        "seconds",
        "spread_s",
        "rows_per_s",
        "of_csv",
        "of_csv_cpu",
        "cpu_us_per_row",
        "imported_mb",
        "peak_mb",
    )
    cells = [columns, *(tuple(str(result[column]) for column in columns) for result in results)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    text = "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in cells)
    return f"planning a list, content: {content}, {os.cpu_count()} cores\n{text}"


if __name__ == "__main__":
    main()
