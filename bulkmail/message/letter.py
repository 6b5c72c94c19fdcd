"""A message as it is handed to delivery, and the recipient it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from bulkmail.smtp.address import Mailbox


class Letter(NamedTuple):
    """One message and where its bounces go, canonical CRLF lines, signed, not dot-stuffed.

    It stays in its `pieces` until it goes on the wire: what is the same for all is one object, so that a
    letter that waits takes no more than what is personal in it. `smtputf8`: an address in its header needs
    it (RFC 6531).
    """

    reverse_path: Mailbox | None
    pieces: tuple[bytes, ...]
    smtputf8: bool

    @property
    def content(self) -> bytes:
        """The whole, put together anew."""
        return b"".join(self.pieces)


class Addressed(Protocol):
    """A recipient of the plan."""

    @property
    def id(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, str]: ...


ByColumn = Callable[[Sequence[Addressed]], Mapping[str, Sequence[str]] | None]


class Person(NamedTuple):
    address: str
    fields: Mapping[str, str]
    id: int
