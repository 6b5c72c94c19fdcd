"""From the campaign file to the composer of its message."""

from __future__ import annotations

from datetime import datetime

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.yaml_data import load_data
from bulkmail.message import Composer, Draft, read_content


def compose(campaign: Campaign, *, date: datetime) -> Composer:
    """The message of `campaign`. Raises ConfigError with every problem of its templates."""
    content = campaign.content
    return Composer(
        Draft(
            from_=campaign.from_,
            to=campaign.to,
            reply_to=campaign.reply_to,
            subject=campaign.subject,
            headers=campaign.headers,
            text=None,
            html=None,
            campaign=campaign.campaign,
            data=load_data(content.data) if content.data is not None else {},
            on_missing=content.on_missing,
            content=read_content(content.template, content.text),
            kind=campaign.kind,
            file=str(campaign.file),
        ),
        date=date,
    )
