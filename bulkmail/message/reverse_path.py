"""Where bounces go: one address for all, or one for each recipient, with the token in it (VERP)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

from bulkmail.errors import Problem
from bulkmail.message.draft import Draft
from bulkmail.message.template import TemplateProblem
from bulkmail.message.unsubscribe import TOKEN
from bulkmail.smtp.address import AddressError, Mailbox


class ReversePath:
    """A draft's. A token is letters and digits, and all are as long: so one address proves all the others."""

    def __init__(self, draft: Draft, token: str) -> None:
        """`token`: any that has the form of all. Raise TemplateProblem."""
        text = draft.reverse_path
        place = TOKEN.search(text)
        if place is not None:
            text = f"{text[: place.start()]}{token}{text[place.end() :]}"
        try:
            self._example = Mailbox.parse(text) if text else None
        except AddressError as error:
            raise TemplateProblem(Problem(draft.file, 0, 0, "delivery.reverse_path", str(error))) from error
        self._around: list[list[bytes]] = []
        if place is not None and self._example is not None:
            parts = self._example.local, self._example.domain
            self._around = [part.split(token.encode("ascii")) for part in parts]

    def paths(self, tokens: Sequence[str]) -> Iterable[Mailbox | None]:
        """One each."""
        if not self._around:
            return repeat(self._example)
        local, domain = self._around
        octets = [token.encode("ascii") for token in tokens]
        return [Mailbox.trusted(token.join(local), token.join(domain)) for token in octets]
