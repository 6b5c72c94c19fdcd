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


class AddressLine:
    """To or Reply-To as two templates, name and address. `recipient`: it is the recipient's own address."""

    def __init__(self, name: str, display: Template | None, source: str, template: Template) -> None:
        """`source` is the address as written, `template` the same compiled. Raise AddressError."""
        self._name, self._display = name, display
        self._template: Template | None = None
        self.recipient = _EMAIL.fullmatch(source) is not None
        self.constant: Mailbox | None = None
        if template.names:
            self._template = None if self.recipient else template
        else:
            self.constant = Mailbox.parse(source)

    def mailbox(self, values: Mapping[str, object], recipient: Mailbox) -> Mailbox:
        """Raise Unrenderable where a rendered address is none."""
        if self._template is None:
            return self.constant or recipient
        try:
            return Mailbox.parse(self._template.render(values))
        except AddressError as error:
            raise Unrenderable(Reason(f"{self._template.where}: {error}", missing=False)) from error

    def render(self, values: Mapping[str, object], recipient: Mailbox) -> bytes:
        display = "" if self._display is None else render_line(self._display, values)
        return header.address(self._name, display, self.mailbox(values, recipient).wire)


def render_line(template: Template, values: Mapping[str, object]) -> str:
    """A header's text, on one line. Raise Unrenderable for a line break or NUL (I1)."""
    text = template.render(values).strip()
    if header.FORBIDDEN.search(text):
        raise Unrenderable(Reason(f"{template.where}: a line break or NUL in a header", missing=False))
    return text if text.isprintable() else header.CONTROLS.sub(" ", text)


class HeaderFields:
    """`templates`: the header's, all of them. `to_recipient`: an address in it is the recipient's own."""

    def __init__(self, draft: Draft, environments: Environments, date: datetime) -> None:
        """Raise TemplateProblem with everything that is wrong."""
        self._draft, self._environments = draft, environments
        self._problems: list[Problem] = []
        self.templates: list[Template] = []
        author = self._author(draft.from_)
        lines = [self._address_line("To", "to", draft.to)]
        if draft.reply_to:
            lines.append(self._address_line("Reply-To", "reply_to", draft.reply_to))
        subject = self._template("subject", draft.subject)
        self._own = self._own_fields()
        if self._problems or author is None or subject is None:
            raise TemplateProblem(self._problems)
        self._subject = subject
        self._addresses = [line for line in lines if line is not None]
        self.to_recipient = any(line.recipient for line in self._addresses)
        constants = [author.mailbox, *(line.constant for line in self._addresses if line.constant)]
        self.smtputf8 = any(mailbox.smtputf8 for mailbox in constants)
        self._domain = author.mailbox.domain
        given = {name.lower() for name, _ in self._own}
        self._fixed = b"".join(
            [
                header.address("From", author.name, author.mailbox.wire),
                f"Date: {format_datetime(date)}\r\n".encode("ascii"),
                *(field for name, field in _automatic(draft.kind) if name.lower() not in given),
                b"MIME-Version: 1.0\r\n",
            ]
        )

    def render(self, values: Mapping[str, object], recipient: Mailbox) -> bytes:
        """Every field but Message-ID and the body's own. Raise Unrenderable, also for a line break (I1)."""
        fields = [self._fixed]
        fields += [line.render(values, recipient) for line in self._addresses]
        fields.append(header.unstructured("Subject", render_line(self._subject, values)))
        fields += [header.unstructured(name, render_line(template, values)) for name, template in self._own]
        return b"".join(fields)

    def message_id(self, digest: bytes) -> bytes:
        """The Message-ID field (RFC 5322 section 3.6.4) for 15 octets that tell messages apart."""
        return b"Message-ID: <%s@%s>\r\n" % (base64.b32encode(digest).lower(), self._domain)

    def _problem(self, where: str, text: str) -> None:
        self._problems.append(Problem(self._draft.file, 0, 0, where, text))

    def _author(self, text: str) -> Author | None:
        if "{{" in text or "{%" in text:
            self._problem("from", "is the same for everybody: no {{ … }} here")
            return None
        try:
            return Author.parse(text)
        except ValueError as error:
            self._problem("from", str(error))
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

    def _address_line(self, name: str, where: str, source: str) -> AddressLine | None:
        match = NAME_ADDR.fullmatch(source.strip())
        display, address = (unquote(match["name"]), match["address"]) if match else ("", source)
        template = self._template(where, address)
        if template is None:
            return None
        if template.names:
            template.plain &= _EMAIL.fullmatch(address.strip()) is not None  # others may turn out to be none
        try:
            return AddressLine(
                name, self._template(where, display) if display else None, address.strip(), template
            )
        except AddressError as error:
            self._problem(where, f"{error} (one address, such as {{{{ name }}}} <{{{{ email }}}}>)")
            return None

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
