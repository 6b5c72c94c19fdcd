"""What a project remembers of a site, in words; and how it is forgotten."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bulkmail.journal import Remembered

WORDS = {
    "recipients": "at most {:,} recipients in a transaction",
    "messages": "at most {:,} messages on a connection",
    "connections": "at most {:,} connections at once",
    "size": "messages of at most {:,} octets",
    "lockstep": "PIPELINING is announced and does not work",
    "no_chunking": "CHUNKING is announced and does not work",
    "clear_text": "TLS is offered and does not work",
}


def remembered(place: Path, site: str, *, forget: bool) -> list[Remembered]:
    """What the project of `place` knows of a site; nothing once it is forgotten. ConfigError, StoreError."""
    import time

    from bulkmail.campaign.config import project_state
    from bulkmail.journal import LearnedSites, SiteFile, site_store

    path = site_store(project_state(place, environ=os.environ))
    if forget and path.exists():
        with SiteFile.open(path) as file:
            LearnedSites(file).forget(site)
    with SiteFile.look(path) as file:
        return LearnedSites(file).of(site, time.time())


def in_words(one: Remembered) -> str:
    """`at most 20 recipients in a transaction, met 2026-11-22T12:00+00:00, believed until …`."""
    words = WORDS.get(one.kind, f"{one.kind} {{:,}}").format(one.value if one.value % 1 else int(one.value))
    return f"{words}, met {_utc(one.at)}, believed until {_utc(one.until)}"


def as_json(one: Remembered) -> dict[str, Any]:
    return {"kind": one.kind, "value": one.value, "at": _utc(one.at), "until": _utc(one.until)}


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")
