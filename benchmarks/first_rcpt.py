"""Time to the first RCPT and peak memory of a whole run: `python benchmarks/first_rcpt.py`.

For each size a CSV over many domains is written, and the real command (`bulkmail run`, a process of its own)
plans it and delivers through DNS, SMTP and STARTTLS to a sandbox in this process, which notes when the first
RCPT of a recipient reaches it. After `--seconds` of delivery the run is asked to stop; its peak memory is the
operating system's figure for the finished process and all its children. The journal is on and synced.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import list as lists  # benchmarks/list.py: the same list for the same size
import trio

from bulkmail.sandbox import Domain, World, serve
from bulkmail.sandbox.behaviour import Said

CAMPAIGN = """\
campaign: bench
from: "Acme <news@acme.example>"
to: "{to}"
subject: "News"
recipients: people.csv
content: news.txt
delivery:
  via: mx
  port: {port}
  resolvers: ["{dns}"]
  allow_private: true
shaping: {{ default: {{ message_rate: 100000/s, connection_rate: 100000/s }} }}
"""


class Watched(World):
    """A world in which every domain takes mail, that knows when its first RCPT came."""

    first_rcpt: float | None = None

    def verdict(self, domain: Domain, local: str) -> Said | None:
        if self.first_rcpt is None:
            self.first_rcpt = time.monotonic()
        return super().verdict(domain, local)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument(
        "--domains", type=int, default=100_000, help="at most; never more than a third of the rows"
    )
    parser.add_argument("--content", choices=lists.CONTENTS, default="personal")
    parser.add_argument("--seconds", type=float, default=30.0, help="of delivery, then the run is stopped")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="only the JSON, without the table")
    options = parser.parse_args()
    results = [
        summary(rows, [trio.run(run_once, rows, options) for _ in range(options.repeats)])
        for rows in options.rows
    ]
    if not options.json:
        print(table(results, options), file=sys.stderr)
    ratio = round(results[-1]["peak_mb"] / results[0]["peak_mb"], 2)
    print(
        json.dumps(
            {"benchmark": "first_rcpt", "content": options.content, "results": results, "ratio": ratio}
        )
    )


async def run_once(rows: int, options: argparse.Namespace) -> dict[str, float]:
    world = Watched(keep="counts", unknown="accept")
    with tempfile.TemporaryDirectory(prefix="bulkmail-first-rcpt-") as name:
        folder = Path(name)
        domains = min(options.domains, max(1, rows // 3))
        with (folder / "people.csv").open("w", encoding="utf-8") as file:
            file.write(lists.HEADER)
            file.writelines(lists.lines(rows, domains, flat=False))
        to, text = lists.CONTENTS[options.content]
        (folder / "news.txt").write_text(text)
        async with serve(world) as sandbox:
            dns = f"{sandbox.dns[0]}:{sandbox.dns[1]}"
            (folder / "campaign.yaml").write_text(CAMPAIGN.format(to=to, port=sandbox.smtp_port, dns=dns))
            began = time.monotonic()
            command = [sys.executable, "-m", "bulkmail", "run", str(folder / "campaign.yaml")]
            command += ["--new", "--yes", "--json", "--until", f"{options.seconds:g}s"]
            code, usage = await trio.to_thread.run_sync(wait_for, command, folder / "events")
        last = json.loads((folder / "events").read_text().splitlines()[-1])
    if code not in (0, 5) or world.first_rcpt is None:
        raise SystemExit(f"the run failed: {last}")
    totals = last["totals"]
    if totals["source"] != rows or sum(totals.values()) != 2 * rows:
        raise SystemExit(f"the totals do not add up: {totals}")
    scale = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    return {
        "first_rcpt_s": world.first_rcpt - began,
        "peak_mb": usage.ru_maxrss / scale,
        "delivered": totals["delivered"],
        "delivery_s": last["seconds"],
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }


def wait_for(command: list[str], events: Path) -> tuple[int, resource.struct_rusage]:
    """Run it to its end; the exit code and what it used."""
    with events.open("w") as out:
        process = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def summary(rows: int, runs: list[dict[str, float]]) -> dict[str, float]:
    first = [run["first_rcpt_s"] for run in runs]
    return {
        "rows": rows,
        "first_rcpt_s": round(statistics.median(first), 2),
        "spread_s": [round(min(first), 2), round(max(first), 2)],
        "peak_mb": round(max(run["peak_mb"] for run in runs), 1),
        "delivered": round(statistics.median(run["delivered"] for run in runs)),
        "delivery_s": round(statistics.median(run["delivery_s"] for run in runs), 1),
    }


def table(results: list[dict[str, float]], options: argparse.Namespace) -> str:
    columns = ("rows", "first_rcpt_s", "spread_s", "peak_mb", "delivered", "delivery_s")
    cells = [columns, *(tuple(str(result[column]) for column in columns) for result in results)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    text = "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in cells)
    return (
        f"a whole run, content: {options.content}, at most {options.domains:,} domains, "
        f"{options.repeats} repeats, {os.cpu_count()} cores, Python {platform.python_version()}\n{text}"
    )


if __name__ == "__main__":
    main()
