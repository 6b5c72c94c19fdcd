"""P4: a campaign that has every kind of secret, and where they can be read afterwards."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest
import trio
from key_pairs import pems
from road_rig import PATIENCE_S, people

PASSWORD = "pass-Word-of-the-relay-7f3a"
TOKEN = "secret-of-the-tokens-91bc-0123456789"
DSN = "the-folder-in-the-DSN-5e21"

# A bug where all secrets are at hand: everything that is shown of it is shown.
CRASH = """
import sys
from bulkmail.delivery import session
from bulkmail.cli import main

def bug(self, connection):
    plant = self.plant
    seen = [plant, plant.pool._dialer, plant.pool._dialer.approach, connection, connection._protocol,
            plant.work, vars(plant.work), plant.work._composer, vars(plant.work._composer)]
    raise RuntimeError(repr(seen))

if {crash!r}:
    session._Session._way = bug
main(sys.argv[1:])
"""


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """By name, in every form in which they could be written down."""
    key = pems()["rsa"]
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "token").write_text(TOKEN)
    login = base64.b64encode(f"\0user\0{PASSWORD}".encode()).decode()
    found = {"password": PASSWORD, "AUTH PLAIN": login, "token": TOKEN, "DSN": DSN}
    encoded = {f"{name}, base64": base64.b64encode(text.encode()).decode() for name, text in found.items()}
    lines = {f"key, line {n}": line for n, line in enumerate(key.splitlines()[1:-1])}
    return found | encoded | lines


def people_in(folder: Path) -> dict[str, object]:
    (folder / DSN).mkdir()
    db = apsw.Connection(str(folder / DSN / "people.db"))
    db.execute("CREATE TABLE people(email TEXT)")
    db.executemany("INSERT INTO people VALUES (?)", [(one,) for one in people(6)])
    db.close()
    return {"sql": "SELECT email FROM people", "dsn": {"env": "PEOPLE_DSN"}}


def written(folder: Path, given: set[Path]) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and path not in given:
            yield str(path.relative_to(folder)), path.read_bytes()


@pytest.mark.parametrize("ending", ["delivered", "crashed", "refused"])
async def test_no_secret_is_told_or_kept(world, road, secrets, tmp_path, ending):
    """P4."""
    relay = world.host("relay.test").set(relay=True)
    relay.users({"user": "another" if ending == "refused" else PASSWORD})
    source = people_in(tmp_path)
    file = road.file(
        source=source,
        listed="unused\n",
        via=f"smtp://user@relay.test:{road.running.smtp_port}",
        password={"env": "RELAY_PASSWORD"},
        dkim=[{"domain": "acme.test", "selector": "s1", "key": {"file": "key.pem"}}],
        unsubscribe={"url": "https://u.acme.test/", "secret": {"file": "token"}},
        reverse_path="bounces+{{ token }}@acme.test",
    )
    given = set(tmp_path.rglob("*"))
    script = CRASH.format(crash=ending == "crashed")
    run = partial(
        trio.run_process,
        [sys.executable, "-X", "dev", "-c", script, "run", str(file), "--json", "--yes", "--new"],
        stdin=subprocess.DEVNULL,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=os.environ
        | {
            "SSL_CERT_FILE": str(road.running.ca_pem_path),
            "RELAY_PASSWORD": PASSWORD,
            "PEOPLE_DSN": f"sqlite:{DSN}/people.db",
            "BULKMAIL_TRACEBACK": "1",
        },
    )
    with trio.fail_after(PATIENCE_S):
        done = await run()
    assert (done.returncode, len(world.ledger.messages)) == {
        "delivered": (0, 6),
        "crashed": (1, 0),
        "refused": (5, 0),
    }[ending], done.stderr
    assert (b"RuntimeError" in done.stderr, b"Traceback" in done.stderr) == (ending == "crashed",) * 2
    told = [("stdout", done.stdout), ("stderr", done.stderr), *written(tmp_path, given)]
    shown = [
        (name, where) for name, secret in secrets.items() for where, text in told if secret.encode() in text
    ]
    assert (shown, ".bulkmail/road.journal" in dict(told)) == ([], True)
