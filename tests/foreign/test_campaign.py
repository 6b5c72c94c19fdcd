"""A whole campaign into mailboxes on servers that others wrote, each the mail exchanger of one domain.

The sandbox gives the DNS only. What counts is what the servers have: mailboxes byte for byte, and their own
logs recipient by recipient against our journal.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from servers import SERVERS

from bulkmail.campaign import config, prepare, runner
from bulkmail.sandbox import World, serve

EACH = 1_000  # messages for each server
REFUSED = 5  # unknown users of each

CAMPAIGN = """\
campaign: foreign
from: "Acme News <news@acme.test>"
to: "{{{{ name }}}} <{{{{ email }}}}>"
subject: "Hello {{{{ name }}}}"
recipients: people.csv
content: letter.html
delivery:
  via: mx
  port: {port}
  resolvers: ["{dns[0]}:{dns[1]}"]
  allow_private: true
  tls: {tls}
  retry: {{ first: 200ms, max: 1s, give_up: 60s }}
shaping: {{ default: {{ connections: 4, message_rate: 10000/s, connection_rate: 1000/s }} }}
"""
LETTER = """\
<p>Dear {{ name }},</p>
<p>ein Gruß, a line that begins with a dot:</p>
<pre>
.
..dots
</pre>
<p>and your address is {{ email }}.</p>
"""


def write_campaign(folder: Path, **settings: Any) -> Path:
    (folder / "campaign.yaml").write_text(CAMPAIGN.format(**settings))
    (folder / "letter.html").write_text(LETTER)
    with (folder / "people.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["email", "name"])
        for name in SERVERS:
            rows.writerows([f"user{n}@{name}.test", f"User “{n}”, Ms."] for n in range(EACH))
            rows.writerows([f"nobody{n}@{name}.test", "Nobody"] for n in range(REFUSED))
    return folder / "campaign.yaml"


@pytest.mark.parametrize("tls", ["none", "required"])
async def test_a_campaign_reaches_the_mailboxes_of_foreign_servers(
    tls: str, tmp_path: Path, start_foreign: Callable[..., Any]
) -> None:
    world = World()
    servers = {}
    for name in SERVERS:
        refuse = [f"nobody{n}@{name}.test" for n in range(REFUSED)]
        server = await start_foreign(
            name, [f"{name}.test"], hostname=f"mx.{name}.test", tls=tls != "none", refuse=refuse
        )
        world.domain(f"{name}.test").host(server.hostname)
        world.host(server.hostname).at(server.address)
        servers[name] = server
    async with serve(world) as sandbox:
        port = next(iter(servers.values())).port
        path = write_campaign(tmp_path, port=port, dns=sandbox.dns, tls=tls)
        campaign = config.load(path, environ=os.environ)
        with prepare.prepared(campaign, tell=lambda event: None) as ready, trio.fail_after(240):
            outcome = await runner.run(ready, tell=lambda event: None)
            for server in servers.values():
                await server.settled(EACH)
            delivered = {one.address for one in ready.store.export("delivered")}
            bounced = {one.address for one in ready.store.export("bounced")}
            people = ready.store.fetch([(1, len(delivered) + len(bounced))])
            expected = {
                one.address: ready.composer.letter(one.address, one.fields, id=one.id).content
                for one in people
                if one.address in delivered
            }
    boxes: dict[str, bytes] = {}
    copies: Counter[str] = Counter()
    logged: set[str] = set()
    refused: set[str] = set()
    for server in servers.values():
        for recipients, content in server.messages():
            copies.update(recipients)
            boxes.update(dict.fromkeys(recipients, content))
        logged |= {entry.address for entry in server.log_entries() if entry.status == "delivered"}
        refused |= {entry.address for entry in server.log_entries() if entry.status == "refused"}
    domains = Counter(address.partition("@")[2] for address in delivered)
    assert (outcome.exit, domains) == (0, {f"{name}.test": EACH for name in SERVERS})
    assert set(copies.values()) == {1}
    # sets of the odd ones out: pytest would take minutes to tell two thousand messages apart
    assert {
        address for address in expected.keys() | boxes if expected.get(address) != boxes.get(address)
    } == set()
    assert logged ^ delivered == set()
    assert refused ^ bounced == set()
