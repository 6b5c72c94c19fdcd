"""One message for everybody, a hundred recipients a transaction: `python benchmarks/shared.py`.

The same 10 kB to a constant `to`, in clear text and with STARTTLS: ours from the CSV to the journal, synced,
and the peers beside it, over ten connections; over one and over a hundred ours and smtplib. A rate is of
recipients, from the first RCPT to the last message accepted; for ours also of the whole process, from its
start to its end, held against what smtplib does while it sends. Sizes are some seconds' worth; to have more
is no advantage (flat.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import contest
import peers
import senders
from contest import Contest, Promise
from senders import Job, Sent

OURS = "bulkmail"
SIZES = {  # some seconds' worth; whole thousands, which is what a queue of Postfix is filled with
    OURS: 2_000_000,
    "smtplib": 100_000,
    "aiosmtplib": 50_000,
    "smtpproto": 50_000,
    "nodemailer": 200_000,
    "smtp-source": 400_000,
    "postfix": 100_000,
    "exim": 30_000,
}
QUICK, FEWER = 2_000, 500_000
CONNECTIONS = (1, 10, 100)
COMPARED = 10  # what is promised is promised for so many; with others, ours beside smtplib
BESIDE, BESIDE_ROUNDS = (OURS, "smtplib"), 3
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
                beside = connections != COMPARED
                if beside and who not in BESIDE:
                    continue
                job = Job(
                    scenario="shared",
                    recipients=given.size(min(recipients, FEWER) if beside else recipients, QUICK),
                    tls=tls,
                    connections=connections,
                    sink={"unique": True},
                )
                turn = senders.ours if who == OURS else partial(senders.peer, who)
                shared.add(
                    name(who, tls, connections),
                    partial(turn, job),
                    warm_up=None if beside else partial(turn, replace(job, recipients=QUICK)),
                    rounds=BESIDE_ROUNDS if beside else None,
                )
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
