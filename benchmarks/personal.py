"""A message for each, rendered from six fields, one recipient a transaction: `python benchmarks/personal.py`.

Where something is promised, with STARTTLS: ours to a sink that offers CHUNKING, and to one that does not,
where only DATA is left; in clear text and over 1 and 100 connections beside it. The peers build each message
with their own means (peers/__init__.py) and may use all that the sink offers; a daemon is handed what Python
built, and only its delivery is timed. Each message gets a queue id of its own in the reply.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import contest
import senders
from contest import Contest, Promise
from senders import Job, Sent

CHUNKING: dict[str, Any] = {"unique": True}
DATA: dict[str, Any] = {"unique": True, "chunking": False}
BEST, DATA_ONLY = "bulkmail, CHUNKING, STARTTLS, 10", "bulkmail, DATA only, STARTTLS, 10"
OURS = {  # sink, with TLS, connections
    BEST: (CHUNKING, True, 10),
    DATA_ONLY: (DATA, True, 10),
    "bulkmail, CHUNKING, clear, 10": (CHUNKING, False, 10),
    "bulkmail, DATA only, clear, 10": (DATA, False, 10),
    "bulkmail, CHUNKING, STARTTLS, 1": (CHUNKING, True, 1),
    "bulkmail, CHUNKING, STARTTLS, 100": (CHUNKING, True, 100),
}
SIZE, FEWER, QUICK = 100_000, 40_000, 200
BESIDE_ROUNDS = 3  # of those of which nothing is promised
PEERS = {  # some seconds' worth
    "smtplib": 2_000,
    "aiosmtplib": 2_000,
    "smtpproto": 2_000,
    "nodemailer": 4_000,
    "postfix": 2_000,
    "exim": 800,
}
RELAYS = ("postfix", "exim")
PROMISED = ((BEST, "smtplib", 20.0), (BEST, "aiosmtplib", 20.0), (DATA_ONLY, "nodemailer", 6.0))


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--recipients", type=int, default=SIZE, help="of ours")
    given = contest.options(__doc__, parser)
    personal = Contest("personal", given)
    for name, (sink, tls, connections) in OURS.items():
        promised = name in (BEST, DATA_ONLY)
        size = given.size(given.recipients if promised else min(FEWER, given.recipients), QUICK)
        job = Job(scenario="personal", recipients=size, tls=tls, connections=connections, sink=sink)
        small, rounds = replace(job, recipients=QUICK), None if promised else BESIDE_ROUNDS
        personal.add(name, partial(senders.ours, job), warm_up=partial(senders.ours, small), rounds=rounds)
    for peer, recipients in PEERS.items():
        job = Job(scenario="personal", recipients=given.size(recipients, QUICK), sink=CHUNKING)
        small = replace(job, recipients=QUICK)
        personal.add(peer, partial(senders.peer, peer, job), warm_up=partial(senders.peer, peer, small))
    personal.hold()
    rows = [contest.sent_row(name, sents) for name, sents in personal.results.items()]
    listed = [over(personal, *one) for one in PROMISED]
    told = {(ours, peer) for ours, peer, _ in PROMISED}
    others = [(ours, peer, None) for peer in PEERS for ours in (BEST, DATA_ONLY) if (ours, peer) not in told]
    personal.tell(rows, [*listed, *(over(personal, *one) for one in others)])


def over(personal: Contest, ours: str, peer: str, least: float | None) -> Promise:
    does = "relaying what Python built" if peer in RELAYS else "building each message"
    return Promise(
        f"personal, STARTTLS, {ours.split(', ')[1]}: {peer} {does}",
        personal.ratios(ours, peer, rate),
        at_least=least,
        over=peer,
        note=personal.why(ours, peer),
    )


def rate(sent: Sent) -> float:
    return sent.messages_per_s


if __name__ == "__main__":
    main()
