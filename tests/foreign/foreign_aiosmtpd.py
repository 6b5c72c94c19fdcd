"""aiosmtpd from PyPI, in a process of its own, so that asyncio and trio do not meet."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from foreign_server import (
    Delivered,
    ForeignServer,
    LogEntry,
    NotInstalled,
    certify,
    make_maildir,
    running,
    workplace,
)


@asynccontextmanager
async def aiosmtpd(
    tmp_path: Path,
    address: str,
    port: int,
    domains: Collection[str],
    *,
    hostname: str = "mx.aiosmtpd.test",
    tls: bool = False,
    ca: trustme.CA | None = None,
    refuse: Collection[str] = (),
) -> AsyncIterator[ForeignServer]:
    """aiosmtpd on `address`:`port`, taking mail for `domains`; 550 5.1.1 for the addresses in `refuse`."""
    if importlib.util.find_spec("aiosmtpd") is None:
        raise NotInstalled("aiosmtpd is not installed: pip install 'bulkmail[test]'")
    async with workplace("aiosmtpd", tmp_path) as folder:
        maildir = make_maildir(folder / "mail", os.geteuid(), os.getegid())
        certificate = certify(folder, hostname, ca) if tls else None
        server = ForeignServer(
            name="aiosmtpd",
            hostname=hostname,
            address=address,
            port=port,
            ca_pem=certificate.ca_pem if certificate else "",
            folder=folder,
            log=folder / "log" / "accepted.jsonl",
            maildir=maildir,
            read_message=_read_message,
            read_log=_read_log,
        )
        given = {
            "domains": list(domains),
            "refuse": list(refuse),
            "maildir": str(maildir),
            "log": str(server.log),
            "hostname": hostname,
            "chain": str(certificate.chain) if certificate else "",
            "key": str(certificate.key) if certificate else "",
        }
        script = Path(__file__).with_name("aiosmtpd_child.py")
        async with running([sys.executable, script, address, str(port), json.dumps(given)], server):
            yield server


def _read_message(stored: bytes) -> Delivered:
    head, _, content = stored.partition(b"\n")
    recipients = head.decode().removeprefix("X-Envelope-To: ").split(", ")
    return Delivered(tuple(recipients), content)


def _read_log(text: str) -> list[LogEntry]:
    return [LogEntry(*json.loads(line)) for line in text.splitlines()]
