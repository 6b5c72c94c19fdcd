"""Where the journal of a campaign is. Verbs ask it that have to reach a run at once, so it imports little."""

from __future__ import annotations

from pathlib import Path

from bulkmail.campaign.config import Campaign
from bulkmail.errors import ConfigError


def is_real(campaign: Campaign) -> bool:
    """Mail may reach people."""
    return campaign.delivery.via.kind != "sandbox"


def journal_path(campaign: Campaign) -> Path:
    """Rehearsals and real sends never share a journal."""
    suffix = ".journal" if is_real(campaign) else ".sandbox.journal"
    return campaign.state / (campaign.campaign + suffix)


def never_run(campaign: Campaign) -> ConfigError:
    """There is no journal; perhaps one of the other kind: a rehearsal is easily taken for a real send."""
    path, real = journal_path(campaign), is_real(campaign)
    other = path.with_name(campaign.campaign + (".sandbox.journal" if real else ".journal"))
    hint = f"only rehearsed (--via sandbox), in {other}" if real else f"only sent for real, in {other}"
    told = hint if other.exists() else f"there is no {path}"
    return ConfigError(f"{campaign.campaign} has not been run via {campaign.delivery.via} yet: {told}")
