"""From the campaign file to the composer of its message: files read, keys loaded, tokens made."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from bulkmail.campaign.attached import attachments
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.yaml_data import load_data
from bulkmail.errors import ConfigError
from bulkmail.message import Composer, Draft, read_content
from bulkmail.message.draft import MailingList, Unsubscribe
from bulkmail.message.token import SECRET_MIN, Tokens

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey

# Stands for the secret where nothing is sent: tokens of the right form, which no server of ours accepts.
_PLACEHOLDER = "no secret, no recipient"


def compose(campaign: Campaign, *, date: datetime, sealed: bool = True, salt: str = "") -> Composer:
    """The message of `campaign`. Raises ConfigError with every problem of its templates, files or secrets.

    `date` is that of the plan. With `sealed=False` nothing is signed, and a secret of tokens that cannot be
    had is made up: for those who look at messages (`plan`, `preview`) and must not need what a run needs.
    """
    return Composer(
        draft(campaign),
        date=date,
        tokens=_tokens(campaign, sealed=sealed),
        keys=signing_keys(campaign) if sealed else (),
        salt=salt,
    )


def draft(campaign: Campaign) -> Draft:
    """The message as its author wrote it. Raises ConfigError for files that cannot be read or sent."""
    content, list_, unsubscribe = campaign.content, campaign.list_, campaign.unsubscribe
    return Draft(
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
        preheader=campaign.preheader,
        list_=MailingList(list_.id, list_.postal_address) if list_.id else None,
        unsubscribe=(
            Unsubscribe(unsubscribe.url, unsubscribe.mailto)
            if unsubscribe.url or unsubscribe.mailto
            else None
        ),
        reverse_path=campaign.reverse_path,
        attachments=attachments(campaign),
        embed_images=content.images == "embed",
        inline_css=content.inline_css,
        file=str(campaign.file),
    )


def signing_keys(campaign: Campaign) -> tuple[SigningKey, ...]:
    """The keys of `delivery.dkim`, in its order. Raises ConfigError with all that cannot sign."""
    asked = campaign.delivery.dkim
    problems = [
        campaign.problem(f"delivery.dkim[{index}].key", why)
        for index, dkim in enumerate(asked)
        if (why := dkim.unusable())
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(dkim.signing_key() for dkim in asked)


def _tokens(campaign: Campaign, *, sealed: bool) -> Tokens | None:
    """None where the file names no secret. Raises ConfigError where it is wanted and cannot be had."""
    secret = campaign.unsubscribe.secret
    if secret is None:
        return None
    value = "" if secret.missing else secret.reveal()
    if not sealed and len(value) < SECRET_MIN:
        value = _PLACEHOLDER
    try:
        return Tokens(value, campaign.campaign)
    except ValueError as error:
        why = secret.missing or str(error)
        raise ConfigError(campaign.problem("unsubscribe.secret", why)) from None
