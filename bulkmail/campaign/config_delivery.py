"""The section `delivery` of the campaign file: how its mail gets out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from bulkmail.campaign import config_mail as mail
from bulkmail.campaign import config_values as values
from bulkmail.campaign.config_fields import (
    Duration,
    Factor,
    Flag,
    Port,
    SecretField,
    Tls,
    Workers,
    choice,
    typed,
)
from bulkmail.campaign.config_message import Dkim
from bulkmail.campaign.config_section import Section, default, needed
from bulkmail.campaign.config_values import Via


class Retry(Section):
    first: Duration = default("5m", "until the second attempt")
    factor: Factor = default(2, "each wait is longer than the one before by this")
    max: Duration = default("4h", "no wait is longer")
    give_up: Duration = default("48h", "a recipient who is still deferred then has expired")


class TimeLimitsSection(Section):
    connect: Duration = default("30s", "to connect to one address")
    tls: Duration = default("60s", "for the TLS handshake")
    greeting: Duration = default("5m", "for the 220")
    ehlo: Duration = default("5m", "for the reply to EHLO")
    mail: Duration = default("5m", "for the reply to MAIL")
    rcpt: Duration = default("5m", "for the reply to RCPT")
    data: Duration = default("2m", "for the 354")
    block: Duration = default("3m", "for the peer to take 64 kB of the message")
    end_of_data: Duration = default(
        "10m",
        "for the reply to the final dot; shorter makes duplicates (RFC 5321 4.5.3.2.6)",
    )
    quit: Duration = default("5s", "for the reply to QUIT, where it is waited for")


class SourceSection(Section):
    address: Annotated[str, *typed(values.source_address, examples=["192.0.2.10", "2001:db8::10"])] = needed(
        "an IP address of this machine"
    )
    ehlo: Annotated[str, *typed(values.parse_ehlo)] | None = default(
        None, "the name that this address has in DNS; default: delivery.ehlo"
    )
    weight: Annotated[
        int, *typed(values.bounded(1, int, "a whole number", most=1000), type="integer", minimum=1)
    ] = default(1, "its share of the mail, beside the weights of the others: 1 to 1000")
    warm: Flag = default(False, "it has sent in bulk before: shaping.warmup is not for it")


def _source(text: str) -> SourceSection:
    return SourceSection.model_construct(address=values.source_address(text), ehlo=None, weight=1, warm=False)


def _source_form(value: object) -> str:
    return "<mapping>" if isinstance(value, dict) else "<path>"


SourceField = Annotated[
    Annotated[SourceSection, *typed(_source), Tag("<path>")] | Annotated[SourceSection, Tag("<mapping>")],
    Discriminator(_source_form),
]


class Delivery(Section):
    via: Annotated[
        Via, *typed(values.parse_via, examples=["sandbox", "mx", "smtp://user@relay.example:587"])
    ] = needed("the way out: sandbox, mx, smtp://[USER@]HOST:PORT or smtps://[USER@]HOST:PORT")
    password: SecretField | None = default(None, "of the relay's user: {env: NAME} or {file: PATH}")
    ehlo: Annotated[str, *typed(values.parse_ehlo)] | None = default(
        None,
        "the name this machine gives itself; default: its own, if that is a full one",
    )
    sources: tuple[SourceField, ...] = default(
        (),
        "the addresses that mail leaves from, each ADDRESS or {address: ADDRESS, ehlo: NAME, weight: N, "
        "warm: true}; default: the kernel chooses",
    )
    reverse_path: Annotated[
        str, *typed(mail.reverse_path, examples=["bounces+{{ token }}@mail.acme.example"])
    ] = default(
        None,
        "where bounce messages go; {{ token }} tells whose each is; default: the address in from",
        validate=False,
    )
    dkim: tuple[Dkim, ...] = default((), "who signs: [{domain: …, selector: …, key: {file: PATH}}]")
    tls: Annotated[Tls, *choice("none", "opportunistic", "required", "verified")] = default(
        "opportunistic",
        "what a connection must be; with a relay's user the default is verified",
    )
    transaction: Annotated[Literal["auto", "individual"], *choice("auto", "individual")] = default(
        "auto", "auto shares a transaction where the bytes are the same"
    )
    on_doubt: Annotated[Literal["hold", "resend"], *choice("hold", "resend")] = default(
        "hold", "what a resume does about those who may or may not have got the message"
    )
    retry: Retry = default({}, "when deferred recipients are tried again")
    time_limits: TimeLimitsSection = default({}, "for each reply of a server")
    resolvers: tuple[Annotated[tuple[str, int], *typed(values.parse_endpoint)], ...] = default(
        (), "name servers as ADDRESS:PORT; default: the system's"
    )
    port: Port = default(25, "of the mail exchangers; other than 25 is for tests")
    allow_private: Flag = default(False, "allow hosts on loopback and private addresses")
    workers: Workers = default("auto", "processes that send; auto: one, or for much mail one a processor")

    @property
    def insecure_auth(self) -> bool:
        """The user says that the password may travel without a verified certificate."""
        return bool(self.via.user) and self.tls != "verified"
