"""A message for each, signed with RSA-2048: `python benchmarks/signed.py`.

As personal.py, with STARTTLS and CHUNKING. What nobody can be faster than is measured in the same rounds:
bare signatures of the same library with the same key, one after the other on the same core. Then ours with
both cores, in which the sink has its part, too: as two processes, and as one with threads that sign; the
better of the two is what the second core brings.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import contest
import rig
import senders
from contest import Contest, Promise
from senders import Job, Sent

RAW, OURS = "raw RSA-2048", "bulkmail"
TWO = ("bulkmail, two cores, --workers 2", "bulkmail, two cores, threads")
SIZE, QUICK = 20_000, 200
PEERS = {"smtplib": 500, "aiosmtplib": 500, "nodemailer": 1_500, "exim": 500}  # some seconds' worth
PROMISED = {"nodemailer": 4.5, "smtplib": 20.0}
OF_RAW, SECOND_CORE = 0.80, 1.5
RAW_S, BATCH = 3.0, 64


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--recipients", type=int, default=SIZE, help="of ours")
    parser.add_argument("--raw", type=Path, help="only the bare signatures, with this key")
    parser.add_argument("--seconds", type=float, default=RAW_S, help="of them")
    given = contest.options(__doc__, parser)
    if given.raw is not None:
        print(json.dumps({"signatures_per_s": bare(given.raw, given.seconds)}))
        return
    with tempfile.TemporaryDirectory(prefix="signed-") as folder:
        hold(given, Path(folder))


def hold(given: contest.Given, folder: Path) -> None:
    signed = Contest("signed", given)
    ours = Job(scenario="signed", recipients=given.size(given.recipients, QUICK), sink={"unique": True})
    ours = replace(ours, key=senders.signing_key(ours, folder))
    assert ours.key is not None
    signed.add(RAW, partial(raw, ours.key, given.size(given.seconds, 0.1)))
    small = replace(ours, recipients=QUICK)
    signed.add(OURS, partial(senders.ours, ours), warm_up=partial(senders.ours, small))
    both = set(rig.cores()[:2])
    if len(both) > 1:
        for name, workers in zip(TWO, ("2", "1"), strict=True):
            turn = partial(senders.ours, pinned=both, options=("--workers", workers))
            signed.add(name, partial(turn, ours), warm_up=partial(turn, small))
    for peer, recipients in PEERS.items():
        job = replace(ours, recipients=given.size(recipients, QUICK))
        signed.add(peer, partial(senders.peer, peer, job), warm_up=partial(senders.peer, peer, small))
    signed.hold()
    rows = [contest.sent_row(name, sents) for name, sents in signed.results.items() if name != RAW]
    bare_rates = signed.seen(RAW, float)
    rows += [{"who": RAW, "messages/s": bare_rates}] if bare_rates else []
    signed.tell(rows, list(promises(signed)))


def promises(signed: Contest) -> list[Promise]:
    listed = [
        Promise(
            "signed, STARTTLS: the raw RSA-2048 rate of one core",
            signed.ratios(OURS, RAW, rate, float),
            at_least=OF_RAW,
            note=signed.why(OURS, RAW),
        )
    ]
    for peer in PEERS:
        reached = signed.ratios(OURS, peer, rate)
        what, note = f"signed, STARTTLS: {peer} with DKIM", signed.why(OURS, peer)
        listed.append(Promise(what, reached, at_least=PROMISED.get(peer), over=peer, note=note))
    brings = [(signed.ratios(name, OURS, rate), name) for name in TWO]
    best = max((each for each in brings if each[0] is not None), default=(None, ""))
    what = "signed: the second core, over one"
    note = best[1] or signed.why(OURS, *TWO) or "there is one core"
    listed.append(Promise(what, best[0], at_least=SECOND_CORE, note=note))
    return listed


def rate(sent: Sent) -> float:
    return sent.messages_per_s


# ---- nobody can be faster ----


def raw(key: Path, seconds: float) -> float:
    command = [sys.executable, __file__, "--raw", str(key), "--seconds", str(seconds)]
    used = rig.run(command, pinned=rig.client_core())
    if used.code:
        raise senders.Wrong(f"the bare signatures ended with {used.code}")
    return float(json.loads(used.lines[-1])["signatures_per_s"])


def bare(path: Path, seconds: float) -> float:
    """Signatures a second, of about as much header as those of a message cover."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    header, how, digest = b"from:news@acme.example\r\n" * 40, padding.PKCS1v15(), hashes.SHA256()
    for _ in range(BATCH):
        key.sign(header, how, digest)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(BATCH):
            key.sign(header, how, digest)
        done += BATCH
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
