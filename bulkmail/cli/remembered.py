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
    "message_rate": "about {:.3g} messages a second",
    "connections": "at most {:,} connections at once",
    "size": "messages of at most {:,} octets",
    "lockstep": "PIPELINING is announced and does not work",
    "no_chunking": "CHUNKING is announced and does not work",
    "clear_text": "TLS is offered and does not work",
    "ipv4": "mail over IPv6 is refused, and goes over IPv4",
}
BLOCKED = "blocked "  # and our address


def remembered(place: Path, site: str, *, forget: bool) -> list[Remembered]:
    """What the project of `place` knows of a site and its provider; nothing once it is forgotten.

    Raises ConfigError and StoreError.
    """
    import time

    from bulkmail.campaign.config import project_state
    from bulkmail.journal import LearnedSites, SiteFile, site_store

    path = site_store(project_state(place, environ=os.environ))
    names = dict.fromkeys((site, provider_of(place, site)))
    if forget and path.exists():
        with SiteFile.open(path) as file:
            for name in names:
                LearnedSites(file).forget(name)
    with SiteFile.look(path) as file:
        return [one for name in names for one in LearnedSites(file).of(name, time.time())]


def provider_of(place: Path, site: str) -> str:
    """By whom a site is run: as the campaign says if `place` is one, else by the built-in profile."""
    from bulkmail.campaign.profile import built_in
    from bulkmail.delivery.provider import Providers

    if place.is_file():
        from bulkmail.campaign.config import load
        from bulkmail.campaign.rules import rules_of

        return rules_of(load(place, environ=os.environ, secrets=False)).providers.of(site).name
    return Providers(built_in().values()).of(site).name


def in_words(one: Remembered) -> str:
    """`at most 20 recipients in a transaction, met 2026-11-22T12:00+00:00, believed until …`."""
    if one.kind.startswith(BLOCKED):
        address = one.kind.removeprefix(BLOCKED)
        return f"it blocks {address}, met {_utc(one.at)}, left out there until {_utc(one.until)}"
    words = WORDS.get(one.kind, f"{one.kind} {{:,}}").format(one.value if one.value % 1 else int(one.value))
    return f"{words}, met {_utc(one.at)}, believed until {_utc(one.until)}"


def as_json(one: Remembered) -> dict[str, Any]:
    return {"kind": one.kind, "value": one.value, "at": _utc(one.at), "until": _utc(one.until)}


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")
