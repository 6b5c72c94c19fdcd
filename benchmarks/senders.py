"""Who sends: bulkmail itself, and the peers, as processes of their own, held to what the sink has seen.

Both get the same people and the same newsletter (peers/material.py), and a fresh sink each time. Nothing is a
rate before the sink has counted every recipient, refused nothing, and seen nobody speak out of turn. The
clock is the sink's, for all alike: from the first RCPT to the last message accepted.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rig
import sink
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from peers import material
from peers.job import Missing

UNLIMITED = "1000000/s"
PEER = Path(__file__).parent / "peer.py"
CANNOT = 3  # the exit code of a peer that cannot do this here
SECRETS = {"BENCH_SECRET": material.SECRET}  # what the campaign takes from its environment


class Wrong(Exception):
    """What was counted is not what was asked for: there is no rate."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be sent, and through what. `sink` holds options of `sink.running`."""

    scenario: str  # shared, personal or signed
    recipients: int
    tls: bool = True
    connections: int = 10
    per_transaction: int = 100  # recipients, where they share a message
    rtt_ms: float = 0.0
    key: Path | None = None  # RSA-2048 in PEM for `signed`; made where none is given
    sink: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """One run of one sender."""

    who: str
    job: Job
    used: rig.Used  # by the whole process: start, planning, building, sending
    first_rcpt_s: float  # from its start
    seconds: float  # from the first RCPT to the last message accepted
    counts: sink.Counts
    told: Mapping[str, Any]  # its own last line

    @property
    def messages_per_s(self) -> float:
        return self.counts.transactions / self.seconds

    @property
    def recipients_per_s(self) -> float:
        return self.counts.recipients / self.seconds

    @property
    def whole_per_s(self) -> float:
        """Recipients a second, from the start of the process to its end."""
        return self.counts.recipients / self.used.seconds

    @property
    def sink_share(self) -> float:
        """Of its core, while it was sent to. Near 1, the sink would be what was measured."""
        return self.counts.cpu_s / self.seconds


def ours(
    job: Job,
    *,
    pinned: set[int] | None = None,
    more: Mapping[str, Any] | None = None,
    options: tuple[str, ...] = (),
    under: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Sent:
    """`bulkmail run`, journal on and synced, on the client's core unless `pinned` says otherwise.

    `more` is laid over the campaign, section by section; `options` are further ones of the command, and
    `under` is a command that runs it. Raises Wrong.
    """
    with tempfile.TemporaryDirectory(prefix="bulkmail-bench-") as name, reached(job) as (mx, host, port):
        command = written(job, Path(name), f"smtp://{host}:{port}", more)
        began = time.monotonic()
        used = rig.run(
            [*under, *command, *options],
            pinned=pinned or rig.client_core(),
            environment={**SECRETS, **(environment or {})},
        )
        counts = mx.counts()
    finished = ended(used, job)
    if finished["transactions"] != counts.transactions:
        raise Wrong(f"bulkmail says {finished['transactions']} transactions, the sink {counts.transactions}")
    return judged("bulkmail", job, used, began, counts, finished)


def written(job: Job, folder: Path, via: str, more: Mapping[str, Any] | None = None) -> list[str]:
    """The campaign and its list, in `folder`; the command that runs it, with `SECRETS` in its environment."""
    wanted = laid_over(campaign(job, folder, via), more or {})
    (folder / "campaign.yaml").write_text(json.dumps(wanted, indent=1))  # which is YAML, too
    write_people(folder / "people.csv", job)
    run = [sys.executable, "-m", "bulkmail", "run", str(folder / "campaign.yaml")]
    return [*run, "--new", "--yes", "--json"]


def ended(used: rig.Used, job: Job) -> dict[str, Any]:
    """What it said at its end, if everybody was delivered to. Raises Wrong."""
    finished: dict[str, Any] = json.loads(used.lines[-1]) if used.lines else {}
    if used.code != 0 or finished.get("event") != "finished":
        why = finished.get("reason") or f"its last event: {finished.get('event', 'none')}"
        raise Wrong(f"bulkmail ended with {used.code}, {why}")
    totals = finished["totals"]
    if not totals["source"] == totals["delivered"] == job.recipients:
        raise Wrong(f"bulkmail says {totals}")
    return finished


def peer(who: str, job: Job, *, pinned: set[int] | None = None) -> Sent:
    """One of `peers.PEERS`, likewise. Raises Wrong, and `Missing` where it cannot do this here."""
    with tempfile.TemporaryDirectory(prefix="bulkmail-bench-") as name, reached(job) as (mx, host, port):
        command = command_of(who, job, host, port, Path(name))
        began = time.monotonic()
        used = rig.run(command, pinned=pinned or rig.client_core())
        counts = mx.counts()
    if used.code == CANNOT:
        raise Missing(f"{who} cannot do {job.scenario} here")
    if used.code != 0:
        raise Wrong(f"{who} ended with {used.code}")
    return judged(who, job, used, began, counts, json.loads(used.lines[-1]))


def command_of(who: str, job: Job, host: str, port: int, folder: Path) -> list[str]:
    """A peer's; a key that it needs and the job does not have is made in `folder`."""
    command = [sys.executable, str(PEER), who, "--host", host, "--port", str(port)]
    command += ["--scenario", job.scenario, "--recipients", str(job.recipients)]
    command += ["--connections", str(job.connections), "--per-transaction", str(job.per_transaction)]
    command += ["--tls"] if job.tls else []
    return command + (["--key", str(signing_key(job, folder))] if job.scenario == "signed" else [])


@contextmanager
def reached(job: Job) -> Iterator[tuple[sink.Sink, str, int]]:
    """A fresh sink, and where it is reached: at its own port, or at that of a road to it."""
    with rig.sinking(**job.sink) as mx:
        if not job.rtt_ms:
            yield mx, mx.host, mx.port
            return
        with rig.on(rig.sink_core()), sink.delayed(mx.host, mx.port, rtt_ms=job.rtt_ms) as road:
            yield mx, road.host, road.port


def judged(
    who: str, job: Job, used: rig.Used, began: float, counts: sink.Counts, told: Mapping[str, Any]
) -> Sent:
    """What was measured, if the sink agrees."""
    individual = job.scenario != "shared"
    problems = {
        f"{counts.recipients} recipients of {job.recipients}": counts.recipients != job.recipients,
        f"{counts.transactions} messages": individual and counts.transactions != job.recipients,
        f"{counts.tls} handshakes": bool(counts.tls) != job.tls,
        f"{counts.refused} refusals": counts.refused != 0,
        f"{counts.early} commands out of turn": counts.early != 0,
    }
    wrong = [problem for problem, found in problems.items() if found]
    if wrong or counts.first_rcpt is None or counts.last_message is None:
        raise Wrong(f"{who}, {job.scenario}: the sink has {', '.join(wrong) or 'nothing'}")
    seconds = counts.last_message - counts.first_rcpt
    return Sent(who, job, used, counts.first_rcpt - began, seconds, counts, told)


# ---- our campaign ----


def campaign(job: Job, folder: Path, via: str) -> dict[str, Any]:
    """The newsletter as a campaign file has it; what it needs is in `folder`. No limits but the job's."""
    wanted: dict[str, Any] = {
        "campaign": "bench",
        "from": material.FROM,
        "reply_to": material.REPLY_TO,
        "recipients": "people.csv",
        "list": {"id": material.LIST_ID, "postal_address": material.POSTAL_ADDRESS},
        "content": {"template": "newsletter.html"},
        "delivery": {"via": via, "allow_private": True, "tls": "required" if job.tls else "none"},
        "shaping": {
            "default": {
                "connections": job.connections,
                "message_rate": UNLIMITED,
                "connection_rate": UNLIMITED,
                "recipients_per_transaction": job.per_transaction,
                "messages_per_connection": 1_000_000_000,
            }
        },
    }
    if job.scenario == "shared":
        (folder / "newsletter.html").write_text(material.constant_html(), "utf-8")
        wanted |= {
            "to": f"Readers <{material.REVERSE_PATH}>",
            "subject": "Hellebores, compost and Saturday in the greenhouse",
        }
        wanted["content"]["text"] = "none"  # the peers' message has none either
        return wanted
    (folder / "newsletter.html").write_text(material.HTML, "utf-8")
    wanted |= {
        "kind": "marketing",
        "to": "{{ first_name }} {{ last_name }} <{{ email }}>",
        "subject": material.SUBJECT,
        "headers": {"X-Team": "growth"},
        "unsubscribe": {
            "url": material.URL,
            "mailto": material.MAILTO,
            "secret": {"env": "BENCH_SECRET"},
        },
    }
    if job.scenario == "signed":
        key = {"file": str(signing_key(job, folder))}
        signer = {"domain": material.DKIM_DOMAIN, "selector": material.DKIM_SELECTOR, "key": key}
        wanted["delivery"]["dkim"] = [signer]
    return wanted


def laid_over(wanted: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`more` wins; sections are merged."""
    merged = dict(wanted)
    for name, value in more.items():
        under = merged.get(name)
        merged[name] = laid_over(under, value) if isinstance(under, dict) else value
    return merged


def write_people(path: Path, job: Job) -> None:
    """The people of the peers' newsletter, as the list of ours."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if job.scenario == "shared":
            file.write("email\n")
            file.writelines(f"{material.address(number)}\n" for number in range(job.recipients))
            return
        writer = csv.writer(file)
        writer.writerow(("email", *material.FIELDS))
        rows = ((material.address(number), material.row(number)) for number in range(job.recipients))
        writer.writerows((address, *row.values()) for address, row in rows)


def signing_key(job: Job, folder: Path) -> Path:
    """The job's, or a new one; PKCS#1, because dkimpy reads no other."""
    if job.key is not None:
        return job.key
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    path = folder / "dkim.pem"
    path.write_bytes(made.private_bytes(serialization.Encoding.PEM, *form))
    path.chmod(0o600)
    return path
