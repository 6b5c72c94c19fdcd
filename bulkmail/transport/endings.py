"""How conversations end, said with the exceptions of `errors`."""

from __future__ import annotations

import trio

from bulkmail.errors import ConnectionLost


def cancelled_alone(group: BaseExceptionGroup) -> trio.Cancelled | None:
    """Any one of several cancellations, for they all say the same; None where there was something else."""
    cancelled, others = group.split(trio.Cancelled)
    if others is not None:
        return None
    error: BaseException | None = cancelled
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, trio.Cancelled)
    return error


def lost(error: Exception) -> ConnectionLost:
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause or "closed")
    return ConnectionLost(f"the connection was lost: {reason[:1].lower()}{reason[1:]}")
