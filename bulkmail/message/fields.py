"""The header of a message: the fields that are the same for everybody, and those that are rendered.

Who the message is to is read as a structure before it is rendered: in `{{ first_name }} <{{ email }}>` the
name and the address are two templates, so no comma, quote or bracket in a name can turn into an address
(FAULTS.md I9).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime

from bulkmail.errors import Problem
from bulkmail.message import header
from bulkmail.message.author import NAME_ADDR, Author, unquote
from bulkmail.message.draft import Draft
from bulkmail.message.template import Environments, Reason, Template, TemplateProblem, Unrenderable
from bulkmail.smtp.address import AddressError, Mailbox

_EMAIL = re.compile(r"\{\{-?\s*email\s*-?\}\}")


class HeaderFields:
    """`templates`: the header's, all of them. `to_recipient`: To is the recipient's own address."""

    def __init__(self, draft: Draft, environments: Environments, date: datetime) -> None:
        """Raise TemplateProblem with everything that is wrong."""
        self._draft, self._environments = draft, environments
        self._problems: list[Problem] = []
        self.templates: list[Template] = []
        author = self._author("from", draft.from_)
        reply_to = self._author("reply_to", draft.reply_to) if draft.reply_to else None
        self.to_recipient = False
        self._to_constant: Mailbox | None = None
        self._to_template: Template | None = None
        self._to_name = self._read_to(draft.to.strip())
        self._subject = self._template("subject", draft.subject)
        self._own = self._own_fields()
        if self._problems or author is None:
            raise TemplateProblem(self._problems)
        senders = [mailbox for mailbox in (author.mailbox, reply_to and reply_to.mailbox) if mailbox]
        senders += [self._to_constant] if self._to_constant else []
        self.smtputf8 = any(mailbox.smtputf8 for mailbox in senders)
        self._domain = author.mailbox.domain
        fixed = [header.address("From", author.name, author.mailbox.wire)]
        if reply_to is not None:
            fixed.append(header.address("Reply-To", reply_to.name, reply_to.mailbox.wire))
        fixed.append(f"Date: {format_datetime(date)}\r\n".encode("ascii"))
        given = {name.lower() for name, _ in self._own}
        fixed += [field for name, field in _automatic(draft.kind) if name.lower() not in given]
        self._fixed = b"".join(fixed) + b"MIME-Version: 1.0\r\n"

    def render(self, values: Mapping[str, object], recipient: Mailbox) -> bytes:
        """Every field but Message-ID and the body's own. Raise Unrenderable, also for a line break (I1)."""
        to = recipient if self.to_recipient else self.to_mailbox(values)
        name = "" if self._to_name is None else self._text(self._to_name, values)
        fields = [
            self._fixed,
            header.address("To", name, to.wire),
            header.unstructured("Subject", self._text(self._subject, values) if self._subject else ""),
        ]
        fields += [header.unstructured(name, self._text(template, values)) for name, template in self._own]
        return b"".join(fields)

    def to_mailbox(self, values: Mapping[str, object]) -> Mailbox:
        """The address in To where it is not simply the recipient's. Raise Unrenderable where it is none."""
        if self._to_template is None:
            return self._to_constant or Mailbox.parse(str(values["email"]))
        try:
            return Mailbox.parse(self._to_template.render(values))
        except AddressError as error:
            raise Unrenderable(Reason(f"to: {error}", missing=False)) from error

    def message_id(self, digest: bytes) -> bytes:
        """The Message-ID field (RFC 5322 section 3.6.4) for 15 octets that tell messages apart."""
        return b"Message-ID: <%s@%s>\r\n" % (base64.b32encode(digest).lower(), self._domain)

    @staticmethod
    def _text(template: Template, values: Mapping[str, object]) -> str:
        text = template.render(values).strip()
        if header.FORBIDDEN.search(text):
            raise Unrenderable(Reason(f"{template.where}: a line break or NUL in a header", missing=False))
        return text

    def _problem(self, where: str, text: str) -> None:
        self._problems.append(Problem(self._draft.file, 0, 0, where, text))

    def _author(self, where: str, text: str) -> Author | None:
        if "{{" in text or "{%" in text:
            self._problem(where, "is the same for everybody: no {{ … }} here")
            return None
        try:
            return Author.parse(text)
        except ValueError as error:
            self._problem(where, str(error))
            return None

    def _template(self, where: str, source: str) -> Template | None:
        source = source.strip()
        try:
            template = self._environments.compile(source, file=self._draft.file, where=where)
        except TemplateProblem as problem:
            self._problems += problem.problems
            return None
        if header.FORBIDDEN.search(source):
            self._problem(where, "a line break or NUL cannot stand in a header")
        for name in template.names & self._draft.data.keys():
            value = self._draft.data[name]
            if isinstance(value, str) and header.FORBIDDEN.search(value):
                self._problem(where, f"'{name}' of content.data has a line break or NUL: not in a header")
        self.templates.append(template)
        return template

    def _read_to(self, source: str) -> Template | None:
        """Split To into the template of its name, which is returned, and its address."""
        match = NAME_ADDR.fullmatch(source)
        name, address = (unquote(match["name"]), match["address"].strip()) if match else ("", source)
        if _EMAIL.fullmatch(address):
            self.to_recipient = True
        elif "{{" in address or "{%" in address:
            self._to_template = self._template("to", address)
            if self._to_template is not None and self._to_template.plain:
                # Whether it is an address is only known once it is rendered.
                self._to_template.plain = False
        else:
            try:
                self._to_constant = Mailbox.parse(address)
            except AddressError as error:
                self._problem("to", f"{error} (one address, such as {{{{ first_name }}}} <{{{{ email }}}}>)")
        return self._template("to", name) if name else None

    def _own_fields(self) -> list[tuple[str, Template]]:
        """The sender's `headers`, which may add to the structure of a message but not change it."""
        own: list[tuple[str, Template]] = []
        for name, source in self._draft.headers.items():
            where = f"headers.{name}"
            refusal = header.refuse_name(name)
            if refusal is None and name.lower() in {other.lower() for other, _ in own}:
                refusal = "given twice"
            if refusal is not None:
                self._problem(where, refusal)
                continue
            template = self._template(where, source)
            if template is not None:
                own.append((name, template))
        return own


def _automatic(kind: str) -> list[tuple[str, bytes]]:
    """What keeps out-of-office robots from answering.

    Only a transactional message is one that nobody wrote (RFC 3834 section 5); for mail to many, Precedence
    is what those robots look at (RFC 3834 section 2).
    """
    if kind == "transactional":
        return [("Auto-Submitted", b"Auto-Submitted: auto-generated\r\n")]
    return [("Precedence", b"Precedence: bulk\r\n")]
