"""What the peers send is the newsletter, to everybody once, as the sink counts and keeps it.

Nothing is installed for a test: where a peer is not there (its packages in .cache/peers come with its first
run or `benchmarks/peer.py --install`, the servers with tests/foreign/install.sh), its tests are skipped with
the reason; in CI they fail.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import subprocess
import sys
from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import dkim
import newsletter
import peers
import pytest
import sink
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from lacking import lacks
from peers import by_hand, environment, job, material

CASES = [(name, scenario) for name, peer in peers.PEERS.items() for scenario in peer.scenarios]
SENT = [
    pytest.param(name, scenario, tls, id=f"{name}-{scenario}-{'tls' if tls else 'plain'}")
    for name, scenario in CASES
    for tls in (False, True)
    if peers.PEERS[name].tls or not tls
]
MISSING = 3


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def words(message: EmailMessage, kind: str) -> str:
    """What a reader sees of it: not the tags, nor the link to leave, which differs, nor the white space."""
    part = message.get_body((kind,))
    assert part is not None
    text = re.sub(r"https://u\.acme\.example/\w+", "", part.get_content())
    if kind == "html":
        text = html.unescape(re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", text))
    return " ".join(text.split())


def scenario_recipients(scenario: str) -> int:
    return 500 if scenario == "shared" else 12


def run(tmp_path: Path, name: str, scenario: str, *more: str, recipients: int) -> tuple[Any, list[sink.Kept]]:
    """What the peer said, and what arrived. Skips where the peer cannot run here."""
    kept = tmp_path / "kept"
    kept.mkdir()
    try:
        with sink.running(keep=kept) as mx:
            command = [sys.executable, Path(peers.__file__).parents[1] / "peer.py", name]
            command += ["--port", mx.port, "--scenario", scenario, "--recipients", recipients]
            command += ["--connections", 3, *more]
            ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=around(name))
    except sink.CannotBuild as reason:
        lacks(str(reason))
    if ended.returncode == MISSING:
        lacks(ended.stderr.strip())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (mx.counts().refused, mx.counts().early) == (0, 0)
    return json.loads(ended.stdout), list(sink.kept(kept))


def around(name: str) -> dict[str, str]:
    """The environment for it: ours has all that smtplib and the servers need; others must be there."""
    installed = {"aiosmtplib": "venv", "smtpproto": "venv", "nodemailer": "node"}.get(name)
    if installed is None:
        return {**os.environ, environment.INSIDE: "1"}
    if not (job.CACHE / f"{installed}.stamp").exists():
        lacks(f"{name} is not installed: benchmarks/peer.py does that when it first runs")
    return dict(os.environ)


@pytest.mark.parametrize(("name", "scenario", "tls"), SENT)
def test_a_peer_sends_to_everybody_once(tmp_path: Path, name: str, scenario: str, tls: bool) -> None:
    recipients = scenario_recipients(scenario)
    key = rsa.generate_private_key(65537, 2048)
    pem = tmp_path / "key.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    options = ["--key", str(pem), *(["--tls"] if tls else [])]
    said, messages = run(tmp_path, name, scenario, *options, recipients=recipients)
    assert said["recipients"] == recipients
    assert {message.tls for message in messages} == {tls}
    to = Counter(path.decode() for message in messages for path in message.forward_paths)
    if name != "smtp-source":  # which numbers them anew in each transaction
        assert to == Counter(map(material.address, range(recipients)))
    assert to.total() == recipients
    for message in messages:
        if scenario == "shared":
            assert material.constant_html().replace("\n", "\r\n").encode() in message.content
        else:
            is_for_its_reader(message)
    if scenario == "signed":
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
        assert all(dkim.verify(m.content, dnsfunc=lambda name, timeout=5: record) for m in messages)


def is_for_its_reader(message: sink.Kept) -> None:
    """The words are those that by_hand.py writes for whom it was sent to, and nobody else was told of it."""
    (path,) = message.forward_paths
    number = int(path.decode().partition("@")[0].removeprefix("p"))
    expected, sent = by_hand.message_builder()(number), parsed(message.content)
    for header in ("From", "To", "Reply-To", "Subject", "List-Id", "List-Unsubscribe", "X-Team"):
        assert str(sent[header]) == str(expected[header])
    for kind in ("html", "plain"):
        assert words(sent, kind) == words(expected, kind)


def test_by_hand_and_ours_say_the_same() -> None:
    for number in range(len(material.PEOPLE)):
        (ours,) = newsletter.ours()(number, 1)
        (theirs,) = newsletter.by_hand(None)(number, 1)
        assert words(parsed(ours), "html") == words(parsed(theirs), "html")
        assert words(parsed(ours), "plain") == words(parsed(theirs), "plain")
        assert str(parsed(ours)["Subject"]) == str(parsed(theirs)["Subject"])


def test_what_a_peer_cannot_do_is_said_in_one_line() -> None:
    with pytest.raises(job.Missing, match="has no TLS"):
        peers.peer_for("smtp-source", "shared", tls=True)
    with pytest.raises(job.Missing, match="has no scenario signed: only shared, personal"):
        peers.peer_for("smtpproto", "signed", tls=False)
