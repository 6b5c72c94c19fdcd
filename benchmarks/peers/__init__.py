"""What somebody could use instead of us, each set up for bulk as its own documentation advises.

    python benchmarks/peer.py smtplib --port 2525 --scenario shared --recipients 100000 --connections 10

sends to whatever listens there and prints one JSON line. A peer is a module with `send(job) -> Sent`; it has
the same three scenarios on the same newsletter (material.py), as far as it can:

- shared: one constant message of 10 kB, so many recipients a transaction as the job says;
- personal: a message for each, built with the peer's own means, one recipient a transaction;
- signed: the same with DKIM, RSA-2048.

Whatever is refused is an error, never a rate. What a peer does before its first connection (reading a
template, filling the queue of a daemon) is not in `seconds`, as planning is not in ours.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

from .job import Missing, Send


class Peer(NamedTuple):
    """Where it is, what it can do, and whether it needs the environment of environment.py."""

    module: str
    scenarios: tuple[str, ...]
    tls: bool = True
    own_environment: bool = False

    def load(self) -> Send:
        send: Send = importlib.import_module(f"{__name__}.{self.module}").send
        return send


ALL = ("shared", "personal", "signed")
PEERS = {
    "smtplib": Peer("with_smtplib", ALL, own_environment=True),
    "aiosmtplib": Peer("with_aiosmtplib", ALL, own_environment=True),
    # It writes every message itself, which is the end of a signature made before.
    "smtpproto": Peer("with_smtpproto", ("shared", "personal"), own_environment=True),
    "nodemailer": Peer("with_nodemailer", ALL),
    # It sends what it is given, without TLS.
    "smtp-source": Peer("smtp_source", ("shared",), tls=False),
    # They relay what others built; Exim signs by itself, Postfix would need a filter.
    "postfix": Peer("postfix_relay", ("shared", "personal"), own_environment=True),
    "exim": Peer("exim_relay", ALL, own_environment=True),
}


def peer_for(name: str, scenario: str, *, tls: bool) -> Peer:
    """The peer of that name. Raises Missing where it does not do this."""
    peer = PEERS[name]
    if scenario not in peer.scenarios:
        raise Missing(f"has no scenario {scenario}: only {', '.join(peer.scenarios)}")
    if tls and not peer.tls:
        raise Missing("has no TLS")
    return peer
