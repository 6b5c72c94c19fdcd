"""What is wrong between keys of the campaign file that are each right, and what looks like a mistake.

Each function yields (key, text) pairs; the caller puts them at their place in the file. What has to do with
the value of a secret is asked only where secrets are wanted, so that those who only look need none.
"""

from __future__ import annotations

from collections.abc import Iterator

from bulkmail.campaign import attached
from bulkmail.campaign.config_model import Campaign, Delivery
from bulkmail.message.token import SECRET_MIN
from bulkmail.message.unsubscribe import TOKEN

Complaint = tuple[str, str]

# What the law and the large mailbox providers want of advertising, and how each is written.
_MARKETING = {
    "list.id": "list: { id: weekly.acme.example }, the list's name within a domain of yours",
    "list.postal_address": 'list: { postal_address: "Acme, 1 Main St, Springfield" }',
    "unsubscribe.url": "unsubscribe: { url: https://u.acme.example/ }, or mailto: ADDRESS",
}


def contradictions(campaign: Campaign, *, routed: bool, secrets: bool) -> Iterator[Complaint]:
    """Errors. `routed`: the way out was given on the command line; `secrets`: they must be there, and fit."""
    yield from _delivery(campaign.delivery)
    yield from _warmup(campaign)
    yield from _leaving(campaign)
    yield from _signing(campaign)
    yield from _safety(campaign)
    if secrets:
        yield from _password(campaign.delivery, routed=routed)
        yield from _secrets(campaign)


def doubts(campaign: Campaign, *, secrets: bool) -> Iterator[Complaint]:
    """Warnings about a campaign without contradictions."""
    author = campaign.author.mailbox.domain.decode("ascii")
    signing = [dkim.domain for dkim in campaign.delivery.dkim]
    if signing and not any(_aligned(domain, author) for domain in signing):
        yield (
            "delivery.dkim[0].domain",
            f"no signature is of {author}, the domain in from, or of one above or beneath it: "
            "under DMARC none of them counts",
        )
    if secrets and signing:
        from bulkmail.campaign.signing import advice  # only who signs pays for the import

        for told in advice(dkim.signing_key() for dkim in campaign.delivery.dkim):
            yield "delivery.dkim", told
    if campaign.preheader and campaign.content.template.suffix.lower() == ".txt":
        yield "preheader", "is seen in HTML only, and the content is plain text"
    yield from attached.doubts(campaign)
    if campaign.kind == "marketing" and campaign.delivery.via.kind == "mx" and not signing:
        yield (
            "delivery.dkim",
            "is missing: the large mailbox providers refuse marketing, and much else in bulk, that is not "
            f"signed by {author}; write dkim: [{{domain: {author}, selector: s1, key: {{file: PATH}}}}]",
        )


def _delivery(delivery: Delivery) -> Iterator[Complaint]:
    retry = delivery.retry
    if retry.max < retry.first:
        yield "delivery.retry.max", "is shorter than retry.first"
    if retry.give_up < retry.first:
        yield "delivery.retry.give_up", "is shorter than retry.first: nobody would be tried twice"
    if delivery.via.implicit_tls and delivery.tls == "none":
        yield "delivery.tls", "smtps:// is TLS from the first octet: write smtp:// or another tls"
    yield from _sources(delivery)


def _warmup(campaign: Campaign) -> Iterator[Complaint]:
    warmup = campaign.shaping.warmup
    if warmup is None:
        return
    if warmup.start.per_second * 86_400 < 1:
        yield "shaping.warmup.start", "is less than one recipient a day: nobody would ever be sent to"
    if warmup.until.per_second < warmup.start.per_second:
        yield "shaping.warmup.until", "is less than start: no source would have a quota"
    elif warmup.growth == 1 and warmup.until.per_second > warmup.start.per_second:
        yield "shaping.warmup.growth", "is 1: the quota would never reach until"
    if warmup.overflow == "warm" and not any(source.warm for source in campaign.delivery.sources):
        yield (
            "shaping.warmup.overflow",
            "is warm, and no source is said to be: write warm: true at one in delivery.sources, or wait here",
        )


def _sources(delivery: Delivery) -> Iterator[Complaint]:
    seen: set[str] = set()
    for index, source in enumerate(delivery.sources):
        if source.address in seen:
            yield f"delivery.sources[{index}]", f"{source.address} is here twice: write weight: 2"
        seen.add(source.address)


def _safety(campaign: Campaign) -> Iterator[Complaint]:
    rules = campaign.safety.pause_if
    named = "refused" in rules.model_fields_set or rules.bounced is not None or rules.blocked is not None
    if "pause_if" in campaign.safety.model_fields_set and not named:
        yield "safety.pause_if", "names no rule: write {bounced: 3%, blocked: 5%, after: 500}"
    if campaign.safety.wait_after_seeds and not campaign.recipients.seeds:
        yield "safety.wait_after_seeds", "there are no seeds: write recipients.seeds: [you@acme.example]"


def _leaving(campaign: Campaign) -> Iterator[Complaint]:
    """List, unsubscription and tokens."""
    unsubscribe, list_ = campaign.unsubscribe, campaign.list_
    if campaign.kind == "marketing":
        there = {
            "list.id": bool(list_.id),
            "list.postal_address": bool(list_.postal_address.strip()),
            "unsubscribe.url": bool(unsubscribe.url or unsubscribe.mailto),
        }
        for where, written in _MARKETING.items():
            if not there[where]:
                yield where, f"is missing, and kind: marketing needs it: write {written}"
    elif list_.postal_address and not list_.id:
        yield "list.id", f"is missing: write {_MARKETING['list.id']}"
    if unsubscribe.secret is None:
        users = ["unsubscribe.url"] if unsubscribe.url else []
        users += ["{{ token }} in delivery.reverse_path"] if TOKEN.search(campaign.reverse_path) else []
        if users:
            yield (
                "unsubscribe.secret",
                f"is missing, and {' and '.join(users)} cannot do without: "
                "write secret: {env: NAME} or {file: PATH}",
            )


def _signing(campaign: Campaign) -> Iterator[Complaint]:
    seen: set[tuple[str, str]] = set()
    for index, dkim in enumerate(campaign.delivery.dkim):
        name = (dkim.domain, dkim.selector.lower())
        if name in seen:
            yield (
                f"delivery.dkim[{index}]",
                f"{dkim.selector}._domainkey.{dkim.domain} is here twice: each key signs once",
            )
        seen.add(name)


def _password(delivery: Delivery, *, routed: bool) -> Iterator[Complaint]:
    via, password = delivery.via, delivery.password
    if via.kind != "relay":
        return
    if via.user and password is None:
        yield "delivery.via", "a user needs a password: write delivery.password: {env: NAME} or {file: PATH}"
    elif via.user and password is not None and password.missing:
        yield "delivery.password", password.missing
    elif password is not None and not via.user and not routed:
        yield "delivery.password", "a password without a user: write via: smtp://USER@HOST:PORT"


def _secrets(campaign: Campaign) -> Iterator[Complaint]:
    secret = campaign.unsubscribe.secret
    if secret is not None and secret.missing:
        yield "unsubscribe.secret", secret.missing
    elif secret is not None and len(secret.reveal()) < SECRET_MIN:
        yield (
            "unsubscribe.secret",
            f"has fewer than {SECRET_MIN} characters, and could be guessed: "
            "take what openssl rand -hex 32 prints",
        )
    for index, dkim in enumerate(campaign.delivery.dkim):
        if wrong := dkim.unusable():
            yield f"delivery.dkim[{index}].key", wrong


def _aligned(one: str, other: str) -> bool:
    """Relaxed alignment as far as it can be told without a list of public suffixes (RFC 7489 section 3.1)."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
