"""Many domains with one to three recipients each: `python benchmarks/longtail.py [--domains N]`.

Nothing can be shared here: each domain costs its DNS questions, a connection, greeting, EHLO, STARTTLS with a
full handshake, EHLO again, a transaction and QUIT. Three take turns on one core against the same sink, which
has another core and is also the name server:

- `bulkmail`: the real command, `via: mx`, journal on and synced, everybody gets the same 10 kB;
- `smtplib`: a hundred threads, dnspython for MX, AAAA and A, a connection for each domain, `sendmail`;
- `tls`: no mail at all, only connect, STARTTLS, the handshake with Python's ssl, and close; in one thread and
  in ten. The better of the two is what the core can do.

The rate is domains a second, from the first RCPT to the last message that the sink accepted (`tls`: sessions
by its own clock). The sink also says what arrived, and nothing is a rate unless it is everything.
"""

from __future__ import annotations

import argparse
import compileall
import json
import smtplib
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import rig
import senders
import sink
from peers import material

THREADS = 100
WARM_UP = 200  # domains
EHLO = "bench.acme.example"


class Run(NamedTuple):
    rate: float  # domains, or sessions, a second
    count: int  # of them
    used: rig.Used
    sink_share: float  # of its core


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--domains", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=CONTENDERS, action="append", help="one of them, or several")
    parser.add_argument("--json", action="store_true", help="only the JSON, without the table")
    parser.add_argument("--output", type=Path, help="a folder for the table and the JSON")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--ports", type=int, nargs=2, help=argparse.SUPPRESS)  # of SMTP and DNS
    given = parser.parse_args()
    if given.child:
        CHILDREN[given.child](*given.ports, given.domains)
        return
    compileall.compile_dir(rig.CHECKOUT / "bulkmail", quiet=1)  # as an installation does
    wanted = {who: partial(CONTENDERS[who], given.domains) for who in given.only or CONTENDERS}
    small = {who: partial(CONTENDERS[who], WARM_UP) for who in wanted if given.domains > WARM_UP}
    runs = rig.rounds(wanted, repeats=given.repeats, warm_ups=small)
    rates = {who: rig.spread(run.rate for run in found).median for who, found in runs.items()}
    rows = [
        {
            "who": who,
            "domains/s": rig.spread(run.rate for run in found),
            "bulkmail is": rates["bulkmail"] / rates[who] if "bulkmail" in rates else None,
            "CPU ms each": rig.spread(run.used.cpu_s / run.count * 1e3 for run in found),
            "whole s": rig.spread(run.used.seconds for run in found),
            "peak MB": max(run.used.peak_mb for run in found),
            "sink": rig.spread(run.sink_share for run in found).median,
        }
        for who, found in runs.items()
    ]
    rig.publish("longtail", rows, only_json=given.json, folder=given.output)


def people(domain: int) -> list[str]:
    return [f"user{number}@d{domain}.example" for number in range(1 + domain % 3)]


# ---- who takes part ----


def bulkmail(domains: int) -> Run:
    job = senders.Job(scenario="shared", recipients=0)
    with tempfile.TemporaryDirectory(prefix="longtail-") as name, rig.sinking(dns=True) as mx:
        folder = Path(name)
        more = {"port": mx.port, "resolvers": [mx.dns], "ehlo": EHLO, "tls": "opportunistic"}
        campaign = senders.laid_over(senders.campaign(job, folder, "mx"), {"delivery": more})
        (folder / "campaign.yaml").write_text(json.dumps(campaign))
        rows = (f"{one}\n" for domain in range(domains) for one in people(domain))
        (folder / "people.csv").write_text("email\n" + "".join(rows))
        command = [sys.executable, "-m", "bulkmail", "run", folder / "campaign.yaml"]
        used = rig.run([*command, "--new", "--yes", "--json"], pinned=rig.client_core())
        if used.code:
            raise senders.Wrong(f"bulkmail ended with {used.code}: {used.lines[-1:]}")
        return judged(domains, used, mx.counts())


def with_smtplib(domains: int) -> Run:
    """A fifth of the domains: the rate does not depend on how many there are."""
    domains = min(domains, max(500, domains // 5))
    with rig.sinking(dns=True) as mx:
        return judged(domains, child("smtplib", mx, domains), mx.counts())


def only_tls(domains: int) -> Run:
    """A tenth of the domains, and each way: the rate does not depend on how many there are."""
    with rig.sinking(dns=True) as mx:
        used, counts = child("tls", mx, max(500, domains // 10)), mx.counts()
    told = json.loads(used.lines[-1])
    if counts.tls != told["sessions"]:
        raise senders.Wrong(f"{counts.tls} handshakes of {told['sessions']}")
    return Run(max(told["rates"]), told["sessions"], used, counts.cpu_s / used.seconds)


def child(who: str, mx: sink.Sink, domains: int) -> rig.Used:
    command = [sys.executable, __file__, "--child", who, "--domains", str(domains)]
    used = rig.run([*command, "--ports", str(mx.port), str(mx.dns_port)], pinned=rig.client_core())
    if used.code:
        raise senders.Wrong(f"{who} ended with {used.code}")
    return used


def judged(domains: int, used: rig.Used, counts: sink.Counts) -> Run:
    """What was measured, if everything arrived as it should."""
    recipients = sum(len(people(domain)) for domain in range(domains))
    found = (
        counts.connections,
        counts.tls,
        counts.transactions,
        counts.recipients,
        counts.refused,
        counts.early,
    )
    if found != (domains, domains, domains, recipients, 0, 0):
        raise senders.Wrong(f"not everything arrived as it should: {counts}")
    assert counts.first_rcpt is not None
    assert counts.last_message is not None
    seconds = counts.last_message - counts.first_rcpt
    return Run(domains / seconds, domains, used, counts.cpu_s / seconds)


# ---- in processes of their own ----


def send_with_smtplib(port: int, dns_port: int, domains: int) -> None:
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], dns_port
    context = ssl._create_unverified_context()  # what `starttls` without one makes each time
    letter = material.constant_message()

    def deliver(domain: int) -> None:
        listed = resolver.resolve(f"d{domain}.example", "MX")
        exchanger = min(listed, key=lambda record: record.preference).exchange
        address = next(resolver.resolve_name(exchanger).addresses())
        with smtplib.SMTP(address, port, local_hostname=EHLO) as client:
            client.starttls(context=context)
            refused = client.sendmail(material.REVERSE_PATH, people(domain), letter, ["BODY=8BITMIME"])
            assert not refused

    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(deliver, domain) for domain in range(domains)]:
            done.result()


def make_sessions(port: int, _: int, sessions: int) -> None:
    context = ssl._create_unverified_context()

    def session(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.recv(512)  # the greeting
            sock.sendall(b"STARTTLS\r\n")
            assert sock.recv(512).startswith(b"220")
            with context.wrap_socket(sock, server_hostname=f"mx.d{number}.example"):
                pass

    rates = []
    for threads in (1, 10):
        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(session, number) for number in range(sessions)]:
                done.result()
        rates.append(sessions / (time.perf_counter() - began))
    print(json.dumps({"sessions": 2 * sessions, "rates": rates}))


CONTENDERS: dict[str, Callable[[int], Run]] = {
    "bulkmail": bulkmail,
    "smtplib": with_smtplib,
    "tls": only_tls,
}
CHILDREN: dict[str, Callable[[int, int, int], None]] = {"smtplib": send_with_smtplib, "tls": make_sessions}

if __name__ == "__main__":
    main()
