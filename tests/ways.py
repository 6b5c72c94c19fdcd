"""The ways in which a session's transactions go out, and how to have all of them go one way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from bulkmail.delivery import convey, session, site
from bulkmail.transport.connection import Connection

WAYS: Mapping[str, convey.Carry] = {
    "plain": convey.plain,
    "riding": convey.riding,
    "whole": convey.whole,
}


@contextmanager
def only(way: str, at_once: int) -> Iterator[None]:
    """Every transaction goes this way from the first on, and the window slides from the first on."""

    def chosen(one: session._Session, connection: Connection) -> tuple[convey.Carry, int]:
        left = max(1, one.line.left(connection))
        count = 1 if way == "plain" else min(at_once, left)
        return WAYS[way], count

    with (
        patch.object(session._Session, "_way", chosen),
        patch.object(site.Site, "grown", property(lambda _: True)),
    ):
        yield
