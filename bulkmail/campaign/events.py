"""What a run tells while it goes: plain mappings, one JSON line each under `--json` (`schema --events`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bulkmail.campaign.config import Campaign

Tell = Callable[[Mapping[str, object]], None]


def event(name: str, campaign: Campaign, **fields: object) -> dict[str, object]:
    """One event; `at` is RFC 3339 in UTC."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"event": name, "at": at, "campaign": campaign.campaign, **fields}
