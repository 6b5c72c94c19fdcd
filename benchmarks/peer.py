"""One peer sends one scenario and says how fast: `python benchmarks/peer.py NAME --port N --scenario S …`.

Prints one JSON line: {peer, scenario, messages, recipients, seconds, cpu_s, …}. The other side is whatever
listens at the port, and counts for itself. Who cannot run here says in one line what is missing, exit code 3.
See peers/__init__.py for what is measured, and each module there for how the peer is set up.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from peers import PEERS, environment, peer_for
from peers.job import CACHE, Job, Missing

MISSING = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scenario", choices=("shared", "personal", "signed"), default="shared")
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--tls", action="store_true", help="STARTTLS, the certificate unchecked")
    parser.add_argument("--per-transaction", type=int, default=100, help="recipients, where they share one")
    parser.add_argument("--key", type=Path, help="RSA-2048 as PEM; made where it is not given")
    if sys.argv[1:] == ["--install"]:
        install()
        return
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a daemon and its folder go with us
    try:
        peer = peer_for(given.peer, given.scenario, tls=given.tls)
        if peer.own_environment and environment.INSIDE not in os.environ:
            python = environment.python()
            os.execve(python, [str(python), *sys.argv], {**os.environ, environment.INSIDE: "1"})
        job = Job(
            host=given.host,
            port=given.port,
            scenario=given.scenario,
            recipients=given.recipients,
            connections=given.connections,
            tls=given.tls,
            per_transaction=given.per_transaction,
            key=given.key or (signing_key() if given.scenario == "signed" else Path()),
        )
        sent = peer.load()(job)
    except Missing as missing:
        print(f"{given.peer}: {missing}", file=sys.stderr)
        raise SystemExit(MISSING) from None
    except Exception as error:  # of a library of others, often many at once: one line says it
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise SystemExit(f"{given.peer}: {type(error).__name__}: {error}") from None
    if (sent.messages, sent.recipients) != (job.messages, job.recipients):
        raise SystemExit(f"{given.peer}: {sent.recipients} of {job.recipients} recipients were accepted")
    asked = {"tls": job.tls, "connections": job.connections}
    print(json.dumps({"peer": given.peer, "scenario": job.scenario, **asked, **rounded(sent._asdict())}))


def install() -> None:
    """What peers need that can be installed, at once and not when one of them first runs."""
    try:
        print(f"peers: {environment.python()}, {environment.node_modules()}")
    except Missing as missing:
        print(f"peers: {missing}", file=sys.stderr)
        raise SystemExit(MISSING) from None


def rounded(sent: dict[str, object]) -> dict[str, object]:
    more = sent.pop("more")
    assert isinstance(more, dict)
    return {
        name: round(value, 4) if isinstance(value, float) else value for name, value in (sent | more).items()
    }


def signing_key() -> Path:
    """A key for those who were given none; kept, because making one takes longer than a short run."""
    path = CACHE / "rsa2048.pem"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        command = ["openssl", "genrsa", "-traditional", "-out", str(fresh), "2048"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise Missing("openssl cannot make a key: give one with --key") from None
        fresh.rename(path)
    return path


if __name__ == "__main__":
    main()
