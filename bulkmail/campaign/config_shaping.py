"""The section `shaping` of the campaign file: what protects the sender, and others from him."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from bulkmail.campaign import config_values as values
from bulkmail.campaign.config_fields import (
    Count,
    Duration,
    Factor,
    PathField,
    RateField,
    Tls,
    choice,
    field_name,
    typed,
)
from bulkmail.campaign.config_section import Section, default, needed
from bulkmail.smtp.address import domain_to_ascii


def profile_word(text: str) -> Path | Literal["built-in", "none"]:
    """A profile by its word, or the path of a file."""
    return text if text in ("built-in", "none") else values.absolute(text)  # type: ignore[return-value]


def provider_name(text: str) -> str:
    """The name of a profile, or the end of exchangers' names. Raises ValueError."""
    return domain_to_ascii(text.lstrip(".")).decode() if "." in text else text.lower()


def domain_name(text: str) -> str:
    """Raises ValueError."""
    return domain_to_ascii(text.rpartition("@")[2]).decode()


Profile = Annotated[Path | Literal["built-in", "none"], *typed(profile_word, examples=["built-in", "none"])]


class ShapingDefault(Section):
    connections: Count = default(10, "open at once to one site")
    message_rate: RateField = default("100/s", "messages to one site")
    recipient_rate: RateField | None = default(None, "recipients of one site, whatever they share")
    connection_rate: RateField = default("20/s", "new connections to one site")
    recipients_per_transaction: Count = default(100, "at most, where the bytes are the same")
    messages_per_connection: Count = default(100, "then a new connection is made")
    messages_in_flight: Count = default(8, "at most, on a connection: so many are in doubt if it breaks")


class ShapingRetry(Section):
    first: Duration | None = default(None, "until the second attempt")
    factor: Factor | None = default(None, "each wait is longer than the one before by this")
    max: Duration | None = default(None, "no wait is longer")
    give_up: Duration | None = default(None, "a recipient who is still deferred then has expired")


class ShapingTimes(Section):
    connect: Duration | None = default(None, "to connect to one address")
    tls: Duration | None = default(None, "for the TLS handshake")
    greeting: Duration | None = default(None, "for the 220")
    ehlo: Duration | None = default(None, "for the reply to EHLO")
    mail: Duration | None = default(None, "for the reply to MAIL")
    rcpt: Duration | None = default(None, "for the reply to RCPT")
    data: Duration | None = default(None, "for the 354")
    block: Duration | None = default(None, "for the peer to take 64 kB of the message")
    end_of_data: Duration | None = default(None, "for the reply to the final dot; shorter makes duplicates")
    quit: Duration | None = default(None, "for the reply to QUIT, where it is waited for")


class ShapingLimits(Section):
    connections: Count | None = default(None, "open at once, to all of it together")
    message_rate: RateField | None = default(None, "messages, to all of it together")
    recipient_rate: RateField | None = default(None, "recipients, of all of it together")
    connection_rate: RateField | None = default(None, "new connections, to all of it together")
    recipients_per_transaction: Count | None = default(None, "at most, where the bytes are the same")
    messages_per_connection: Count | None = default(None, "then a new connection is made")
    messages_in_flight: Count | None = default(None, "at most, on a connection")
    tls: Annotated[Tls, *choice("none", "opportunistic", "required", "verified")] | None = default(
        None, "what a connection must be, where that is stricter than delivery.tls"
    )
    time_limits: ShapingTimes | None = default(
        None, "for each reply of a server, where that is shorter than in delivery.time_limits"
    )


class ShapingScope(ShapingLimits):
    retry: ShapingRetry | None = default(
        None, "when deferred recipients are tried again, where that differs from delivery.retry"
    )


class ProfileEntry(ShapingLimits):
    """Of a provider in a profile file."""

    mx: tuple[Annotated[str, *typed(domain_name)], ...] = default((), "ends of its exchangers' names")


class ProfileFile(Section):
    edition: str = default("", "what it is called where a limit of it is shown; default: file and line")
    extends: Literal["built-in", "none"] = default("none", "what it is laid over")
    providers: dict[str, ProfileEntry] = default({}, "by name")


class WarmupSection(Section):
    start: RateField = needed("recipients on the first day of a source at a provider, as 2000/day")
    growth: Annotated[
        float, *typed(values.bounded(1, float, "a number", most=10), type="number", minimum=1, maximum=10)
    ] = default(1.3, "each day's quota is that of the day before times this")
    until: RateField = needed("a quota as large as this is none any more: the source is warm")
    overflow: Annotated[Literal["wait", "warm"], *choice("wait", "warm")] = default(
        "wait", "what is too much for today waits for tomorrow, or leaves from a source that is warm"
    )
    first: Annotated[str, *typed(field_name)] | None = default(
        None, "a field of the list with numbers or dates: who has the most is sent to first"
    )


class Shaping(Section):
    profile: Profile = default("built-in", "what is known of the large providers: built-in, none, or a file")
    providers: dict[Annotated[str, *typed(provider_name)], ShapingScope] = default(
        {}, "limits of all sites of a provider together: by its name in the profile, or the end of its MX"
    )
    domains: dict[Annotated[str, *typed(domain_name)], ShapingScope] = default(
        {}, "limits of one domain, beside those of its site and provider"
    )
    warmup: WarmupSection | None = default(None, "how much a new source may send to each provider")
    replies: PathField | None = default(
        None, "rows of your own for the table of what replies mean, before the built-in ones: a .toml file"
    )
    default: ShapingDefault = default({}, "the limits of a site that has no others")
