"""A draft compiled once into a function from a row to the bytes of its message.

The composer knows before the first connection what can go wrong with a row (`check`), and which fields of
the row matter at all (`fields`): rows that agree in them get the same bytes and may share a transaction.
Everything that is the same for everybody is encoded once; `render` joins it with what is not. The same
draft, date and row give the same bytes on any day, so that a resumed campaign sends what it would have
sent.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from bulkmail.errors import Problem
from bulkmail.message import header, mime
from bulkmail.message.draft import Draft
from bulkmail.message.fields import HeaderFields
from bulkmail.message.parts import Parts
from bulkmail.message.template import Environments, Reason, Template, TemplateProblem, Unrenderable
from bulkmail.smtp.address import Mailbox

FORMAT = "1"  # part of the digest: raise it when the same draft begins to give other bytes
ANYBODY = "someone@example.com"  # stands for the recipient while a row is checked
_SURROGATE = re.compile("[\ud800-\udfff]")


class Composer:
    """`fields`: the row fields that any template reads, `email` among them; `personal`: there are some."""

    fields: frozenset[str]
    personal: bool
    digest: str  # of everything that makes the content but the date
    smtputf8: bool  # an address of the sender's own needs it, whoever the recipient is

    def __init__(self, draft: Draft, *, date: datetime) -> None:
        """`date` becomes the Date field and must know its zone. Raise TemplateProblem, with all found."""
        if date.tzinfo is None:
            raise ValueError("the date of a message needs a time zone")
        self._static: dict[str, object] = {**draft.data, "campaign": draft.campaign}
        environments = Environments(draft.on_missing)
        self._lenient = environments.lenient
        problems: list[Problem] = []
        fields: HeaderFields | None = None
        parts: Parts | None = None
        try:
            fields = HeaderFields(draft, environments, date)
        except TemplateProblem as problem:
            problems += problem.problems
        try:
            parts = Parts(draft.sources(), environments)
        except TemplateProblem as problem:
            problems += problem.problems
        if "email" in draft.data:
            problems.append(Problem(draft.file, 0, 0, "content.data", "'email' is the recipient's address"))
        if fields is None or parts is None or problems:
            raise TemplateProblem(problems)

        self._header, self._parts = fields, parts
        templates = [*fields.templates, *parts.templates]
        self._slow_header = [template for template in fields.templates if not template.plain]
        self._slow_body = [template for template in parts.templates if not template.plain]
        self._plain = [template for template in templates if template.plain]
        self._plain_header = self._read_by(template for template in fields.templates if template.plain)
        self.fields = self._read_by(templates) | ({"email"} if fields.to_recipient else set())
        self.personal = bool(self.fields)
        self._columns = sorted(self.fields - {"email"})
        self._required = frozenset[str]().union(*(t.required for t in self._plain)) & set(self._columns)
        self.digest = _digest(draft)
        self._key = bytes.fromhex(self.digest)
        self._boundary = b"=_" + self.digest[:24].encode("ascii")
        self.smtputf8 = fields.smtputf8
        self._shared: bytes | None = None
        if not self.personal:
            try:
                self._shared = self._compose(Mailbox.parse(ANYBODY), {})
            except Unrenderable as error:  # for everybody, then
                raise TemplateProblem(Problem(draft.file, 0, 0, "", error.reason)) from error

    def check(self, fields: Mapping[str, str]) -> Reason | None:
        """Why this row has no message, or None.

        Where `missing` is set, `on_missing` decides about the row (I8); otherwise it can never be sent (I1).
        """
        if not self._lenient and not self._required <= fields.keys():
            present = {*fields, *self._static, "email"}
            return next(filter(None, (template.lacks(present) for template in self._plain)), None)
        for name in self._columns:
            value = fields.get(name, "")
            if not value.isprintable():
                if name in self._plain_header and header.FORBIDDEN.search(value):
                    return Reason(f"{name}: a line break or NUL, and a header uses it", missing=False)
                if _SURROGATE.search(value):
                    return Reason(f"{name}: not valid Unicode (half a surrogate pair)", missing=False)
        if not self._slow_header and not self._slow_body:
            return None
        values = self._values(fields, fields.get("email") or ANYBODY)
        try:
            if self._slow_header:
                self._header.render(values, Mailbox.parse(ANYBODY))
            for template in self._slow_body:
                template.render(values)
        except Unrenderable as error:
            return error.reason
        return None

    def render(self, address: str, fields: Mapping[str, str]) -> bytes:
        """The message for one recipient: canonical CRLF, 7-bit but for an address that is not.

        Raise Unrenderable where `check` gives a reason, AddressError for an address that is none.
        """
        if self._shared is not None:
            return self._shared
        return self._compose(Mailbox.parse(address), fields)

    def _compose(self, recipient: Mailbox, fields: Mapping[str, str]) -> bytes:
        values = self._values(fields, str(recipient))
        head = self._header.render(values, recipient)
        text, html = self._parts.render(values)
        if html is None:
            body = mime.part(b"plain", text or "", self._boundary)
        elif text is None:
            body = mime.part(b"html", html, self._boundary)
        else:
            body = mime.alternative(text, html, self._boundary)
        varying = b"\0".join((recipient.wire, head, body)) if self.personal else b""
        local = hashlib.blake2b(varying, key=self._key, digest_size=15).digest()
        return b"".join((head, self._header.message_id(local), body))

    def _values(self, fields: Mapping[str, str], address: str) -> dict[str, object]:
        values: dict[str, object] = {name: fields[name] for name in self._columns if name in fields}
        values.update(self._static)
        values["email"] = address
        return values

    def _read_by(self, templates: Iterable[Template]) -> frozenset[str]:
        return frozenset[str]().union(*(template.names for template in templates)) - self._static.keys()


def _digest(draft: Draft) -> str:
    content = draft.sources()
    sources = [source and source.text for source in (content.text, content.markdown, content.html)]
    everything = {
        "format": FORMAT,
        "campaign": draft.campaign,
        "fields": [draft.from_, draft.to, draft.reply_to, draft.subject, list(draft.headers.items())],
        "sources": [*sources, content.text_from_html],
        "data": draft.data,
        "policy": [draft.on_missing, draft.kind],
    }
    serialised = json.dumps(everything, sort_keys=True, default=str)
    return hashlib.blake2b(serialised.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
