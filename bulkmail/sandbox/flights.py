"""What a client said, in the words of the stages and of the ledger."""

from __future__ import annotations

from bulkmail.sandbox.answers import Event
from bulkmail.smtp import Refused

_STAGES = {  # of events that are not called like their stage
    "AuthResponse": "AUTH",
    "AuthAbort": "AUTH",
    "Message": "END_OF_DATA",
    "Chunk": "BDAT",
    "EndOfData": "END_OF_DATA",
}


def stage_of_event(event: Event, *, in_content: bool) -> str:
    """The stage at which it is answered; "" for what is no command."""
    if isinstance(event, Refused):
        if event.command is None:
            return "END_OF_DATA" if in_content else ""
        name = type(event.command).__name__
    else:
        name = type(event).__name__
    return _STAGES.get(name) or name.upper()


def as_command(stage: str, event: Event) -> str:
    """ "MAIL a@b.test", as `Session.commands` has it."""
    command = event.command if isinstance(event, Refused) else event
    for attribute in ("forward_path", "reverse_path", "name", "mechanism", "size"):
        if hasattr(command, attribute):
            detail = getattr(command, attribute)
            return f"{stage} {'<>' if detail is None else detail}"
    return stage or "?"
