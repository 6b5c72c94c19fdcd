"""The header of a message: the fields that are the same for everybody, and those that are rendered.

Who the message is to is read as a structure before it is rendered: in `{{ first_name }} <{{ email }}>` the
name and the address are two templates, so no comma, quote or bracket in a name can turn into an address
(FAULTS.md I9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from hashlib import blake2b

from bulkmail.errors import Problem
from bulkmail.message import header
from bulkmail.message.author import NAME_ADDR, Author, unquote
from bulkmail.message.batch import Batch
from bulkmail.message.draft import Draft
from bulkmail.message.template import Environments, Reason, Template, TemplateProblem, Unrenderable
from bulkmail.smtp.address import AddressError, Mailbox

Render = Callable[[Batch], list[bytes]]

_NOBODY = b"nobody@example.invalid"
_EMAIL = re.compile(r"\{\{-?\s*email\s*-?\}\}")


class AddressLine:
    """To or Reply-To as two templates, name and address. `recipient`: it is the recipient's own address."""

    def __init__(self, name: str, display: Template | None, source: str, template: Template) -> None:
        """`source` is the address as written, `template` the same compiled. Raise AddressError."""
        self.name, self._display = name, display
        self.names = template.names | (display.names if display is not None else frozenset())
        self._template: Template | None = None
        self.recipient = _EMAIL.fullmatch(source) is not None
        self.constant: Mailbox | None = None
        if template.names:
            self._template = None if self.recipient else template
        else:
            self.constant = Mailbox.parse(source)

    def render(self, batch: Batch) -> list[bytes]:
        """The whole field, of each. Raise Unrenderable where a rendered address is none."""
        displays = [""] * len(batch) if self._display is None else lines(self._display, batch)
        return header.addresses(self.name, displays, self._wires(batch))

    def _wires(self, batch: Batch) -> Sequence[bytes]:
        if self._template is not None:
            return [self._parsed(self._template, text) for text in self._template.column(batch)]
        return [self.constant.wire] * len(batch) if self.constant else batch.wires

    @staticmethod
    def _parsed(template: Template, text: str) -> bytes:
        try:
            return Mailbox.parse(text).wire
        except AddressError as error:
            raise Unrenderable(Reason(f"{template.where}: {error}", missing=False)) from error


def lines(template: Template, batch: Batch) -> list[str]:
    """A header's text, on one line, of each. Raise Unrenderable for a line break or NUL (I1)."""
    texts = template.column(batch)
    if "".join(texts).isprintable():
        return [*map(str.strip, texts)]
    return [_line(template, text.strip()) for text in texts]


def _line(template: Template, text: str) -> str:
    if text.isprintable():
        return text
    if header.FORBIDDEN.search(text):
        raise Unrenderable(Reason(f"{template.where}: a line break or NUL in a header", missing=False))
    return header.CONTROLS.sub(" ", text).strip()


class HeaderFields:
    """`templates`: the header's, all of them; `own_address`: those lines that hold the recipient's address.

    The fields that are the same for everybody come first, then those that are not: `constant_names` and
    `varying_names`, in order. Message-ID is among neither, the composer knows what it is made of.
    """

    def __init__(self, draft: Draft, environments: Environments, static: Mapping[str, object]) -> None:
        """Raise TemplateProblem with everything that is wrong."""
        self._draft, self._environments, self._static = draft, environments, static
        self._problems: list[Problem] = []
        self.templates: list[Template] = []
        author = self._author(draft.from_)
        lines = [self._address_line("To", "to", draft.to)]
        if draft.reply_to:
            lines.append(self._address_line("Reply-To", "reply_to", draft.reply_to))
        subject = self._template("subject", draft.subject)
        own = self._own_fields()
        if self._problems or author is None or subject is None:
            raise TemplateProblem(self._problems)
        self.domain = author.mailbox.domain.decode("ascii")
        addresses = [line for line in lines if line is not None]
        self.own_address = [line.name for line in addresses if line.recipient]
        constants = [author.mailbox, *(line.constant for line in addresses if line.constant)]
        self.smtputf8 = any(mailbox.smtputf8 for mailbox in constants)
        given = {name.lower() for name, _ in own}
        self._constant: list[tuple[str, bytes]] = [
            ("From", header.address("From", author.name, author.mailbox.wire)),
            ("MIME-Version", b"MIME-Version: 1.0\r\n"),
            *((name, field) for name, field in self._automatic() if name.lower() not in given),
        ]
        self._varying: list[tuple[str, Render]] = []
        for line in addresses:
            self._add(line.name, line.names, line.render)
        self.addresses = len(self._varying)  # so many of the varying fields are addresses, the first
        for name, template in [("Subject", subject), *own]:
            self._add(name, template.names, partial(_unstructured, name, template))
        if self._problems:
            raise TemplateProblem(self._problems)
        self.constant_names = [*(name for name, _ in self._constant), "Date"]
        self.varying_names = [name for name, _ in self._varying]

    def constant(self, date: datetime) -> list[bytes]:
        """The fields of `constant_names`."""
        return [*(field for _, field in self._constant), f"Date: {format_datetime(date)}\r\n".encode("ascii")]

    def varying(self, batch: Batch) -> list[list[bytes]]:
        """For each of `varying_names` the fields of all. Raise Unrenderable, also for a line break (I1)."""
        return [render(batch) for _, render in self._varying]

    def message_ids(self, locals_: Sequence[str], *, relaxed: bool = False) -> list[bytes]:
        """The Message-ID fields (RFC 5322 section 3.6.4); `relaxed`: as they are signed."""
        begin, end = "message-id:<" if relaxed else "Message-ID: <", f"@{self.domain}>\r\n"
        return [f"{begin}{local}{end}".encode("ascii") for local in locals_]

    def _add(self, name: str, names: frozenset[str], render: Render) -> None:
        if not names <= self._static.keys():
            self._varying.append((name, render))
            return
        try:
            (field,) = render(Batch.of_one(self._static, _NOBODY))
            self._constant.append((name, field))
        except Unrenderable as error:
            self._problem("", error.reason)

    def _automatic(self) -> list[tuple[str, bytes]]:
        """What a message to many says of itself, for robots.

        Only a transactional message is one that nobody wrote (RFC 3834 section 5); for mail to many,
        Precedence is what out-of-office robots look at (RFC 3834 section 2). Feedback-ID is what Gmail's
        statistics are told apart by: its last part is the sender's for good.
        """
        draft = self._draft
        fields = []
        if draft.kind == "transactional":
            fields.append(("Auto-Submitted", b"Auto-Submitted: auto-generated\r\n"))
        else:
            fields.append(("Precedence", b"Precedence: bulk\r\n"))
            list_id = draft.list_.id if draft.list_ is not None else ""
            feedback = f"Feedback-ID: {draft.campaign}:{list_id}:{draft.kind}:{_sender_id(self.domain)}\r\n"
            fields.append(("Feedback-ID", feedback.encode("ascii")))
        if draft.list_ is not None and draft.list_.id:
            fields.append(("List-Id", f"List-Id: <{draft.list_.id}>\r\n".encode("ascii")))
        return fields

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
            if name.lower().startswith("list-unsubscribe") and self._draft.unsubscribe is not None:
                refusal = "bulkmail writes this field itself where the campaign has unsubscribe"
            if refusal is not None:
                self._problem(where, refusal)
                continue
            template = self._template(where, source)
            if template is not None:
                own.append((name, template))
        return own


def _sender_id(domain: str) -> str:
    """Five to fifteen characters, the same for a domain for good: what Gmail takes as a SenderId."""
    if 5 <= len(domain) <= 15:
        return domain
    return blake2b(domain.encode("ascii"), digest_size=5).hexdigest()


def _unstructured(name: str, template: Template, batch: Batch) -> list[bytes]:
    return header.unstructured_all(name, lines(template, batch))
