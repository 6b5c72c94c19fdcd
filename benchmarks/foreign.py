"""Mail servers that others wrote, as the tests start them: `python benchmarks/foreign.py`.

Postfix's smtpd and Exim, each on the sink's core and fresh for every run, take the same mail from us and from
smtplib, over one connection with STARTTLS: a message for each, one for everybody (a hundred recipients a
transaction), and a message for each through a round trip of 50 ms, as receivers are met in the world; nearer
than that, what they do themselves may be all that is seen. They queue and deliver everything into a mailbox:
a rate counts only if each recipient has exactly one copy there and the log has everybody as delivered, in as
many messages as were sent. The clock is that of who sends. Needs tests/foreign/install.sh, and root.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import contest
import rig
import senders
import sink
import trio
from contest import Contest, Promise
from peers import material
from peers.job import Missing
from senders import Job

sys.path.append(str(rig.CHECKOUT / "tests" / "foreign"))
from servers import SERVERS, ForeignServer, NotInstalled

RECEIVERS = ("postfix", "exim")
SENDERS = ("bulkmail", "smtplib")
FAR_MS = 50.0
# what is sent: the round trip; to how many, by us and by smtplib, in full and to see that it works
MAIL: dict[str, tuple[str, float, tuple[int, int], int]] = {
    "personal": ("personal", 0.0, (1_000, 1_000), 30),
    "shared": ("shared", 0.0, (5_000, 5_000), 300),
    "personal, 50 ms away": ("personal", FAR_MS, (1_000, 60), 10),
}
AT_LEAST = 5.0
DELIVERED_WITHIN_S = 300.0
DOMAINS = sorted({material.address(number).partition("@")[2] for number in range(1_000)})


@dataclass(frozen=True)
class Taken:
    """What was sent to a receiver, and that it has all of it."""

    recipients: int
    messages: int
    seconds: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.recipients / self.seconds


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--connections", type=int, default=1)
    given = contest.options(__doc__, parser)
    foreign = Contest("foreign", given)
    for receiver in RECEIVERS:
        for what, (scenario, rtt_ms, sizes, quick) in MAIL.items():
            for who, size in zip(SENDERS, sizes, strict=True):
                job = Job(
                    scenario=scenario,
                    recipients=given.size(size, quick),
                    connections=given.connections,
                    rtt_ms=rtt_ms,
                )
                foreign.add(f"{who}, {receiver}, {what}", partial(trio.run, taken, who, receiver, job))
    foreign.hold()
    rows = [
        {
            "who, to, what": name,
            "recipients": found[0].recipients,
            "messages": found[0].messages,
            "recipients/s for each connection": rig.spread(each.per_s / given.connections for each in found),
            "CPU µs a message": rig.spread(each.cpu_s / each.messages * 1e6 for each in found),
        }
        for name, found in foreign.results.items()
    ]
    foreign.tell(rows, [promise(foreign, receiver, what) for receiver in RECEIVERS for what in MAIL])


def promise(foreign: Contest, receiver: str, what: str) -> Promise:
    ours, theirs = (f"{who}, {receiver}, {what}" for who in SENDERS)
    return Promise(
        f"foreign receiver, {receiver}, {what}, counts exact: smtplib",
        foreign.ratios(ours, theirs, lambda each: each.per_s),
        at_least=AT_LEAST,
        over="smtplib",
        note=foreign.why(ours, theirs),
    )


async def taken(who: str, receiver: str, job: Job) -> Taken:
    """One run. Raises Wrong, and Missing where this receiver or sender cannot run here."""
    with tempfile.TemporaryDirectory(prefix="foreign-") as name, rig.on(rig.sink_core()):
        folder, port = Path(name), free_port()
        try:
            async with SERVERS[receiver](folder, "127.0.0.1", port, DOMAINS, tls=True) as server:
                return await sent_to(server, who, job, folder)
        except NotInstalled as reason:
            raise Missing(str(reason)) from None


async def sent_to(server: ForeignServer, who: str, job: Job, folder: Path) -> Taken:
    if not job.rtt_ms:
        used = sent(who, job, server.address, server.port, folder)
    else:
        with sink.delayed(server.address, server.port, rtt_ms=job.rtt_ms) as road:
            used = sent(who, job, road.host, road.port, folder)
    with trio.move_on_after(DELIVERED_WITHIN_S):
        await server.settled(job.recipients)
    boxes = Counter(to for message in server.messages() for to in message.recipients)
    log = server.log_entries()
    logged = Counter(entry.address for entry in log if entry.status == "delivered")
    queued = len({entry.queue_id for entry in log})
    wanted = Counter(map(material.address, range(job.recipients)))
    if not boxes == logged == wanted:
        copies = f"{boxes.total()} copies and {logged.total()} deliveries"
        raise senders.Wrong(f"{who}: {server.name} has {copies} for {job.recipients} recipients")
    if who == "bulkmail":
        told = senders.ended(used, job)
        messages, cpu_s = told["transactions"], used.cpu_s
    else:
        if used.code == senders.CANNOT:
            raise Missing(f"{who} cannot do {job.scenario} here")
        if used.code:
            raise senders.Wrong(f"{who} ended with {used.code}")
        told = json.loads(used.lines[-1])
        messages, cpu_s = told["messages"], told["cpu_s"]
    if messages != queued:
        raise senders.Wrong(f"{who} sent {messages} messages, {server.name} has queued {queued}")
    return Taken(job.recipients, messages, told["seconds"], cpu_s)


def sent(who: str, job: Job, host: str, port: int, folder: Path) -> rig.Used:
    """Nothing else runs meanwhile in this process: who sends has the other core."""
    if who == "bulkmail":
        command = senders.written(job, folder, f"smtp://{host}:{port}")
    else:
        command = senders.command_of(who, job, host, port, folder)
    return rig.run(command, pinned=rig.client_core(), environment=senders.SECRETS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
