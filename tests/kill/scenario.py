"""What one campaign of the kill test is like: its people, sites and settings, all drawn from one seed.

The seed decides everything but the speed of the machine: who gets what kind of message, which sites greylist,
refuse, hang up or count messages, and after which events the runner is killed. What must come out is known
from here alone, so that the law never asks our own journal who was planned.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bulkmail.campaign.warmup import LEAST
from bulkmail.sandbox import World
from tests.kill.steps import Victim

Kind = Literal["plain", "unknown", "greylisted"]
Content = Literal["shared", "grouped", "personal"]
Event = Literal["fork", "journal", "planned", "started", "accepted"]

MESSAGES_IN_FLIGHT = 8  # on a connection: the default of shaping.default.messages_in_flight
AT_HAND = 3 * LEAST  # that two workers have counted and not sent, and one that was killed
COUNTRIES = ("AT", "BE", "CH", "DE")


@dataclass(frozen=True, slots=True)
class Person:
    address: str
    kind: Kind
    country: str


@dataclass(frozen=True, slots=True)
class Moment:
    """When the runner is killed: `delay_s` after the `count`th `event`, `warnings` sent halfway there.

    `victim`: where it has workers, who of them; where it has none (yet), it is all the same (P5).
    """

    event: Event
    count: int
    delay_s: float
    warnings: tuple[Literal["SIGTERM", "SIGINT"], ...] = ()
    victim: Victim = "all"

    def __str__(self) -> str:
        after = f"{self.count} accepted" if self.event == "accepted" else self.event
        warned = f", warned by {' and '.join(self.warnings)}" if self.warnings else ""
        return f"{self.delay_s * 1000:.1f} ms after {after}{warned}, {self.victim} of it"


@dataclass(frozen=True, slots=True)
class Site:
    name: str
    hosts: tuple[str, ...]
    domains: tuple[str, ...]
    tls: bool
    delay_s: float  # before the reply to the end of data
    close_after: int | None  # messages per connection, then 421
    rcpt_limit: int | None  # recipients per transaction, then 452
    lost_replies: int  # so many ends of data are taken and never answered (FAULTS.md X8)
    chunking: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    content: Content
    on_doubt: Literal["hold", "resend"]
    verdict: Literal["", "delivered", "resend"]  # what the operator says of those in doubt, if anything
    report: bool
    connections: int
    per_transaction: int
    sites: tuple[Site, ...]
    people: tuple[Person, ...]
    duplicates: int
    invalid: int
    moments: tuple[Moment, ...]
    workers: int  # processes that send
    in_flight: int = MESSAGES_IN_FLIGHT
    quota: int = 0  # recipients a day of a source at a provider, where there is a warm-up
    sources: tuple[str, ...] = ()  # addresses that it sends from

    @property
    def open_per_session(self) -> int:
        """The most recipients that may be in doubt on one connection."""
        return self.in_flight * (1 if self.content == "personal" else self.per_transaction)

    @property
    def open_per_site(self) -> int:
        """The most recipients that may be in doubt at one site after one kill."""
        return self.connections * self.open_per_session

    def site_of(self, host: str) -> str:
        return next(site.name for site in self.sites if host in site.hosts)

    # --- the sending side --------------------------------------------------------------------------------

    def write(self, folder: Path, resolver: str, port: int) -> Path:
        """The campaign, its list and its message in `folder`; the path of the campaign file."""
        rows = [(one.address, f"R{number}", one.country) for number, one in enumerate(self.people)]
        rng = random.Random(self.name)
        rows += [(rng.choice(self.people).address, "again", "AT") for _ in range(self.duplicates)]
        rows += [(f"nobody{number}.at.all", "x", "AT") for number in range(self.invalid)]
        with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("email", "first_name", "country"), *rows])
        greeting = {"shared": "readers", "grouped": "{{ country }}", "personal": "{{ first_name }}"}[
            self.content
        ]
        (folder / "hello.txt").write_text(f"Hello {greeting},\n\nthis week at Acme.\n", encoding="utf-8")
        to = "{{ first_name }} <{{ email }}>" if self.content == "personal" else "Readers <news@acme.example>"
        report = f"report_to: ops@{self.sites[0].domains[0]}\n" if self.report else ""
        start = f"start: {self.quota}/day"
        warmup = f"  warmup: {{ {start}, growth: 1.001, until: 100000/day }}\n" if self.quota else ""
        sources = f"  sources: [{', '.join(self.sources)}]\n" if self.sources else ""
        path = folder / "campaign.yaml"
        path.write_text(
            f"""\
campaign: killed
from: "Acme News <news@acme.example>"
to: "{to}"
subject: "Hello"
recipients: people.csv
content: hello.txt
{report}delivery:
  via: mx
  ehlo: ${{EHLO}}
  tls: opportunistic
  on_doubt: {self.on_doubt}
  retry: {{ first: 50ms, factor: 1, max: 50ms, give_up: 10m }}
  resolvers: ["{resolver}"]
  port: {port}
  allow_private: true
{sources}shaping:
  default:
    connections: {self.connections}
    message_rate: 100000/s
    connection_rate: 100000/s
    recipients_per_transaction: {self.per_transaction}
    messages_per_connection: 20
    messages_in_flight: {self.in_flight}
{warmup}log: accounting.jsonl
""",
            encoding="utf-8",
        )
        return path

    # --- the receiving side ------------------------------------------------------------------------------

    def world(self) -> World:
        """The internet in which this campaign is sent."""
        world = World()
        for site in self.sites:
            for domain in site.domains:
                for preference, host in enumerate(site.hosts):
                    world.domain(domain).host(host, 10 + preference)
            for name in site.hosts:
                host = world.host(name)
                if not site.tls:
                    host.tls("none")
                if not site.chunking:
                    host.extensions(without=["CHUNKING"])
                if site.delay_s:
                    host.delay("END_OF_DATA", site.delay_s)
                if site.close_after is not None:
                    host.set(close_after=site.close_after)
                if site.rcpt_limit is not None:
                    host.set(rcpt_limit=site.rcpt_limit)
                if site.lost_replies:
                    host.drop("END_OF_DATA", accepted=True, times=site.lost_replies, after=3)
        for one in self.people:
            local, _, domain = one.address.partition("@")
            if one.kind == "unknown":
                world.domain(domain).refuse(local)
            elif one.kind == "greylisted":
                world.domain(domain).greylist(local)
        return world


def draw(seed: int, campaign: int, *, kills: int) -> Scenario:
    """The `campaign`th campaign of `seed`, with `kills` moments."""
    name = f"{seed}/{campaign}"
    rng = random.Random(name)
    content: Content = rng.choice(("shared", "grouped", "personal"))
    sites = tuple(_site(rng, f"s{number}") for number in range(rng.randint(2, 5)))
    domains = [domain for site in sites for domain in site.domains]
    size = rng.randint(150, 300) if content == "personal" else rng.randint(400, 1200)
    people = tuple(_person(rng, number, domains) for number in range(size))
    connections, per_transaction = rng.randint(1, 4), rng.choice((3, 7, 20))
    transactions = size if content == "personal" else size // min(per_transaction, 8)
    crew = random.Random(f"{name} and its workers")
    workers = crew.choice((1, 2, 3))
    moments = tuple(_moment(rng, transactions, kills, first=number < 2) for number in range(kills))
    if workers > 1:
        victims: tuple[Victim, ...] = ("all", "parent", "worker")
        moments = tuple(replace(moment, victim=crew.choice(victims)) for moment in moments)
    return Scenario(
        name=name,
        content=content,
        on_doubt=rng.choice(("hold", "hold", "resend")),
        verdict=rng.choice(("", "", "delivered", "resend")),
        report=rng.random() < 0.3,
        connections=connections,
        per_transaction=per_transaction,
        sites=sites,
        people=people,
        duplicates=rng.randint(0, 9),
        invalid=rng.randint(0, 3),
        moments=moments,
        workers=workers,
    )


def small(way: str, seed: str) -> Scenario:
    """A campaign that is over in a tenth of a second, whose letters go one `way` (see cases.py)."""
    rng = random.Random(f"{way} {seed}")
    shared = way in ("shared", "resend", "workers-shared")
    content: Content = "shared" if shared else "grouped" if way == "grouped" else "personal"
    sites = tuple(
        Site(
            name=f"s{number}",
            hosts=(f"mx.s{number}.example",),
            domains=tuple(f"d{n}.s{number}.example" for n in range(2 - number)),
            tls=False,
            delay_s=0.0,
            close_after=None,
            rcpt_limit=None,
            lost_replies=0,
            chunking=way != "riding",
        )
        for number in range(2)
    )
    domains = [domain for site in sites for domain in site.domains]
    kinds: list[Kind] = ["plain"] * 10 + ["unknown", "greylisted"]
    kinds *= 2 if seed == "0" else 4  # what is gone through call by call is the smallest that has it all
    people = tuple(
        Person(f"{kind}{number}@{rng.choice(domains)}", kind, rng.choice(COUNTRIES))
        for number, kind in enumerate(kinds)
    )
    needed = [0] * len(sites)
    for one in people:
        at = next(n for n, site in enumerate(sites) if one.address.partition("@")[2] in site.domains)
        needed[at] += 2 if one.kind == "greylisted" else 1
    return Scenario(
        name=f"{way}/{seed}",
        content=content,
        on_doubt="resend" if way == "resend" else "hold",
        verdict="",
        report=way == "plain",
        connections=1 if way in ("riding", "breath") else 2,
        per_transaction=3,
        sites=sites,
        people=people,
        duplicates=1,
        invalid=1,
        moments=(),
        workers=2 if way.startswith("workers") else 1,
        in_flight=1 if way == "plain" else MESSAGES_IN_FLIGHT,
        quota=max(needed) + (AT_HAND if way.startswith("workers") else 0) if way.endswith("warming") else 0,
        sources=("127.0.0.2", "127.0.0.3") if way == "workers-warming" else (),
    )


def _site(rng: random.Random, name: str) -> Site:
    odd = rng.choice(("", "", "close", "limit", "lost"))
    return Site(
        name=name,
        hosts=tuple(f"mx{number}.{name}.example" for number in range(rng.choice((1, 1, 2)))),
        domains=tuple(f"d{number}.{name}.example" for number in range(rng.randint(1, 6))),
        tls=rng.random() < 0.3,
        delay_s=rng.choice((0.0, 0.002, 0.01, 0.03)),
        close_after=rng.randint(1, 8) if odd == "close" else None,
        rcpt_limit=rng.randint(2, 9) if odd == "limit" else None,
        lost_replies=rng.randint(1, 2) if odd == "lost" else 0,
    )


def _person(rng: random.Random, number: int, domains: list[str]) -> Person:
    kind: Kind = rng.choices(("plain", "unknown", "greylisted"), (85, 5, 10))[0]
    return Person(f"{kind}{number}@{rng.choice(domains)}", kind, rng.choice(COUNTRIES))


def _moment(rng: random.Random, transactions: int, kills: int, *, first: bool) -> Moment:
    """Anywhere on the road: by the clock from the start, or close behind something that has just happened.

    The `first` runs plan, so they are more often killed at their start.
    """
    warnings = rng.choices(((), ("SIGTERM",), ("SIGINT", "SIGINT")), (85, 10, 5))[0]
    weights = (30, 40, 10, 10, 10) if first else (25, 0, 10, 20, 45)
    event: Event = rng.choices(("fork", "journal", "planned", "started", "accepted"), weights)[0]
    if event == "fork":
        return Moment(event, 1, rng.uniform(0.0, 0.25), warnings)
    if event == "accepted":
        count = rng.randint(1, max(2, 2 * transactions // kills))
        return Moment(event, count, rng.choice((0.0, rng.uniform(0.0, 0.01))), warnings)
    return Moment(event, 1, rng.uniform(0.0, 0.05), warnings)
