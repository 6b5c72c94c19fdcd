"""Mail servers that others wrote, as the tests start them: `python benchmarks/foreign.py`.

Postfix's smtpd and Exim, each on the sink's core and fresh for every run, take the same mail from us and from
smtplib, over one connection with STARTTLS: a message for each, one for everybody (a hundred recipients a
transaction), and a message for each through a round trip of 50 ms, as receivers are met in the world. Nearer
than that, what they do themselves may be all that is seen: so `bare` (bare.py) writes a ready stream at them,
the fastest that anybody could be over that connection, and the column `receiver` has the share of its core.

They are set up to receive in bulk: everything is queued and nothing delivered meanwhile (Exim's `queue_only`,
Postfix without its queue manager), and the queue is in memory where there is /dev/shm, because the disk of
this machine is not what is asked. A rate counts only if each recipient is in the queue exactly once, by the
server's own tool, in as many messages as were sent. The clock is that of who sends. Exim 4.96 lets five
milliseconds pass between two messages of one connection (spec 3.4, a tick for each message id): nobody gets
more than 200 messages a second into it. Needs tests/foreign/install.sh, and root.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import contest
import receivers
import rig
import senders
import sink
import trio
from contest import Contest, Promise
from peers import material
from peers.job import Missing
from receivers import Taken
from senders import Job

sys.path.append(str(rig.CHECKOUT / "tests" / "foreign"))
from servers import SERVERS, NotInstalled

RECEIVERS = ("postfix", "exim")
SENDERS = ("bulkmail", "smtplib", "bare")
FAR_MS = 50.0
# what is sent: the round trip; to how many, by us, by smtplib and bare, in full and to see that it works
MAIL: dict[str, tuple[str, float, tuple[int, ...], int]] = {
    "personal": ("personal", 0.0, (6_000, 500, 6_000), 30),
    "shared": ("shared", 0.0, (40_000, 20_000, 40_000), 300),
    "personal, 50 ms away": ("personal", FAR_MS, (1_000, 30), 10),
}
SLOWER = {("exim", "personal"): (1_000, 500, 1_000)}
AT_LEAST = 5.0
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
DOMAINS = sorted({material.address(number).partition("@")[2] for number in range(1_000)})


def main() -> None:
    given = contest.options(__doc__)
    foreign = Contest("foreign", given)
    for receiver in RECEIVERS:
        for what, (scenario, rtt_ms, most, quick) in MAIL.items():
            sizes = SLOWER.get((receiver, what), most)
            for who, size in zip(SENDERS, sizes, strict=False):
                job = Job(scenario=scenario, recipients=given.size(size, quick), connections=1, rtt_ms=rtt_ms)
                foreign.add(f"{who}, {receiver}, {what}", partial(trio.run, taken, who, receiver, job))
    foreign.hold()
    rows = [receivers.row(name, found) for name, found in foreign.results.items()]
    listed = [
        promise
        for receiver in RECEIVERS
        for what, (_, rtt_ms, *_) in MAIL.items()
        for promise in promises(foreign, receiver, what, near=not rtt_ms)
    ]
    foreign.tell(rows, listed)


def promises(foreign: Contest, receiver: str, what: str, *, near: bool) -> list[Promise]:
    """What was promised; where the receiver is near, also what there was to be had."""
    ours, theirs, bare = (f"{who}, {receiver}, {what}" for who in SENDERS)
    about, note = f"foreign receivers, {what}", foreign.why(ours, theirs)
    of_bare, most = foreign.ratios(ours, bare, rate), foreign.ratios(bare, theirs, rate)
    if most is not None:
        note = note or f"a bare stream reaches {rig.shown(most.median)}×"
    promised, reached = f"{about}, over smtplib: {receiver}", foreign.ratios(ours, theirs, rate)
    listed = [Promise(promised, reached, at_least=AT_LEAST, over="smtplib", note=note)]
    if near:
        listed.append(Promise(f"{about}, of what a bare stream reaches: {receiver}", of_bare))
        listed.append(Promise(f"{about}, a bare stream over smtplib: {receiver}", most))
    return listed


def rate(each: Taken) -> float:
    return each.per_s


async def taken(who: str, receiver: str, job: Job) -> Taken:
    """One run. Raises Wrong, and Missing where this receiver or sender cannot run here."""
    with tempfile.TemporaryDirectory(prefix="foreign-") as name, rig.on(rig.sink_core()):
        folder, port = Path(name), receivers.free_port()
        server = SERVERS[receiver](folder, "127.0.0.1", port, DOMAINS, tls=True, hold=True, under=MEMORY)
        try:
            async with server as mx:
                with ExitStack() as way:
                    host = mx.address
                    if job.rtt_ms:
                        road = way.enter_context(sink.delayed(host, port, rtt_ms=job.rtt_ms))
                        host, port = road.host, road.port
                    sent = receivers.taken(who, job, host, port, folder, mx.pid)
                queued = mx.queued()
        except NotInstalled as reason:
            raise Missing(str(reason)) from None
    people = Counter(address for message in queued for address in message)
    if people != Counter(map(material.address, range(job.recipients))):
        raise senders.Wrong(f"{who}: {receiver} has {people.total()} of {job.recipients} recipients")
    if len(queued) != sent.messages:
        raise senders.Wrong(f"{who} sent {sent.messages} messages, {receiver} has {len(queued)}")
    return sent


if __name__ == "__main__":
    main()
