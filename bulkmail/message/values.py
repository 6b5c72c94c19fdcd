"""What a template may name: the row, `content.data`, and a few things that bulkmail knows by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from markupsafe import escape

from bulkmail.errors import Problem
from bulkmail.message import quoted
from bulkmail.message.batch import Batch
from bulkmail.message.draft import Draft
from bulkmail.message.letter import Addressed, ByColumn
from bulkmail.message.template import Template, TemplateProblem
from bulkmail.message.token import INERT, Tokens
from bulkmail.message.unsubscribe import TOKEN, Unsubscription
from bulkmail.smtp.address import MAX_LABEL, MAX_LOCAL, Mailbox
from bulkmail.smtp.grammar import PLAIN_MAILBOXES

EMAIL = "email"
EXPECTED_ADDRESS = 30  # octets, which most addresses do not have
# What each name needs before it means anything.
_NEEDS = {
    "list": "the campaign has no list: write list: {id: …}",
    "unsubscribe_url": "the campaign has no unsubscribe: write unsubscribe: {url: …, secret: …}",
    "token": "a token needs a secret: write unsubscribe: {secret: {env: NAME}}",
}
_SURROGATE = re.compile("[\ud800-\udfff]")
OURS = frozenset({"campaign", "date", *_NEEDS})


def _is_unicode(value: object) -> bool:
    """Whether every text in it can be encoded."""
    if isinstance(value, str):
        return value.isprintable() or not _SURROGATE.search(value)
    if isinstance(value, dict):
        return all(_is_unicode(each) for pair in value.items() for each in pair)
    return not isinstance(value, list) or all(map(_is_unicode, value))


def _lines(text: str) -> str:
    """Line ends as plain line feeds."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def canonical(addresses: Sequence[str]) -> Sequence[str]:
    """`str(Mailbox.parse(…))` of each. Those of a plan are canonical, and most of them plain."""
    if max(map(len, addresses), default=0) <= min(MAX_LOCAL, MAX_LABEL):  # so no part is too long
        joined = "\n".join([*addresses, ""])
        if joined.count("\n") == len(addresses) and PLAIN_MAILBOXES.fullmatch(joined):
            return addresses
    return [str(Mailbox.parse(address)) for address in addresses]


def _columns(fields: Sequence[Mapping[str, str]], names: Sequence[str]) -> dict[str, list[str]]:
    """Those in which nobody lacks a text."""
    found: dict[str, list[str]] = {}
    for name in names:
        with suppress(KeyError, TypeError):
            column = [row[name] for row in fields]
            "".join(column)
            found[name] = column
    return found


class Values:
    """`static`: values that are the same for everybody. `tokened`: names that hold a recipient's token.
    `unique`: names of whose values nobody has the same, and how many octets these take in HTML, as a rule."""

    def __init__(self, draft: Draft, *, date: datetime, tokens: Tokens | None) -> None:
        self.problems = [
            Problem(draft.file, 0, 0, "content.data", f"'{name}' is a name of bulkmail's own")
            for name in sorted((OURS | {EMAIL}) & draft.data.keys())
        ]
        if not _is_unicode(draft.data):
            text = "not valid Unicode (half a surrogate pair)"
            self.problems.append(Problem(draft.file, 0, 0, "content.data", text))
        self._tokens = tokens
        self.unsubscription: Unsubscription | None = None
        if draft.unsubscribe is not None and (draft.unsubscribe.url or draft.unsubscribe.mailto):
            self.unsubscription = Unsubscription(draft.unsubscribe, draft.campaign)
        self.verp = TOKEN.search(draft.reverse_path) is not None
        self.static: dict[str, object] = {
            **draft.data,
            "campaign": draft.campaign,
            "date": date.astimezone(UTC).date(),
        }
        if draft.list_ is not None:
            self.static["list"] = {"id": draft.list_.id, "postal_address": draft.list_.postal_address}
        tokened = {"token"} if tokens is not None else set()
        if self.unsubscription is not None:
            if self.unsubscription.personal:
                tokened.add("unsubscribe_url")
            else:
                self.static["unsubscribe_url"] = self.unsubscription.url("")
        self.tokened = frozenset(tokened)
        self.unique = {EMAIL: EXPECTED_ADDRESS}
        if tokens is not None:
            self.unique["token"] = len(tokens.token(INERT))
            if "unsubscribe_url" in tokened and self.unsubscription is not None:
                link = str(escape(self.unsubscription.url(tokens.token(INERT))))
                self.unique["unsubscribe_url"] = len(quoted.encoded(link, ends=False))
        self.columns: tuple[str, ...] = ()
        self._needs_token = self.verp or (self.unsubscription is not None and self.unsubscription.personal)

    def settle(self, draft: Draft, names: frozenset[str]) -> None:
        """Take notice of which names the templates read. Raise TemplateProblem for what cannot be had."""
        problems = [
            Problem(draft.file, 0, 0, "", f"'{name}': {_NEEDS[name]}")
            for name in sorted((names & _NEEDS.keys()) - self.static.keys() - self.tokened)
        ]
        self._needs_token |= "token" in names
        if self._needs_token and self._tokens is None and not problems:
            problems = [Problem(draft.file, 0, 0, "unsubscribe.secret", _NEEDS["token"])]
        if problems:
            raise TemplateProblem(problems)
        self.columns = tuple(sorted(names - self.static.keys() - self.tokened - {EMAIL}))
        self.hidden = names & (OURS | draft.data.keys())  # columns of these names would not be seen

    @property
    def inert(self) -> str:
        """The token of nobody, where there are tokens."""
        return self._tokens.token(INERT) if self._needs_token and self._tokens is not None else ""

    def batch(self, people: Sequence[Addressed], columns_of: ByColumn | None = None) -> Batch:
        """Raise AddressError for an address that is none."""
        addresses = canonical([one.address for one in people])
        tokens = [""] * len(people)
        columns: dict[str, Sequence[str]] = {EMAIL: addresses}
        if self._needs_token and self._tokens is not None:
            columns["token"] = tokens = self._tokens.tokens([one.id for one in people])
            if self.unsubscription is not None and self.unsubscription.personal:
                columns["unsubscribe_url"] = self.unsubscription.urls(tokens)
        given = columns_of(people) if columns_of is not None and self.columns else None
        if given is None and self.columns:
            given = _columns([one.fields for one in people], self.columns)
        for name in self.columns:
            column = given.get(name) if given is not None else None
            if column is not None:  # somebody may have none
                columns[name] = [_lines(text) for text in column] if "\r" in "".join(column) else column

        def rows() -> list[dict[str, object]]:
            fields = [one.fields for one in people]
            return [self.of_row(*one) for one in zip(fields, addresses, tokens, strict=True)]

        wires = [address.encode("utf-8") for address in addresses]
        return Batch(wires, tokens, columns, self.static, rows)

    def of_row(self, fields: Mapping[str, str], address: str, token: str) -> dict[str, object]:
        """All that templates may read, for one recipient. Line ends in values are plain line feeds."""
        values: dict[str, object] = {}
        for name in self.columns:
            value = fields.get(name)
            if value is not None:
                values[name] = _lines(value) if "\r" in value else value
        values.update(self.static)
        values[EMAIL] = address
        if token:
            values["token"] = token
            if self.unsubscription is not None and self.unsubscription.personal:
                values["unsubscribe_url"] = self.unsubscription.url(token)
        return values

    def reasons(self, draft: Draft, templates: Iterable[Template], own_address: Iterable[str]) -> list[str]:
        """Why no two recipients can have the same message, for people. Empty where they can."""
        told = {name.lower().replace("-", "_") for name in own_address}
        reasons = [f"{name} holds the recipient's address" for name in own_address]
        for template in templates:
            place = template.where or template.file
            if EMAIL in template.names and template.where not in told:
                reasons.append(f"{place} holds the recipient's address")
            if template.names & self.tokened:
                reasons.append(f"{place} holds the recipient's token")
        if self.unsubscription is not None and self.unsubscription.personal:
            reasons.append("List-Unsubscribe holds the recipient's token")
        if self.verp:
            reasons.append("the reverse-path holds the recipient's token")
        return list(dict.fromkeys(reasons))
