"""The sink of somebody else: Postfix's smtp-sink, `python benchmarks/foreign_sink.py`.

What shared.py and personal.py show with a sink of ours is shown with one that we have not written: one
message for everybody and a message for each, in clear text over ten connections, DATA with PIPELINING, for
smtp-sink has neither STARTTLS nor CHUNKING. It counts messages (`-c`), not recipients: it has to have as many
as were sent, and how many recipients were accepted is the word of who sends. So a small run of ours before
that is kept (`-D`), and everybody has to be in it once. The clock is that of who sends. It is on the sink's
core; the column `receiver` has its share. Needs tests/foreign/install.sh.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import contest
import receivers
import rig
import senders
from contest import Contest, Promise
from peers import foreign, material
from receivers import Taken
from senders import Job

CONNECTIONS, BACKLOG = 10, 1_000
ROUNDS = 3  # nothing is promised
GREETS_WITHIN_S, STOPS_WITHIN_S = 30.0, 10.0
SIZES = {  # some seconds' worth; whole thousands, which is what a queue of Postfix is filled with
    "shared": {
        "bulkmail": 1_000_000,
        "smtplib": 50_000,
        "nodemailer": 200_000,
        "smtp-source": 200_000,
        "postfix": 50_000,
    },
    "personal": {"bulkmail": 40_000, "smtplib": 1_500, "aiosmtplib": 600, "nodemailer": 1_500},
}
QUICK = {"shared": 1_000, "personal": 100}
KEPT = {"shared": 3_000, "personal": 300}


@dataclass(frozen=True)
class Foreign:
    """A running smtp-sink."""

    port: int
    pid: int
    told: Path

    def counted(self) -> dict[str, int]:
        """Its counters: sess, quit and mesg."""
        shown = self.told.read_text().split("\r")
        last = next((one for one in reversed(shown) if "mesg=" in one), "")
        return {name: int(value) for name, _, value in (part.partition("=") for part in last.split())}


def main() -> None:
    given = contest.options(__doc__)
    held = Contest("foreign_sink", given)
    for scenario, sizes in SIZES.items():
        for who, size in sizes.items():
            recipients = given.size(size, QUICK[scenario])
            job = Job(scenario=scenario, recipients=recipients, tls=False, connections=CONNECTIONS)
            held.add(f"{who}, {scenario}", partial(taken, who, job), rounds=ROUNDS)
    held.hold()
    rows = [receivers.row(name, found) for name, found in held.results.items()]
    listed = [
        Promise(
            f"smtp-sink, {scenario}, clear text: {who}",
            held.ratios(f"bulkmail, {scenario}", f"{who}, {scenario}", lambda each: each.per_s),
            over=who,
            note=held.why(f"bulkmail, {scenario}", f"{who}, {scenario}"),
        )
        for scenario, sizes in SIZES.items()
        for who in sizes
        if who != "bulkmail"
    ]
    held.tell(rows, listed)


def taken(who: str, job: Job) -> Taken:
    """One run. Raises Wrong, and Missing where smtp-sink or this sender cannot run here."""
    with tempfile.TemporaryDirectory(prefix="foreign-sink-") as name:
        folder = Path(name)
        if who == "bulkmail":
            everybody_once(replace(job, recipients=min(KEPT[job.scenario], job.recipients)))
        with running(folder) as mx:
            sent = receivers.taken(who, job, "127.0.0.1", mx.port, folder, mx.pid)
            counted = settled(mx, sent.messages)
    if counted.get("mesg") != sent.messages:
        raise senders.Wrong(f"{who} sent {sent.messages} messages, smtp-sink has {counted}")
    return sent


def settled(mx: Foreign, messages: int) -> dict[str, int]:
    """Its counters, once it has written those of the last message, which it answers first."""
    end = time.monotonic() + STOPS_WITHIN_S
    while (counted := mx.counted()).get("mesg", 0) < messages and time.monotonic() < end:
        time.sleep(0.01)
    return counted


def everybody_once(job: Job) -> None:
    """What smtp-sink keeps of a run of ours has each recipient once, in as many messages as were sent."""
    with tempfile.TemporaryDirectory(prefix="foreign-sink-") as name:
        folder = Path(name)
        (folder / "kept").mkdir()
        with running(folder, "-D", f"{folder}/kept/mail") as mx:
            sent = receivers.taken("bulkmail", job, "127.0.0.1", mx.port, folder, mx.pid)
            settled(mx, sent.messages)
        lines = (folder / "kept" / "mail").read_bytes().splitlines()
    mark = b"X-Rcpt-Args: "
    people = Counter(line.removeprefix(mark).decode().strip("<>") for line in lines if line.startswith(mark))
    messages = sum(line.startswith(b"X-Mail-Args: ") for line in lines)
    if people != Counter(map(material.address, range(job.recipients))) or messages != sent.messages:
        raise senders.Wrong(f"smtp-sink has kept {people.total()} recipients in {messages} messages")


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Foreign]:
    """smtp-sink on its core while the block lasts. Raises Missing."""
    program = foreign.unpacked("postfix", "usr", "sbin", "smtp-sink")
    around = foreign.environment(foreign.unpacked("postfix", "usr", "lib", "postfix"))
    port, told = receivers.free_port(), folder / "told"
    command = [str(program), "-c", *options, f"inet:127.0.0.1:{port}", str(BACKLOG)]
    if os.geteuid() == 0:  # it insists on somebody else
        command[1:1] = ["-u", "nobody"]
        folder.chmod(0o755)
        for place in folder.iterdir():
            place.chmod(0o777 if place.is_dir() else 0o644)
    with rig.on(rig.sink_core()), told.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, env=around)
    try:
        end = time.monotonic() + GREETS_WITHIN_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"smtp-sink does not start: exit code {process.poll()}")
            time.sleep(0.02)
        yield Foreign(port, process.pid, told)
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        finally:
            process.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
