"""One message for everybody, a hundred recipients a transaction: `python benchmarks/shared.py`.

The same 10 kB to a constant `to`, in clear text and with STARTTLS, over 1, 10 and 100 connections: ours from
the CSV to the journal, synced, and the peers beside it. A rate is of recipients, from the first RCPT to the
last message accepted; for ours also of the whole process, from its start to its end, held against what
smtplib does while it sends. Sizes are some seconds' worth; to have more is no advantage (flat.py).
"""

from __future__ import annotations

from functools import partial

import contest
import peers
import senders
from contest import Contest, Promise
from senders import Job, Sent

OURS = "bulkmail"
SIZES = {  # some seconds' worth; whole thousands, which is what a queue of Postfix is filled with
    OURS: 2_000_000,
    "smtplib": 200_000,
    "aiosmtplib": 100_000,
    "smtpproto": 100_000,
    "nodemailer": 300_000,
    "smtp-source": 600_000,
    "postfix": 200_000,
    "exim": 50_000,
}
QUICK = 2_000
CONNECTIONS = (1, 10, 100)
COMPARED = 10  # what is promised is promised for so many
# who, with TLS, at least
PROMISED = (
    ("smtplib", False, 15.0),
    ("nodemailer", False, 6.0),
    ("smtp-source", False, 4.0),
    ("postfix", False, 10.0),
    ("smtplib", True, 18.0),
)
WHOLE = 6.0  # times smtplib, all of the process


def name(who: str, tls: bool, connections: int) -> str:
    return f"{who}, {'STARTTLS' if tls else 'clear'}, {connections}"


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--connections", type=int, nargs="+")
    parser.add_argument("--recipients", type=int, default=SIZES[OURS], help="of ours")
    given = contest.options(__doc__, parser)
    sizes = {**SIZES, OURS: given.recipients}
    shared = Contest("shared", given)
    for connections in given.connections or ((COMPARED,) if given.quick else CONNECTIONS):
        for tls in (False, True):
            for who, recipients in sizes.items():
                if who in peers.PEERS and tls and not peers.PEERS[who].tls:
                    continue
                size = given.size(recipients, QUICK)
                if who == OURS and connections != COMPARED:
                    size = min(size, 500_000)
                job = Job(
                    scenario="shared",
                    recipients=size,
                    tls=tls,
                    connections=connections,
                    sink={"unique": True},
                )
                turn = partial(senders.ours, job) if who == OURS else partial(senders.peer, who, job)
                shared.add(name(who, tls, connections), turn)
    shared.hold()
    rows = [contest.sent_row(who, sents) for who, sents in shared.results.items()]
    shared.tell(rows, promises(shared))


def promises(shared: Contest) -> list[Promise]:
    def over(peer: str, tls: bool, least: float | None) -> Promise:
        ours, other = name(OURS, tls, COMPARED), name(peer, tls, COMPARED)
        what = f"shared, {'STARTTLS' if tls else 'clear text'}, from first to last RCPT: {peer}"
        reached = shared.ratios(ours, other, rate)
        return Promise(what, reached, at_least=least, over=peer, note=shared.why(ours, other))

    listed = [over(*one) for one in PROMISED]
    compared = {(peer, tls) for peer, tls, _ in PROMISED}
    for who, peer in peers.PEERS.items():
        listed += [
            over(who, tls, None)
            for tls in (False, True)
            if (who, tls) not in compared and (peer.tls or not tls)
        ]
    for tls in (False, True):
        ours, other = name(OURS, tls, COMPARED), name("smtplib", tls, COMPARED)
        how = "STARTTLS" if tls else "clear text"
        listed.append(
            Promise(
                f"shared, {how}, the whole process: smtplib",
                shared.ratios(ours, other, lambda sent: sent.whole_per_s, rate),
                at_least=WHOLE,
                over="smtplib",
                note=shared.why(ours, other),
            )
        )
    return listed


def rate(sent: Sent) -> float:
    return sent.recipients_per_s


if __name__ == "__main__":
    main()
