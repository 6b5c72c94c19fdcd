"""Campaigns for the long run, drawn from a number, with every fault at once; and the law for each of them.

A campaign has some tens of domains of a few to many people, half of the domains good, the others each with a
fault that the sandbox knows. Times are short, so that a campaign in which nothing works is over in seconds.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bulkmail.journal import STATES, Store

NAME = "endurance"
STOP_S = 20.0  # for a sandbox to say what it has seen
# As `bulkmail sandbox` reads them; those that wait longer than our time limits are tarpits.
FAULTS: tuple[Any, ...] = (
    "nxdomain",
    "servfail",
    "dns-timeout",
    "mx-unresolvable",
    "mx-servfail",
    "null-mx",
    "mx-cname",
    "many-mx",
    "malformed",
    "truncated",
    "refuse-connections",
    "reset",
    "dead-addresses",
    "black-hole",
    "never-greets",
    {"slow": "3s"},
    {"slow": "1ms"},
    {"tarpit": "10s"},
    {"tarpit": "100ms"},
    {"stops-reading": "DATA"},
    "blocked",
    "busy",
    "greets-354",
    "greets-http",
    "greets-binary",
    "no-ehlo",
    "mixed-codes",
    "endless-lines",
    "endless-line",
    "escapes",
    "extra-reply",
    "missing-reply",
    "no-tls",
    "tls-refused",
    "tls-extra",
    "tls-broken",
    "tls-untrusted",
    {"drop": {"stage": "MAIL", "times": 2}},
    {"drop": {"stage": "RCPT", "reply": "421 4.3.2 going down"}},
    {"drop": {"stage": "DATA", "reset": True, "times": 3}},
    {"reply": {"MAIL": "451 4.3.0 later"}},
    {"reply": {"RCPT": "421 4.7.0 not now"}},
    {"reply": {"END_OF_DATA": "452 4.3.1 disk full"}},
    "drop-body",
    "drop-before-accepting",
    "drop-after-accepting",
    {"stall": "END_OF_DATA"},
    {"stall": "RCPT"},
    "refuse-mail",
    "refuse-data",
    "refuse-content",
    "refuse-then-close",
    "always-354",
    "rcpt-limit",
    "flushes-input",
    "withhold",
    {"close-after": 3},
    "max-connections",
    "no-pipelining",
    "no-8bitmime",
    "bdat-refused",
    "refuse-rset",
    "greylist",
    "unknown",
    "full",
    {"later": "1 seconds"},
)
LIMITS = dict.fromkeys(("connect", "tls", "greeting", "ehlo", "mail", "rcpt", "data", "block"), "1s")
RETRY = {"first": "300ms", "factor": 2, "max": "1s", "give_up": "4s"}


class Unaccounted(Exception):
    """What arrived and what the journal says are not the same."""


@dataclass(frozen=True)
class Campaign:
    """One of them. `people` are in its list, once each, and nobody else is."""

    number: int
    folder: Path
    people: tuple[str, ...]
    world: dict[str, Any]
    workers: int

    @property
    def file(self) -> Path:
        return self.folder / "campaign.yaml"

    @property
    def journal(self) -> Path:
        return self.folder / ".bulkmail" / f"{NAME}.journal"


def drawn(seed: int, number: int, folder: Path, *, scale: float = 1.0) -> Campaign:
    """The `number`th campaign of `seed`."""
    rng = random.Random(f"{seed}/{number}")
    domains: dict[str, Any] = {}
    people: list[str] = []
    for n in range(int(rng.randint(30, 80) * scale) + 2):
        name = f"d{n}.c{number}.test"
        domains[name] = {} if rng.random() < 0.5 else rng.choice(FAULTS)
        people += [f"p{k}@{name}" for k in range(rng.choice((1, 1, 2, 3, 20, int(150 * scale) + 1)))]
    rng.shuffle(people)
    return Campaign(
        number, folder, tuple(people), {"unknown_domains": "nxdomain", "domains": domains}, rng.choice((1, 2))
    )


def write(campaign: Campaign, resolver: str, port: int, seed: int) -> None:
    """Its list, its message and the file that `bulkmail run` is given."""
    rng = random.Random(f"{seed}/{campaign.number}/settings")
    rows = [f"{one},Reader {n}" for n, one in enumerate(campaign.people)]
    (campaign.folder / "people.csv").write_text("\n".join(["email,name", *rows, ""]), "utf-8")
    personal = rng.random() < 0.5
    greeting = "Hello {{ name }}," if personal else "Hello,"
    body = "this week at Acme\n" * rng.choice((5, 200, 3_000))
    (campaign.folder / "hello.txt").write_text(f"{greeting}\n\n{body}", "utf-8")
    tree = {
        "campaign": NAME,
        "from": "Acme News <news@acme.example>",
        "to": "{{ name }} <{{ email }}>" if personal else "Readers <news@acme.example>",
        "subject": "Hello",
        "recipients": "people.csv",
        "content": "hello.txt",
        "log": "accounting.jsonl",
        "delivery": {
            "via": "mx",
            "ehlo": "out.acme.example",
            "tls": "opportunistic",
            "resolvers": [resolver],
            "port": port,
            "allow_private": True,
            "retry": RETRY,
            "on_doubt": "hold",
            "time_limits": {**LIMITS, "end_of_data": "2s", "quit": "500ms"},
        },
        "shaping": {
            "default": {
                "connections": rng.choice((1, 2, 5)),
                "message_rate": "10000/s",
                "connection_rate": "10000/s",
                "recipients_per_transaction": rng.choice((1, 10, 100)),
                "messages_per_connection": rng.choice((1, 5, 100)),
            }
        },
    }
    campaign.file.write_text(json.dumps(tree, indent=1), "utf-8")


@contextmanager
def served(campaign: Campaign) -> Iterator[tuple[str, int]]:
    """Its world in a process of its own: name server and port. A ledger has what was accepted."""
    (campaign.folder / "world.yaml").write_text(json.dumps(campaign.world), "utf-8")
    command = [sys.executable, "-m", "bulkmail", "sandbox", campaign.folder / "world.yaml", "--json"]
    command += ["--keep", "ledger", "--directory", campaign.folder / "received"]
    command += ["--port", "0", "--dns-port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield ready["dns"], ready["port"]
            process.terminate()
            process.communicate(timeout=STOP_S)
        finally:
            process.kill()


def accounted(campaign: Campaign) -> dict[str, Any]:
    """How the campaign ended, if nobody is lost, and nobody got two copies. Raises Unaccounted."""
    received: Counter[str] = Counter()
    for line in (campaign.folder / "received" / "ledger.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["event"] == "accepted":
            received.update(entry["to"])
    states: dict[str, str] = {}
    with Store.open(campaign.journal, read_only=True) as store:
        totals = store.totals()
        for state in STATES:
            for one in store.export(state):
                if states.setdefault(one.address, state) != state:
                    raise Unaccounted(f"{one.address} is {states[one.address]} and {state}")
    if totals["source"] != sum(totals[state] for state in STATES) or totals["source"] != len(states):
        raise Unaccounted(f"the totals do not add up: {totals}, {len(states)} recipients")
    if states.keys() != set(campaign.people):
        raise Unaccounted(f"planned are not those of the list: {len(states)} of {len(campaign.people)}")
    if strangers := received.keys() - states.keys():
        raise Unaccounted(f"mail for somebody who is not in the list: {sorted(strangers)[:3]}")
    for address, state in states.items():
        most, least = int(state in ("delivered", "in_doubt")), int(state == "delivered")
        if not least <= received[address] <= most:
            raise Unaccounted(f"{address} is {state}, and {received[address]} copies arrived")
        if state in ("pending", "deferred"):
            raise Unaccounted(f"{address} is {state} at the end")
    octets = sum(path.stat().st_size for path in campaign.journal.parent.glob(f"{campaign.journal.name}*"))
    return {
        "recipients": len(states),
        **{state: count for state, count in totals.items() if count and state != "source"},
        "arrived of those in doubt": sum(received[one] for one, s in states.items() if s == "in_doubt"),
        "journal octets": octets,
    }
