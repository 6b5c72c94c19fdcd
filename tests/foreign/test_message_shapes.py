"""Every shape of message through servers that others wrote, verified by verifiers that others wrote.

From the campaign file to the mailbox by the real road: rendered, signed with RSA and with Ed25519, delivered
by SMTP. What lies in a mailbox, without what the server put in front, is the message that was composed, octet
by octet, and both signatures hold for dkimpy and for OpenDKIM.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import yaml
from dkim_verifier import Verdict, dkimpy, opendkim
from key_pairs import pems, signing_keys
from message_shapes import PEOPLE, SHAPES, Shape
from servers import ForeignServer
from zone_server import zone_server

from bulkmail.campaign import config, prepare, runner
from bulkmail.message.signing_key import SigningKey
from bulkmail.message.token import Tokens

SERVERS = ("postfix", "exim", "aiosmtpd")
IDN = "bücher"  # the first label of a domain that is not ASCII
SECRET = "a secret of more than sixteen characters"
SIGNATURES = (
    Verdict("acme.test", "rsa", "rsa-sha256", "pass"),
    Verdict("acme.test", "ed", "ed25519-sha256", "pass"),
)

Start = Callable[..., Awaitable[ForeignServer]]


class Internet(NamedTuple):
    servers: Sequence[ForeignServer]
    port: int  # of all of them
    dns: tuple[str, int]


@pytest.fixture(scope="module")
def keys() -> dict[str, SigningKey]:
    """By the PEM of each."""
    made = pems()
    return dict(zip(made.values(), signing_keys("acme.test", made), strict=True))


def people(shape: Shape, server: str) -> dict[str, dict[str, str]]:
    domain = f"{IDN}.{server}.test" if shape.idn else f"{server}.test"
    local = "jörg-{}" if shape.eai else "{}"
    return {f"{local.format(person)}@{domain}": fields for person, fields in PEOPLE.items()}


def write_campaign(
    folder: Path, shape: Shape, keys: dict[str, SigningKey], port: int, dns: tuple[str, int]
) -> Path:
    for name, content in shape.files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "unsubscribe.secret").write_text(SECRET)
    for pem, key in keys.items():
        (folder / f"{key.selector}.pem").write_text(pem)
    with (folder / "people.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["email", "name", "city"])
        for server in SERVERS:
            for address, fields in people(shape, server).items():
                rows.writerow([address, fields["name"], fields["city"]])
    delivery: dict[str, Any] = {
        "via": "mx",
        "port": port,
        "resolvers": [f"{dns[0]}:{dns[1]}"],
        "allow_private": True,
        "tls": "none",
        "retry": {"first": "200ms", "max": "1s", "give_up": "60s"},
        "dkim": [
            {"domain": key.domain, "selector": key.selector, "key": {"file": f"{key.selector}.pem"}}
            for key in keys.values()
        ],
    }
    if "unsubscribe" in shape.settings:  # there is a secret for tokens
        delivery["reverse_path"] = "bounces+{{ token }}@acme.test"
    campaign = {
        "campaign": "shapes",
        "from": "Acme News <news@acme.test>",
        "to": "{{ name }} <{{ email }}>",
        "subject": "Grüße, {{ name }}",
        "recipients": "people.csv",
        "delivery": delivery,
        **shape.settings,
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign, allow_unicode=True), "utf-8")
    return path


def dkim_record(key: SigningKey) -> str:
    """Its line of a zone file: character-strings have up to 255 octets (RFC 1035 section 3.3)."""
    strings = " ".join(f'"{piece}"' for piece in re.findall(".{1,255}", key.record()))
    return f"{key.name}. 300 IN TXT {strings}\n"


def leaves(content: bytes, shape: Shape) -> list[str]:
    """The types of its parts, in order. Read without a defect, and what is no text is one of the files."""
    message = message_from_bytes(content, policy=policy.SMTPUTF8)
    parts = [part for part in message.walk() if not part.is_multipart()]
    assert [part.defects for part in message.walk() if part.defects] == []
    for part in parts:
        assert part.get_content_maintype() == "text" or part.get_payload(decode=True) in shape.files.values()
    return [part.get_content_type() for part in parts]


def token_in(content: bytes) -> int:
    """The id that the message names its recipient by, or 0 where it names nobody."""
    found = re.search(Tokens.campaign_tag("shapes").encode() + b"[a-z2-7]{24}", content)
    return 0 if found is None else Tokens(SECRET, "shapes").verify(found[0].decode()) or 0


@asynccontextmanager
async def internet(start: Start, keys: Iterable[SigningKey]) -> AsyncIterator[Internet]:
    """The servers, each with a domain and one that is not ASCII, and the DNS that leads to them."""
    servers, zone = [], "".join(map(dkim_record, keys))
    for name in SERVERS:
        domains = [f"{name}.test", f"{IDN}.{name}.test".encode("idna").decode()]
        server = await start(name, domains, hostname=f"mx.{name}.test")
        zone += "".join(f"{domain}. 300 IN MX 10 {server.hostname}.\n" for domain in domains)
        zone += f"{server.hostname}. 300 IN A {server.address}\n"
        servers.append(server)
    async with zone_server(zone) as dns:
        yield Internet(servers, servers[0].port, dns)


async def send(path: Path, servers: Sequence[ForeignServer]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Run the campaign until it is settled: what was composed for each recipient, and what arrived."""
    campaign = config.load(path, environ=os.environ)
    with prepare.prepared(campaign, tell=lambda event: None) as ready, trio.fail_after(120):
        outcome = await runner.run(ready, tell=lambda event: None)
        assert outcome.exit == 0
        people = ready.store.fetch([(1, ready.store.totals()["delivered"])])
        for server in servers:
            await server.settled(len(PEOPLE))
        arrived = {
            address: content
            for server in servers
            for recipients, content in server.messages()
            for address in recipients
        }
        composed = {
            one.address: ready.composer.letter(one.address, one.fields, id=one.id).content for one in people
        }
        assert all(token_in(arrived[one.address]) in (0, one.id) for one in people)
    return composed, arrived


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
async def test_a_message_arrives_as_it_was_composed_and_signed(
    shape: Shape, keys: dict[str, SigningKey], tmp_path: Path, start_foreign: Start
) -> None:
    async with internet(start_foreign, keys.values()) as (servers, port, dns):
        composed, arrived = await send(write_campaign(tmp_path, shape, keys, port, dns), servers)
    assert len(composed) == len(SERVERS) * len(PEOPLE)
    # the odd ones out by name: pytest would take minutes to tell two large messages apart
    assert {
        address
        for address in composed.keys() | arrived.keys()
        if composed.get(address) != arrived.get(address)
    } == set()
    contents = list(arrived.values())
    assert len(set(contents)) == (1 if shape.shared else len(contents))
    assert {tuple(leaves(content, shape)) for content in contents} == {tuple(shape.leaves)}
    records = {key.name: key.record() for key in keys.values()}
    for verifier in (dkimpy, opendkim):
        assert {tuple(verdicts) for verdicts in verifier(contents, records)} == {SIGNATURES}, verifier
