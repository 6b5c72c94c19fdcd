"""Around what is waited for and may be given up with all else that waits in one place."""

from __future__ import annotations

from types import TracebackType

import trio


class Wait:
    """A cancel scope among others. No generator: every small domain comes through here."""

    __slots__ = ("_scope", "_waits")

    def __init__(self, waits: set[trio.CancelScope], *, stopping: bool) -> None:
        self._waits, self._scope = waits, trio.CancelScope()
        if stopping:
            self._scope.cancel()

    def __enter__(self) -> trio.CancelScope:
        self._waits.add(self._scope)
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._waits.discard(self._scope)
        return self._scope.__exit__(kind, error, trace)
