"""What is sent: a letter of some 10 kB and a list, in the forms that cost differently.

`shared`: everybody gets the same octets, a hundred recipients to a transaction. `personal`: six fields of the
row in every letter, one recipient each. `signed`: the same, with DKIM by an RSA key of 2048 bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FIELDS = ("first_name", "last_name", "city", "branch", "points", "favourite")
PEOPLE = (  # some names need encoding
    ("Ann", "Adler", "Bristol", "Harbour", "120", "a pair of gloves"),
    ("Zoë", "Núñez", "Málaga", "Centro", "85", "the red watering can"),
    ("Bob", "O'Neill", "Cork", "Quay & Bridge", "7", "nothing yet"),
    ("Christina", "Baker-Jones", "Springfield", "Main Street", "2,310", "a cherry tree"),
)
PER_DOMAIN = 1_000  # recipients; ten transactions where they can be shared
KEY_BITS = 2048
_GREETING = {
    "shared": "<p>Dear reader,</p>",
    "personal": "<p>Dear {{ first_name }} {{ last_name }},</p><p>it is getting cold in {{ city }}. "
    "{{ points }} points are waiting for you at {{ branch }}: enough for {{ favourite }}.</p>",
}
_ARTICLE = """\
<h2 style="font: bold 18px Arial, sans-serif; color: #1f6b3f">{title}</h2>
<p style="margin: 0 0 14px; line-height: 1.5">Sow it under glass before the first frost, water it from below,
and give it all the light there is; by March the seedlings want a pot of their own and a window that is cool
at night. Whoever has no garden takes a box: it needs a hand of earth, a hole in the bottom and somebody who
looks after it. <a href="https://www.acme.example/weekly/48/{number}">Read on</a></p>
"""
_TITLES = (
    "Broad beans",
    "Winter salad",
    "Sweet peas",
    "Garlic",
    "Spinach",
    "Onions",
    "Kale",
    "Tulips",
    "Leeks",
    "Pruning",
)
_CAMPAIGN = """\
campaign: bench
from: "Acme Garden <news@acme.example>"
to: {to}
subject: {subject}
recipients: people.csv
content: letter.html
delivery:
  via: {via}
  ehlo: bench.acme.example
  tls: {tls}
  resolvers: [{resolver}]
  allow_private: true
  dkim: {dkim}
  retry: {{ first: 1s, give_up: 2s }}
shaping:
  default:
    connections: {connections}
    message_rate: 10000000/s
    connection_rate: 10000/s
    messages_per_connection: 10000
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`recipients` is the default: some five seconds of delivery to a sandbox."""

    name: str
    recipients: int
    personal: bool = True
    signed: bool = False


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("shared", 200_000, personal=False),
        Scenario("personal", 10_000),
        Scenario("signed", 5_000, signed=True),
    )
}


@dataclass(frozen=True, slots=True)
class Way:
    """How a sink is reached: `host` is an address; `resolver` a name server that knows nothing, quickly."""

    host: str
    port: int
    resolver: tuple[str, int]
    connections: int
    tls: bool  # where the sink offers it

    @property
    def via(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"smtp://{host}:{self.port}"


def write(scenario: Scenario, recipients: int, way: Way, folder: Path) -> Path:
    """The campaign, its letter, list and key in `folder`; the campaign file."""
    (folder / "bulkmail.yaml").write_text("")  # whatever a project above may say is not meant
    (folder / "letter.html").write_text(letter(personal=scenario.personal), "utf-8")
    with (folder / "people.csv").open("w", encoding="utf-8") as file:
        file.write(",".join(("email", *FIELDS)) + "\n")
        file.writelines(rows(recipients))
    dkim = ""
    if scenario.signed:
        (folder / "key.pem").write_bytes(_key())
        dkim = "{ domain: acme.example, selector: s1, key: { file: key.pem } }"
    to = (
        "{{ first_name }} {{ last_name }} <{{ email }}>"
        if scenario.personal
        else "Readers <news@acme.example>"
    )
    subject = (
        "{{ first_name }}, {{ points }} points are waiting" if scenario.personal else "Acme Garden Weekly"
    )
    campaign = folder / "campaign.yaml"
    campaign.write_text(
        _CAMPAIGN.format(
            to=json.dumps(to),
            subject=json.dumps(subject),
            via=json.dumps(way.via),
            tls="opportunistic" if way.tls else "none",
            resolver=json.dumps(f"{way.resolver[0]}:{way.resolver[1]}"),
            dkim=f"[{dkim}]",
            connections=way.connections,
        )
    )
    return campaign


def rows(recipients: int) -> Iterator[str]:
    """Everybody's values differ, as they do. A comma in one is quoted."""
    cells = [",".join(f'"{cell}"' if "," in cell else cell for cell in person[:4]) for person in PEOPLE]
    for number in range(recipients):
        kind = number % len(PEOPLE)
        *_, points, favourite = PEOPLE[kind]
        address = f"p{number}@d{number // PER_DOMAIN}.example"
        yield f'{address},{cells[kind]},"{points}{number % 1000}",{favourite}\n'


def letter(*, personal: bool) -> str:
    """HTML of about 5 kB: with the text made of it, a message of about 10 kB."""
    articles = "".join(_ARTICLE.format(title=title, number=at) for at, title in enumerate(_TITLES))
    return (
        '<!DOCTYPE html>\n<html lang="en">'
        '<head><meta charset="utf-8"><title>Acme Garden Weekly</title></head>\n'
        '<body style="max-width: 600px; font: 16px Georgia, serif"><h1>Acme Garden Weekly</h1>\n'
        f"{_GREETING['personal' if personal else 'shared']}\n{articles}"
        "<p>Acme Garden, 1 Main St, Springfield</p></body></html>\n"
    )


def _key() -> bytes:
    """A fresh private key, as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, KEY_BITS).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
