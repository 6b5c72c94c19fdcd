"""The name that this machine introduces itself by where the campaign file gives none.

Exchangers look at it, so to the world nothing is said but what the machine knows of itself: whether it has a
name is then the same in every run, and a dry run can tell it without asking DNS.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

HOSTS = Path("/etc/hosts")
ASKED_S = 1.0  # where no name server answers, the C library would wait for ten seconds and more


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
    found: list[str] = []
    # a thread that is left behind, for nothing can break off the C library; the run must not wait for it
    asking = threading.Thread(target=lambda: found.append(socket.getfqdn().lower()), daemon=True)
    asking.start()
    asking.join(ASKED_S)
    return next(filter(_is_full, found), None)


def _is_full(name: str) -> bool:
    return "." in name and not name.startswith("localhost") and ":" not in name
