"""What providers were found to take: as the run that goes now has found, and as the project remembers it.

For whoever looks (`status`, `top`, `explain`): the run is asked as `top` asks it, the memory is read beside
it. Neither is waited for long, and where there is none, nothing is told.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from bulkmail.campaign import control
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.control import NobodyListens
from bulkmail.campaign.place import is_real, journal_path
from bulkmail.delivery.view import REMEMBERED, SOUGHT
from bulkmail.errors import BulkmailError, StoreError
from bulkmail.journal import LearnedSites, Remembered, SiteFile, site_store

ASKED_S = 2.0  # for which a run is asked
MOST = 10  # that the project remembers, of whom a campaign tells


class KnownPace(NamedTuple):
    """Of one provider. `rate`: messages a second that the run sends it at most; `takes`: what it was counted
    to take; `until` when the project remembers it, None where nothing of it is kept. Times are RFC 3339.
    """

    provider: str
    rate: float | None
    takes: float | None
    connections: int | None
    how: str  # found, being looked for, remembered
    since: str
    until: str | None
    why: str

    def told(self) -> str:
        """For people, a sentence without subject and end: `takes about 13 messages a second (found …)`."""
        takes = []
        if self.takes is not None:
            takes.append(f"about {self.takes:.3g} messages a second")
        elif self.rate is not None:
            takes.append(f"at most {self.rate:.3g} messages a second, as far as is known")
        if self.connections is not None:
            takes.append(f"{self.connections:,} connection{'' if self.connections == 1 else 's'} at once")
        until = f"; remembered until {self.until}" if self.until and self.how != REMEMBERED else ""
        until = f", until {self.until}" if self.until and self.how == REMEMBERED else until
        now = f"; held to {self.rate:.3g} now" if self.rate is not None and self.takes is not None else ""
        how = f"{self.how}, since {self.since}" if self.how == SOUGHT else f"{self.how} {self.since}"
        return f"takes {' over '.join(takes)} ({how}{until}{now})"


def paces(campaign: Campaign, providers: Collection[str] = ()) -> list[KnownPace]:
    """Of those who asked the run for less, and then of whom the project remembers; or of `providers` only."""
    wanted = set(providers)
    going = {
        str(row["provider"]): row["pace"]
        for row in _rows(campaign)
        if row.get("pace") and (not wanted or row["provider"] in wanted)
    }
    kept = _remembered(campaign, MOST, providers)
    if going and not providers:
        kept |= _remembered(campaign, 2 * len(going), going)
    found = [_of_run(name, pace, kept.get(name, ())) for name, pace in going.items()]
    return found + [_of_memory(name, rows) for name, rows in kept.items() if name not in going]


def kept_until(campaign: Campaign, providers: Collection[str]) -> Mapping[str, str]:
    """Until when the project remembers what each of them was found to take."""
    if not providers:
        return {}
    return {name: _last(rows) for name, rows in _remembered(campaign, 2 * len(providers), providers).items()}


def _rows(campaign: Campaign) -> Iterable[Mapping[str, Any]]:
    """Of a run that goes now."""
    path = control.socket_path(journal_path(campaign))
    try:
        for answer in control.ask(path, {"do": "top"}, within_s=ASKED_S):
            return cast("Iterable[Mapping[str, Any]]", answer.get("rows", ()))
    except (NobodyListens, BulkmailError):
        pass
    return ()


def _remembered(campaign: Campaign, most: int, providers: Iterable[str]) -> dict[str, list[Remembered]]:
    """By provider; of a rehearsal nothing."""
    found: dict[str, list[Remembered]] = {}
    if is_real(campaign):
        try:
            with SiteFile.look(site_store(campaign.project_state)) as file:
                for one in LearnedSites(file).paces(time.time(), most, providers):
                    found.setdefault(one.site, []).append(one)
        except StoreError:
            pass
    return found


def _of_run(name: str, pace: Mapping[str, Any], kept: Collection[Remembered]) -> KnownPace:
    return KnownPace(
        name,
        pace["rate"],
        pace["takes"],
        pace["connections"],
        pace["how"],
        pace["since"],
        _last(kept) if kept else None,
        pace["why"],
    )


def _of_memory(name: str, kept: Collection[Remembered]) -> KnownPace:
    values = {one.kind: one.value for one in kept}
    connections = values.get("connections")
    return KnownPace(
        name,
        None,
        values.get("message_rate"),
        None if connections is None else int(connections),
        REMEMBERED,
        _utc(max(one.at for one in kept)),
        _last(kept),
        "",
    )


def _last(kept: Collection[Remembered]) -> str:
    """Its rate is remembered longer than its connections, and the rate is what is asked for."""
    return _utc(max(one.until for one in kept))


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")
