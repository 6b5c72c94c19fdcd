"""The campaign file as types: one frozen model per section, one field per key, descriptions for editors.

What INTERFACE.md names and this version does not build is listed in NOT_BUILT, so that such a key is refused
as "not built yet" rather than as a typing mistake. The models are only ever made by `config.load`, which
fills in the defaults that depend on other keys (`tls`, `reverse_path`, `state`). Defaults are written here as
a user would write them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, PrivateAttr, Tag

from bulkmail.campaign import config_fields as fields
from bulkmail.campaign import config_mail as mail
from bulkmail.campaign import config_values as values
from bulkmail.campaign.config_fields import (
    AuthorTemplate,
    AuthorText,
    Count,
    Duration,
    Factor,
    Flag,
    Kind,
    Line,
    Name,
    PathField,
    Port,
    RateField,
    SecretField,
    Subject,
    Text,
    Tls,
    Whole,
    Workers,
    choice,
    typed,
)
from bulkmail.campaign.config_message import Content, Dkim, ListSection, UnsubscribeSection
from bulkmail.campaign.config_section import Section, default, needed
from bulkmail.campaign.config_values import Via
from bulkmail.campaign.yaml_marks import Node
from bulkmail.errors import Problem
from bulkmail.message.author import Author

__all__ = [
    "NOT_BUILT",
    "SHORT_FORM",
    "Campaign",
    "Content",
    "Delivery",
    "Recipients",
    "Section",
    "ShapingDefault",
    "SqlSource",
]

# Keys of INTERFACE.md that are known and refused; "not built yet in this version" is said for each.
NOT_BUILT = frozenset(
    {
        ("schedule",),
        ("delivery", "sources"),
        ("shaping", "providers"),
        ("shaping", "domains"),
        ("shaping", "warmup"),
        ("safety", "pause_if"),
    }
)
# The short form of a section is the value of this key.
SHORT_FORM = {"recipients": "source", "content": "template"}


class SqlSource(Section):
    sql: Text = needed("a query whose rows are the list")
    dsn: SecretField = needed("the database to ask")


def _source_form(value: object) -> str:
    return "<sql>" if isinstance(value, dict | SqlSource) else "<file>"


SourceText = Annotated[str, *typed(values.source_text)]
Source = Annotated[
    Annotated[SourceText, Tag("<file>")] | Annotated[SqlSource, Tag("<sql>")], Discriminator(_source_form)
]


class Recipients(Section):
    source: Source = needed("the list: .csv, .tsv, .jsonl, .parquet, a glob, - or {sql: …, dsn: …}")
    columns: dict[Annotated[str, *typed(fields.field_name)], Text] = default(
        {},
        "our field: your column; without it the columns' own names, the address in email",
    )
    where: Text | None = default(None, "an SQLite expression over the columns, all of them text")
    dedupe: Annotated[Literal["address", "none"], *choice("address", "none")] = default(
        "address", "one message for one address, or one for each row"
    )
    exclude: tuple[PathField, ...] = default((), "lists that are left out of this campaign")
    seeds: tuple[Annotated[str, *typed(mail.address_text)], ...] = default(
        (), "addresses that are always added, and delivered first"
    )
    limit: Count | None = default(None, "not more than so many recipients")


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


class Delivery(Section):
    via: Annotated[
        Via, *typed(values.parse_via, examples=["sandbox", "mx", "smtp://user@relay.example:587"])
    ] = needed("the way out: sandbox, mx, smtp://[USER@]HOST:PORT or smtps://[USER@]HOST:PORT")
    password: SecretField | None = default(None, "of the relay's user: {env: NAME} or {file: PATH}")
    ehlo: Annotated[str, *typed(values.parse_ehlo)] | None = default(
        None,
        "the name this machine gives itself; default: its own, if that is a full one",
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


class ShapingDefault(Section):
    connections: Count = default(10, "open at once to one site")
    message_rate: RateField = default("100/s", "messages to one site")
    connection_rate: RateField = default("20/s", "new connections to one site")
    recipients_per_transaction: Count = default(100, "at most, where the bytes are the same")
    messages_per_connection: Count = default(100, "then a new connection is made")
    messages_in_flight: Count = default(8, "at most, on a connection: so many are in doubt if it breaks")


class Shaping(Section):
    default: ShapingDefault = default({}, "the limits of a site that has no others")


class Safety(Section):
    confirm_above: Whole = default(0, "a real send of more than this asks first")
    max_recipients: Whole | None = default(None, "a plan with more is refused")


class Campaign(Section):
    campaign: Name = needed("the identity: running it again resumes it; a new send needs a new name")
    kind: Annotated[Kind, *choice("marketing", "announcement", "transactional")] = default(
        "announcement", "marketing (it needs list and unsubscribe), announcement or transactional"
    )
    from_: AuthorText = needed('who it is from: "Name <local@domain>"', alias="from")
    to: AuthorTemplate = default(
        "{{ email }}", "the To header; the same for everybody lets transactions be shared"
    )
    reply_to: AuthorTemplate | None = default(None, "where answers go")
    subject: Subject = needed("jinja2 inside; in quotes if it has # or : in it")
    preheader: Annotated[
        str, *typed(mail.preheader, type=["string", "number"], examples=["Three things worth your time"])
    ] = default("", "what mail programs show behind the subject, jinja2 inside")
    headers: dict[Annotated[str, *typed(fields.header_name)], Line] = default({}, "more headers")
    list_: ListSection = default({}, "the mailing list that this is a message of", alias="list")
    recipients: Recipients = needed("the list, or the path of one")
    content: Content = needed("the message, or the path of its template")
    unsubscribe: UnsubscribeSection = default({}, "how people leave: List-Unsubscribe, and tokens")
    delivery: Delivery = needed("how it gets out")
    shaping: Shaping = default({}, "limits that protect the sender's reputation")
    safety: Safety = default({}, "what stands between a mistake and a mailing")
    report_to: AuthorText | None = default(None, "who is told what could not be delivered")
    log: PathField | None = default(None, "the accounting log: a line per recipient and attempt")
    state: PathField = default(".bulkmail", "the folder of the journal, made with mode 0700")

    _file: Path = PrivateAttr(default=Path())
    _project_state: Path = PrivateAttr(default=Path())
    _warnings: tuple[Problem, ...] = PrivateAttr(default=())
    _tree: Node | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path:
        """The campaign file, as it was given to load()."""
        return self._file

    @property
    def project_state(self) -> Path:
        """Where the project's store is: suppressions, and what was learned of sites."""
        return self._project_state

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What looks like a mistake and is not an error."""
        return self._warnings

    @property
    def author(self) -> Author:
        """`from`, parsed."""
        return Author.parse(self.from_)

    @property
    def reverse_path(self) -> str:
        """`delivery.reverse_path`, which is the address in `from` unless the file says otherwise.

        An address in canonical form, but for `{{ token }}`, which may stand in its local part.
        """
        return self.delivery.reverse_path

    def problem(self, where: str, text: str) -> Problem:
        """A complaint about the key `where`, such as `recipients.exclude[0]`, with its position."""
        steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", where)]
        if self._tree is None:
            return Problem(str(self._file), 0, 0, where, text)
        node, exact = self._tree.find(steps)
        return (node.mark if exact else node.key).problem(where, text)
