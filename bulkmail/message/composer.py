"""A draft compiled once into a function from a row to the octets of its message, signed.

The composer knows before the first connection what can go wrong with a row (`check`), and which fields of
the row matter at all (`fields`): rows that agree in them get the same octets and may share a transaction.
What is the same for everybody is encoded and canonicalised once; `letter` joins it with what is not. The same
draft, date, row and hour give the same octets on any day, so that a resumed campaign sends what it would have
sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from typing import TYPE_CHECKING

from bulkmail.errors import Problem
from bulkmail.message import header
from bulkmail.message.batch import Batch
from bulkmail.message.draft import Draft
from bulkmail.message.edition import Edition, digest_of
from bulkmail.message.fields import HeaderFields
from bulkmail.message.letter import Addressed, ByColumn, Letter, Person
from bulkmail.message.parts import Parts
from bulkmail.message.reverse_path import ReversePath
from bulkmail.message.template import Environments, Reason, Template, TemplateProblem, Unrenderable
from bulkmail.message.token import INERT, Tokens
from bulkmail.message.unsubscribe import ONE_CLICK, with_foot
from bulkmail.message.values import EMAIL, Values
from bulkmail.smtp.address import AddressError

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey

ANYBODY = "someone@example.com"  # stands for the recipient while a row is checked
HOUR_S = 3600
# of the body; where one is absent a signature says that it is (RFC 6376 section 5.4)
BODY_FIELDS = ("Content-Type", "Content-Transfer-Encoding")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Composer:
    """`fields`: the row fields that any template reads, `email` among them.

    `personal`: messages differ. `unique`: why no two of them can be the same; empty where those with equal
    `fields` are. `keys` sign; with any, a letter takes a private key's time. Threads may share a composer.
    """

    fields: frozenset[str]
    personal: bool
    one_shape: bool  # a letter costs only its values; otherwise some may cost a conversion, some 20 ms
    unique: tuple[str, ...]
    keys: tuple[SigningKey, ...]
    digest: str  # of everything that makes the content but the date

    def __init__(
        self,
        draft: Draft,
        *,
        date: datetime,
        tokens: Tokens | None = None,
        keys: Sequence[SigningKey] = (),
        salt: str = "",
    ) -> None:
        """`date`: of the plan, with its zone. `salt` makes other Message-IDs. Raise TemplateProblem."""
        if date.tzinfo is None:
            raise ValueError("the date of a message needs a time zone")
        self._date, self.keys = date, tuple(keys)
        self._epoch = date.timestamp()
        self._values = Values(draft, date=date, tokens=tokens)
        environments = Environments(draft.on_missing)
        self._lenient = environments.lenient
        self._header, self._parts = self._compile(draft, environments)
        templates = [*self._header.templates, *self._parts.templates]
        self.one_shape = self._parts.one_shape
        self._values.settle(draft, _read_by(templates))
        self.unique = tuple(self._values.reasons(draft, templates, self._header.own_address))
        own = {EMAIL} & _read_by(templates) | ({EMAIL} if self._header.own_address else set())
        self.fields = frozenset(self._values.columns) | own
        self.personal = bool(self.fields or self.unique)
        in_header = [*self._header.templates, *self._parts.attachments.templates]
        self._in_header = _read_by(in_header)
        names_vary = bool(self._parts.attachments.templates)  # and not every text is the name of a file
        self._slow_header = names_vary or any(not template.plain for template in in_header)
        required = frozenset[str]().union(self._parts.required, *(one.required for one in in_header))
        self._required = required & set(self._values.columns)
        self.digest = digest_of(draft, draft.sources(), self._parts.images)
        key = hashlib.blake2b(f"{self.digest}{salt}".encode(), digest_size=32).digest()
        self._id = hashlib.blake2b(key=key, digest_size=15)  # of nothing yet, for Message-IDs
        self._reverse_path = ReversePath(draft, self._values.inert)
        self._edition: tuple[int, Edition | None, Letter | None] = (-1, None, None)
        if not self.personal:
            try:
                self.letter(ANYBODY, {})
            except Unrenderable as error:  # for everybody, then
                raise TemplateProblem(Problem(draft.file, 0, 0, "", error.reason)) from error

    def _compile(self, draft: Draft, environments: Environments) -> tuple[HeaderFields, Parts]:
        problems: list[Problem] = []
        made: list[HeaderFields | Parts] = []
        static = self._values.static

        def parts() -> Parts:
            content = with_foot(draft.sources(), draft, environments)
            seed = digest_of(draft, content)[:24]
            domain = draft.from_.rpartition("@")[2].rstrip("> ")
            domain = domain if domain.isascii() else "bulkmail.invalid"
            return Parts(
                draft,
                content,
                environments,
                static,
                unique=self._values.unique,
                seed=seed,
                domain=domain,
                signed=bool(self.keys),
            )

        for make in (lambda: HeaderFields(draft, environments, static), parts):
            try:
                made.append(make())
            except TemplateProblem as problem:
                problems += problem.problems
        problems += self._values.problems
        if problems:
            raise TemplateProblem(problems)
        fields, body = made
        assert isinstance(fields, HeaderFields)
        assert isinstance(body, Parts)
        return fields, body

    # --- before the first connection ---------------------------------------------------------------

    def check(self, fields: Mapping[str, str]) -> Reason | None:
        """Why this row has no message, or None.

        Where `missing` is set, `on_missing` decides about the row (I8); otherwise it can never be sent (I1).
        """
        if hidden := self._values.hidden & fields.keys():
            name = min(hidden)
            text = f"'{name}' is bulkmail's own, or in content.data, and a column"
            return Reason(f"{text}: give the column another name in recipients.columns", missing=True)
        for name in self._values.columns:
            value = fields.get(name, "")
            if not value.isprintable():
                if name in self._in_header and header.FORBIDDEN.search(value):
                    return Reason(f"{name}: a line break or NUL, and a header uses it", missing=False)
                if _SURROGATE.search(value):
                    return Reason(f"{name}: not valid Unicode (half a surrogate pair)", missing=False)
        sure = self._parts.total and not self._slow_header
        if sure and (self._lenient or self._required <= fields.keys()):
            return None
        values = self._values.of_row(fields, fields.get(EMAIL) or ANYBODY, self._values.inert)
        try:
            batch = Batch.of_one(values, ANYBODY.encode("ascii"))
            self._header.varying(batch)
            self._parts.render(batch)
        except Unrenderable as error:
            return error.reason
        return None

    def passes(self, columns: Mapping[str, Sequence[str]]) -> bool:
        """Whether `check` has nothing against any row of these columns. False: ask it for each.

        All rows have all columns. Templates that only print what any text may be print it for any text; so
        it is enough to look for characters that are special to a header or to nobody.
        """
        if self._values.hidden & columns.keys() or not self._parts.total or self._slow_header:
            return False
        used = [columns[name] for name in self._values.columns if name in columns]
        return (self._lenient or self._required <= columns.keys()) and all(
            "".join(cells).isprintable() for cells in used
        )

    # --- one message -------------------------------------------------------------------------------

    def letter(
        self, address: str, fields: Mapping[str, str], *, id: int = INERT, now: float | None = None
    ) -> Letter:
        """The message for one recipient; see `letters`. Raise Unrenderable, AddressError."""
        (letter,) = self.letters([Person(address, fields, id)], now=now)
        if isinstance(letter, Exception):
            raise letter
        return letter

    def letters(
        self, people: Sequence[Addressed], *, now: float | None = None, columns: ByColumn | None = None
    ) -> list[Letter | Unrenderable | AddressError]:
        """The messages for `people`, who have their `id` in the plan, at `now` (UTC epoch; None: the plan's).

        `columns` gives the fields of all of them by name, or None, in less time than it takes to ask each.
        All 7-bit but for an address that is not. The same object for all where nothing is personal, for an
        hour. Unrenderable where `check` gives a reason, AddressError for an address that is none.
        """
        hour = 0 if now is None else max(0, int((now - self._epoch) // HOUR_S))
        if not people:
            return []
        known, edition, shared = self._edition
        if known != hour or edition is None:
            edition, shared = self._new_edition(hour), None
        if shared is None:
            if not self.personal:
                (shared,) = self._written(edition, [Person(ANYBODY, {}, INERT)])
                shared = shared._replace(pieces=(shared.content,))  # put together once for all
            self._edition = (hour, edition, shared)
        if shared is not None:
            return [shared] * len(people)
        try:
            return [*self._written(edition, people, columns)]
        except (Unrenderable, AddressError, UnicodeEncodeError):  # at least one of them has no message
            return [self._alone(edition, one) for one in people]

    def _alone(self, edition: Edition, person: Addressed) -> Letter | Unrenderable | AddressError:
        try:
            (letter,) = self._written(edition, [person])
        except UnicodeEncodeError:
            return Unrenderable(Reason("not valid Unicode (half a surrogate pair)", missing=False))
        except (Unrenderable, AddressError) as problem:
            return problem
        return letter

    def render(self, address: str, fields: Mapping[str, str]) -> bytes:
        """`letter(…).content`, with the inert token."""
        return self.letter(address, fields).content

    def _new_edition(self, hour: int) -> Edition:
        date = self._date + timedelta(hours=hour)
        constant, names = self._header.constant(date), [*self._header.constant_names]
        varying = [*self._header.varying_names]
        if (unsubscription := self._values.unsubscription) is not None:
            if unsubscription.personal:
                constant.append(ONE_CLICK)
                names.append("List-Unsubscribe-Post")
                varying.append("List-Unsubscribe")
            else:
                constant.append(unsubscription.field(""))
                names.append("List-Unsubscribe")
        names += [*varying, "Message-ID", *BODY_FIELDS]
        return Edition(constant, names, self.keys, timestamp=int(date.timestamp()))

    def _written(
        self, edition: Edition, people: Sequence[Addressed], columns: ByColumn | None = None
    ) -> list[Letter]:
        """Step by step for all of them, by columns.

        Code and data of one step stay in the processor's caches, and signing evicts them only once.
        """
        batch = self._values.batch(people, columns)
        varying = self._header.varying(batch)
        needs: Iterable[bool] = repeat(self._header.smtputf8)
        if not all(b"".join(column).isascii() for column in varying[: self._header.addresses]):
            fields = zip(*varying[: self._header.addresses], strict=True)
            needs = [self._header.smtputf8 or not b"".join(each).isascii() for each in fields]
        ids = self._message_ids(batch, people)
        ours, relaxed = [
            [*self._unsubscriptions(batch, relaxed=form), self._header.message_ids(ids, relaxed=form)]
            if self.keys or not form
            else []
            for form in (False, True)
        ]
        messages = edition.messages(varying, ours, relaxed, self._parts.render(batch))
        return [*map(Letter, self._reverse_path.paths(batch.tokens), messages, needs)]

    def _unsubscriptions(self, batch: Batch, *, relaxed: bool) -> list[list[bytes]]:
        """A column, where everybody has his own List-Unsubscribe."""
        unsubscription = self._values.unsubscription
        if unsubscription is None or not unsubscription.personal:
            return []
        return [unsubscription.fields(batch.tokens, relaxed=relaxed)]

    def _message_ids(self, batch: Batch, people: Sequence[Addressed]) -> list[str]:
        """The same across retries and resumes, and another for each message, as a token is."""
        said = [token.encode("ascii") for token in batch.tokens]
        if not all(said):
            whose = zip((one.id for one in people), batch.wires, strict=True) if self.unique else repeat(())
            cells = batch.cells(self._values.columns)
            said = [repr(one).encode("utf-8") for one in zip(whose, cells, strict=False)]
        digests = [self._id.copy() for _ in said]
        for digest, octets in zip(digests, said, strict=True):
            digest.update(octets)
        return [digest.hexdigest() for digest in digests]


def _read_by(templates: Sequence[Template]) -> frozenset[str]:
    return frozenset[str]().union(*(template.names for template in templates))
