"""The name that this machine introduces itself by where the campaign file gives none.

Exchangers look at it, so to the world nothing is said but what the machine knows of itself: whether it has a
name is then the same in every run, and a dry run can tell it without asking DNS.
"""

from __future__ import annotations

import socket
from pathlib import Path

HOSTS = Path("/etc/hosts")


def own_name(hosts: Path = HOSTS) -> str | None:
    """This machine's full name, by its host name or the file of hosts; None where neither has one."""
    name = socket.gethostname().lower()
    if _is_full(name) or name.startswith("localhost"):
        return name if _is_full(name) else None
    try:
        lines = hosts.read_text("utf-8", "replace").lower().splitlines()
    except OSError:
        return None
    entries = [line.partition("#")[0].split()[1:] for line in lines]
    return next((one for entry in entries if name in entry for one in entry if _is_full(one)), None)


def default_ehlo() -> str | None:
    """This machine's full name, asking DNS for it if need be; without one an address literal may stand."""
    if own := own_name():
        return own
    name = socket.getfqdn().lower()
    return name if _is_full(name) else None


def _is_full(name: str) -> bool:
    return "." in name and not name.startswith("localhost") and ":" not in name
