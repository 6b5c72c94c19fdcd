"""Receivers that others wrote, while somebody sends to them: foreign.py and foreign_sink.py.

They have no clock for us, so it is that of who sends; what they have counted is held against what was sent.
How busy their core was is told beside each rate: near 1, the receiver is what was measured.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rig
import senders
from peers.job import Missing
from senders import Job

BARE = Path(__file__).with_name("bare.py")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Taken:
    """What was sent to a receiver."""

    recipients: int
    messages: int
    seconds: float
    cpu_s: float  # of who sent
    receiver_cpu_s: float

    @property
    def per_s(self) -> float:
        return self.recipients / self.seconds


def taken(who: str, job: Job, host: str, port: int, folder: Path, receiver: int) -> Taken:
    """Who sends has its core for itself. `receiver`: the process of the other side. Raises Wrong, Missing."""
    if who == "bulkmail":
        command = senders.written(job, folder, f"smtp://{host}:{port}")
    elif who == "bare":
        command = [sys.executable, str(BARE), "--host", host, "--port", str(port)]
        command += ["--scenario", job.scenario, "--recipients", str(job.recipients)]
        command += ["--per-transaction", str(job.per_transaction)]
    else:
        command = senders.command_of(who, job, host, port, folder)
    before = cpu_s(receiver)
    used = rig.run(command, pinned=rig.client_core(), environment=senders.SECRETS)
    receiver_cpu_s = cpu_s(receiver) - before
    if who == "bulkmail":
        told = senders.ended(used, job)
        messages, cpu = told["transactions"], used.cpu_s
    else:
        if used.code == senders.CANNOT:
            raise Missing(f"{who} cannot do {job.scenario} here")
        if used.code:
            raise senders.Wrong(f"{who} ended with {used.code}")
        told = json.loads(used.lines[-1])
        messages, cpu = told["messages"], told["cpu_s"]
    return Taken(job.recipients, messages, told["seconds"], cpu, receiver_cpu_s)


def row(name: str, found: Sequence[Taken]) -> dict[str, object]:
    return {
        "who, to, what": name,
        "recipients": found[0].recipients,
        "messages": found[0].messages,
        "recipients/s": rig.spread(each.per_s for each in found),
        "CPU µs a message": rig.spread(each.cpu_s / each.messages * 1e6 for each in found),
        "receiver's CPU µs": rig.spread(each.receiver_cpu_s / each.messages * 1e6 for each in found),
        "receiver": rig.spread(each.receiver_cpu_s / each.seconds for each in found).median,
    }


def cpu_s(pid: int) -> float:
    """User and system, of that process, of all below it, and of those that they have waited for."""
    total = 0
    for each in (pid, *rig.descendants(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
