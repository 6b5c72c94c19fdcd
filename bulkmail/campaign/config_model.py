"""The campaign file as types: one frozen model per section, one field per key, descriptions for editors.

What INTERFACE.md names and this version does not build is listed in NOT_BUILT, so that such a key is refused
as "not built yet" rather than as a typing mistake. The models are only ever made by `config.load`, which
fills in the defaults that depend on other keys (`tls`, `reverse_path`, `state`). Defaults are written here as
a user would write them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, PrivateAttr, Tag

from bulkmail.campaign import config_fields as fields
from bulkmail.campaign import config_mail as mail
from bulkmail.campaign import config_values as values
from bulkmail.campaign.config_delivery import Delivery
from bulkmail.campaign.config_fields import (
    AuthorTemplate,
    AuthorText,
    Count,
    Kind,
    Line,
    Name,
    PathField,
    SecretField,
    Subject,
    Text,
    choice,
    typed,
)
from bulkmail.campaign.config_message import Content, ListSection, UnsubscribeSection
from bulkmail.campaign.config_safety import Safety
from bulkmail.campaign.config_section import Section, default, needed
from bulkmail.campaign.config_shaping import Shaping, ShapingDefault
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
        ("safety", "pause_if", "complaints"),
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
    def longest_wait_s(self) -> float:
        """That anybody waits for the next attempt, at whatever provider."""
        scopes = (*self.shaping.providers.values(), *self.shaping.domains.values())
        given = [one.retry.max for one in scopes if one.retry is not None and one.retry.max is not None]
        tomorrow = [86_400.0] if self.shaping.warmup is not None else []
        return max([self.delivery.retry.max, *given, *tomorrow])

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

    def problem_of_key(self, steps: Sequence[str], text: str) -> Problem:
        """A complaint about a key itself, whose name, or that of one above it, may have dots."""
        where = ".".join(steps)
        if self._tree is None:
            return Problem(str(self._file), 0, 0, where, text)
        return self._tree.find(steps)[0].key.problem(where, text)
