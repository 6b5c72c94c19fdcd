"""A hundred good domains beside a thousand bad ones: `python benchmarks/tarpits.py [--bad 1000]`.

The bad ones are black holes (a full backlog: SYNs are dropped), hosts that never greet, that greet an octet
every ten seconds, and that answer each command a minute late, a quarter of each. They are a sandbox
(`bulkmail sandbox`), which is also the name server of all; the good ones are the sink. One core has who
sends, another the rest. The plan hands out large intervals first, and those of the bad are the largest, so
that every session there is meets them before anybody good.

Told is the throughput of the good ones: their recipients, by the seconds from the event `started` to the last
message that the sink accepted; once with the bad ones in the list and once without, in turn. Then the run is
killed: the bad ones would hold it for hours. Until then memory, descriptors and tasks are looked at.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import contest
import dns.message
import dns.query
import rig
from contest import Contest, Promise

GOOD, BAD = 100, 1_000  # domains
GROUPS, EACH = 2_500, 2  # of a good domain, who share a message; their recipients
QUICK = (10, 20, 20)
ALONE, BESIDE = "the good alone", "beside the bad"
AT_LEAST = 0.95
KINDS: tuple[Any, ...] = ("black-hole", "never-greets", {"slow": "10s"}, {"tarpit": "60s"})
SINK = "127.1.0.1"  # the sandbox has 127.0.0.1
LOOK_S = 0.02
PATIENCE_S = 900.0
UNLIMITED = "1000000/s"
WATCHED = Path(__file__).with_name("watched.py")


@dataclass(frozen=True)
class Village:
    """How many domains of either kind there are, and groups in each good one."""

    good: int
    bad: int
    groups: int

    @property
    def recipients(self) -> int:
        return self.good * self.groups * EACH


@dataclass(frozen=True)
class Run:
    recipients: int
    seconds: float
    first_s: float  # until their first RCPT
    cpu_s: float
    peak_mb: float
    descriptors: int
    tasks: int
    held: int  # conversations and attempts with bad hosts, when the good ones were done
    sink_share: float

    @property
    def per_s(self) -> float:
        return self.recipients / self.seconds


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--good", type=int, default=GOOD, help="good domains")
    parser.add_argument("--bad", type=int, default=BAD, help="bad domains")
    parser.add_argument("--groups", type=int, default=GROUPS, help="transactions for each good domain")
    given = contest.options(__doc__, parser)
    sizes = QUICK if given.quick else (given.good, given.bad, given.groups)
    village = Village(*sizes)
    held = Contest("tarpits", given)
    small = Village(2, 0, 5)
    for name, what in ((ALONE, Village(village.good, 0, village.groups)), (BESIDE, village)):
        held.add(name, partial(run, what), warm_up=partial(run, small) if name == ALONE else None)
    held.hold()
    rows = [
        {
            "what": name,
            "good recipients": found[0].recipients,
            "good recipients/s": rig.spread(each.per_s for each in found),
            "seconds": rig.spread(each.seconds for each in found),
            "first RCPT s": rig.spread(each.first_s for each in found),
            "CPU s": rig.spread(each.cpu_s for each in found),
            "bad hosts held": rig.spread(each.held for each in found),
            "peak MB": rig.spread(each.peak_mb for each in found),
            "peak descriptors": rig.spread(each.descriptors for each in found),
            "peak tasks": rig.spread(each.tasks for each in found),
            "sink": rig.spread(each.sink_share for each in found).median,
        }
        for name, found in held.results.items()
    ]
    what = f"{village.good} domains beside {village.bad:,} tarpits: of their throughput alone"
    note = held.why(ALONE, BESIDE)
    per_s = held.ratios(BESIDE, ALONE, lambda each: each.per_s)
    per_cpu_s = held.ratios(BESIDE, ALONE, lambda each: each.recipients / each.cpu_s)
    held.tell(
        rows,
        [
            Promise(what, per_s, at_least=AT_LEAST, note=note),
            Promise(f"{what}, by CPU seconds", per_cpu_s, note=note),  # true on a busy machine, too
        ],
    )


def run(village: Village) -> Run:
    """Until the good ones have everything. Raises RuntimeError."""
    with (
        tempfile.TemporaryDirectory(prefix="tarpits-") as name,
        rig.sinking(host=SINK, starttls=False) as mx,
        sandbox(world(village), Path(name), mx.port) as resolver,
    ):
        folder = Path(name)
        write(village, folder, mx.port, resolver)
        with sending(folder) as process:
            began = started(process)
            last = began
            peak = Peak(process.pid, folder)
            while (counts := mx.counts()).recipients < village.recipients:
                if process.poll() is not None or time.monotonic() - began > PATIENCE_S:
                    raise RuntimeError(f"{counts.recipients} of {village.recipients} at the end")
                if time.monotonic() - last > rig.SAMPLE_S:
                    last = time.monotonic()
                    peak.look()
                drain(process)
                time.sleep(LOOK_S)
            cpu_s = peak.look()
        counts = mx.counts()
    assert counts.first_rcpt is not None
    assert counts.last_message is not None
    if counts.recipients != village.recipients:
        raise RuntimeError(f"{counts.recipients} arrived of {village.recipients}")
    seconds = counts.last_message - began
    return Run(
        village.recipients,
        seconds,
        counts.first_rcpt - began,
        cpu_s,
        peak.octets / 1e6,
        peak.descriptors,
        peak.tasks,
        max(0, peak.sockets - counts.open) if village.bad else 0,
        counts.cpu_s / seconds,
    )


# ---- the world ----


def world(village: Village) -> dict[str, Any]:
    """As `bulkmail sandbox` reads it."""
    good = {f"good{n}.test": {"hosts": {f"mx.good{n}.test": 10}} for n in range(village.good)}
    bad = {f"bad{n}.test": KINDS[n % len(KINDS)] for n in range(village.bad)}
    at = {f"mx.good{n}.test": {"addresses": [SINK]} for n in range(village.good)}
    return {"unknown_domains": "nxdomain", "domains": good | bad, "hosts": at}


@contextmanager
def sandbox(world: dict[str, Any], folder: Path, port: int) -> Iterator[str]:
    """That world on the sink's core, its hosts at `port`; where its name server is."""
    (folder / "world.yaml").write_text(json.dumps(world), "utf-8")
    command = [sys.executable, "-m", "bulkmail", "sandbox", folder / "world.yaml", "--json", "--keep"]
    command += ["ledger", "--directory", folder / "sandbox", "--port", str(port), "--dns-port", "0"]
    with rig.on(rig.sink_core()):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the sandbox did not begin")
        server = json.loads(line)["dns"]
        open_hosts(server, [name for name in world["domains"] if f"mx.{name}" not in world["hosts"]])
        yield server
    finally:
        process.kill()  # it has nothing to say that is needed, and thousands of conversations to end
        process.communicate()


def open_hosts(server: str, domains: Iterable[str]) -> None:
    """Hosts of a sandbox listen from the first time that they are asked for: not to be measured."""
    address, _, port = server.rpartition(":")
    for domain in domains:
        dns.query.udp(dns.message.make_query(f"mx.{domain}", "A"), address, 10.0, int(port))


def write(village: Village, folder: Path, port: int, resolver: str) -> None:
    """The campaign, its list and its message."""
    with (folder / "people.csv").open("w", encoding="utf-8") as people:
        people.write("email,group\n")
        for n in range(village.bad):
            people.writelines(f"p{k}@bad{n}.test,all\n" for k in range(EACH + 1))
        for n in range(village.good):
            people.writelines(
                f"p{group}-{k}@good{n}.test,{group}\n" for group in range(village.groups) for k in range(EACH)
            )
    write_campaign(folder, port, resolver, to="Readers <news@acme.example>", connections=2)


def write_campaign(folder: Path, port: int, resolver: str, *, to: str, **limits: int) -> None:
    """It has a list, a message, and no limits to speak of but those given."""
    (folder / "hello.txt").write_text("Hello group {{ group }},\n\n" + "this week at Acme\n" * 200, "utf-8")
    road = {"via": "mx", "resolvers": [resolver], "port": port, "allow_private": True}
    rates = {"message_rate": UNLIMITED, "connection_rate": UNLIMITED}
    campaign = {
        "campaign": "neighbours",
        "from": "Acme News <news@acme.example>",
        "to": to,
        "subject": "Hello",
        "recipients": "people.csv",
        "content": "hello.txt",
        "delivery": road | {"ehlo": "bench.acme.example", "tls": "opportunistic"},
        "shaping": {"default": rates | {"messages_per_connection": 1_000_000} | limits},
    }
    (folder / "campaign.yaml").write_text(json.dumps(campaign, indent=1), "utf-8")


# ---- who sends ----


@contextmanager
def sending(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The real command; it is killed at the end of the block."""
    command = [sys.executable, str(WATCHED), str(folder / "tasks"), "run", str(folder / "campaign.yaml")]
    with rig.on(rig.client_core()):
        process = subprocess.Popen(
            [*command, "--new", "--yes", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()


def started(process: subprocess.Popen[bytes]) -> float:
    """When its plan was made and it began to send."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "started":
            os.set_blocking(process.stdout.fileno(), False)
            return time.monotonic()
    raise RuntimeError(f"it ended with {process.wait()} before it began to send")


def drain(process: subprocess.Popen[bytes]) -> None:
    """What else it says is not needed; but it must be read."""
    assert process.stdout is not None
    while select.select([process.stdout], [], [], 0)[0] and os.read(process.stdout.fileno(), 65_536):
        pass


class Peak:
    """The most of everything that was seen of a process."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid, self._tasks = pid, folder / "tasks"
        self.octets = self.descriptors = self.sockets = self.tasks = 0

    def look(self) -> float:
        """Its CPU seconds until now."""
        self.octets = max(self.octets, rig.octets(self._pid, "status", "VmHWM:"))
        try:
            listed = os.listdir(f"/proc/{self._pid}/fd")
            used = Path(f"/proc/{self._pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0
        self.descriptors = max(self.descriptors, len(listed))
        self.sockets = len(listed)
        with suppress(OSError, ValueError):
            self.tasks = max(self.tasks, int(self._tasks.read_text("utf-8")))
        return sum(map(int, used[11:13])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
