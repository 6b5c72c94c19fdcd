"""How long bulkmail takes to begin: `python benchmarks/start.py`.

Two promises are measured. `--version` against a bare `python -c "import click"`, one after the other in turn.
And the time from the start of `bulkmail run` to the first RCPT of a campaign of ten recipients that was never
planned before: with `via: sandbox`, where the internet in a box is built in the same process (told by the
first message that it kept, which is a little later than its RCPT), and through DNS, SMTP and STARTTLS to
exchangers in this process.

Bytecode is there, as an installation leaves it, and in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import first_rcpt  # benchmarks/first_rcpt.py
import trio

from bulkmail.sandbox import serve

RECIPIENTS = 10
BARE = [sys.executable, "-c", "import click"]
VERSION = [sys.executable, "-m", "bulkmail", "--version"]
BY_SANDBOX = """\
campaign: start
from: "Acme <news@acme.example>"
to: "{{ first_name }} <{{ email }}>"
subject: "News for {{ first_name }}"
recipients: people.csv
content: news.txt
delivery: { via: sandbox }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", action="store_true", help="only the JSON, without the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkmail-start-") as bytecode:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        report(options)


def report(options: argparse.Namespace) -> None:
    measures: dict[str, Callable[[], float]] = {
        "import click": lambda: command(BARE),
        "--version": lambda: command(VERSION),
        "first RCPT, via sandbox": by_sandbox,
        "first RCPT, by MX": lambda: trio.run(by_mx),
    }
    times: dict[str, list[float]] = {name: [] for name in measures}
    for repeat in range(options.repeats + 1):  # the first is the warm-up
        for name, measure in measures.items():
            seconds = measure()
            if repeat:
                times[name].append(seconds)
    results: dict[str, Any] = {
        name: {
            "median_ms": round(statistics.median(each) * 1e3, 1),
            "spread_ms": [round(min(each) * 1e3, 1), round(max(each) * 1e3, 1)],
        }
        for name, each in times.items()
    }
    over_ms = round(results["--version"]["median_ms"] - results["import click"]["median_ms"], 1)
    if not options.json:
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"median of {options.repeats} (lowest to highest), {machine}", file=sys.stderr)
        for name, each in results.items():
            low, high = each["spread_ms"]
            print(f"{name:24} {each['median_ms']:7.1f} ms  ({low:.1f} to {high:.1f})", file=sys.stderr)
        print(f"--version takes {over_ms} ms more than import click", file=sys.stderr)
    print(json.dumps({"benchmark": "start", "results": results, "version_over_click_ms": over_ms}))


def command(arguments: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def by_sandbox() -> float:
    with tempfile.TemporaryDirectory(prefix="bulkmail-start-") as name:
        folder = Path(name)
        run = campaign(folder, BY_SANDBOX)
        began = time.time()
        subprocess.run(run, stdout=subprocess.DEVNULL, check=True)
        kept = (folder / ".bulkmail" / "start.sandbox.mail" / "maildir" / "new").iterdir()
        return min(int(message.name.partition(".")[0]) for message in kept) / 1e9 - began


async def by_mx() -> float:
    world = first_rcpt.Watched(keep="counts", unknown="accept")
    with tempfile.TemporaryDirectory(prefix="bulkmail-start-") as name:
        async with serve(world) as sandbox:
            dns = f"{sandbox.dns[0]}:{sandbox.dns[1]}"
            text = first_rcpt.CAMPAIGN.format(to="{{ email }}", port=sandbox.smtp_port, dns=dns)
            run = campaign(Path(name), text)
            began = time.monotonic()
            await trio.run_process(run, capture_stdout=True)
    if world.first_rcpt is None or len(world.ledger.copies) != RECIPIENTS:
        raise SystemExit(f"{len(world.ledger.copies)} of {RECIPIENTS} recipients were delivered to")
    return world.first_rcpt - began


def campaign(folder: Path, text: str) -> list[str]:
    """Ten people in four domains; the command that sends to them."""
    people = "".join(f"p{n}@d{n % 4}.example,Ann\n" for n in range(RECIPIENTS))
    (folder / "people.csv").write_text("email,first_name\n" + people)
    (folder / "news.txt").write_text("Hello {{ first_name }}.\n")
    (folder / "campaign.yaml").write_text(text)
    run = [sys.executable, "-m", "bulkmail", "run", str(folder / "campaign.yaml")]
    return [*run, "--new", "--yes", "--json"]


if __name__ == "__main__":
    main()
