"""Sends one rendered message to a few addresses, by the road that a run would take; nothing is recorded.

What arrives is what a recipient would get, signed, with the reverse-path of the campaign; but its token is
bound to nobody, so that whoever tries the unsubscribe link unsubscribes nobody. There is no journal: who is
sent to twice has asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.courier import deliver_one
from bulkmail.campaign.egress import check_name, check_sources, sources_of
from bulkmail.campaign.prepare import PROJECT_STORE
from bulkmail.campaign.road import road
from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.journal import Suppressions
from bulkmail.message import Letter
from bulkmail.smtp import Mailbox

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of the copy for one address. `reply`: the server's words, or why there are none."""

    to: str
    disposition: str
    code: int | None
    status: str
    reply: str

    @property
    def delivered(self) -> bool:
        return self.disposition == Fate.DELIVERED.value


async def send(
    campaign: Campaign,
    letter: Letter,
    to: Sequence[Mailbox],
    told: Callable[[Tried], None],
    *,
    keys: Sequence[SigningKey] = (),
    warned: Callable[[str], None] = lambda text: None,
) -> None:
    """One copy for each of `to`, in this order; `told` hears of each as soon as it is known.

    `keys` are those that signed it; `warned` is told what is wrong with their records in DNS.

    Who is suppressed is not sent to. Raises ConfigError where there is no name for EHLO or the relay is not
    meant, CredentialsRefused.
    """
    check_name(campaign)
    check_sources(campaign)
    campaign.state.mkdir(mode=0o700, parents=True, exist_ok=True)  # a rehearsal's mail goes there
    async with road(campaign, keys) as made:
        for text in made.warnings:
            warned(text)
        for mailbox in to:
            if _suppressed(campaign, mailbox):
                told(
                    Tried(str(mailbox), Fate.SUPPRESSED.value, None, "", "on the suppression list: not sent")
                )
                continue
            done = await deliver_one(
                made.routing,
                made.pool,
                mailbox,
                letter.content,
                _nothing,
                _nothing,
                reverse_path=letter.reverse_path,
                smtputf8=letter.smtputf8,
                sources=sources_of(campaign, made.way.ehlo),
            )
            told(_tried(mailbox, done))


async def _nothing() -> None:
    """Before the end of data and behind a refusal: there is no journal to be told."""


def _suppressed(campaign: Campaign, mailbox: Mailbox) -> bool:
    with Suppressions.look(campaign.project_state / PROJECT_STORE) as suppressions:
        return suppressions.check(str(mailbox)) is not None


def _tried(mailbox: Mailbox, done: Disposition) -> Tried:
    return Tried(str(mailbox), done.fate.value, done.code, done.status, done.text)
