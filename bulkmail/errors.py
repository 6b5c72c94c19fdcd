"""Everything that bulkmail raises on purpose.

An SMTP reply is a value and never an exception; an exception here means that a conversation ended, that a
file cannot be used, or that the disk refused. Whatever else escapes is a bug.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass


class BulkmailError(Exception):
    """The root of the taxonomy."""


# --- a conversation ended -----------------------------------------------------------------------------


class ConversationEnded(BulkmailError):
    """This connection cannot be used any more."""


class LocalProtocolError(ConversationEnded):
    """We were about to break the protocol: our bug."""


class RemoteProtocolError(ConversationEnded):
    """The peer broke the protocol: nothing it says can be matched to what we asked."""


class ConnectionLost(ConversationEnded):
    """The peer, or the network between us, closed the connection."""


class ReplyTimeout(ConversationEnded):
    """The oldest unanswered command was not answered within its time limit (RFC 5321 section 4.5.3.2)."""


class TlsRefused(ConversationEnded):
    """TLS was wanted and could not be had: not offered, refused, handshake failed or not verified.

    `lasting`: the host spoke, and it was no TLS that we understand; so it will be until somebody mends it.
    """

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        self.lasting = lasting
        super().__init__(text)


class LocalResourceError(BulkmailError):
    """This machine ran out of descriptors, ports, buffers or memory; the peer is not to blame."""


class SourceLost(BulkmailError):
    """An egress address is not this machine's, or not any more: nobody outside is to blame."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(f"this machine has no address {address}")


class CredentialsRefused(BulkmailError):
    """The relay does not accept our user and password (535); nothing was sent, and waiting would not help."""


class WorkersDied(BulkmailError):
    """No worker process is left: each was killed, or met a bug; running again goes on with who remains."""


# --- a file cannot be used ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file, and where. `line` and `column` count from 1; 0 is unknown."""

    file: str
    line: int
    column: int
    where: str  # the key's path (`delivery.tls`), or "" for the whole file
    text: str  # what is wrong and what to do

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return f"{place}: {self.where}: {self.text}" if self.where else f"{place}: {self.text}"


class ConfigError(BulkmailError):
    """A campaign, its list or its content cannot be used as it stands. Carries every problem found."""

    def __init__(self, problems: Problem | Sequence[Problem] | str) -> None:
        if isinstance(problems, str):
            self.problems: tuple[Problem, ...] = ()
            super().__init__(problems)
            return
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CampaignChanged(ConfigError):
    """A resume found another list, content or route than the plan froze (exit code 2)."""


# --- the operator's word ------------------------------------------------------------------------------


class CampaignPaused(BulkmailError):
    """Nobody is to be sent to until the operator says so (exit code 7). The message says who paused it."""

    def __init__(self, text: str, evidence: Sequence[str] = ()) -> None:
        self.evidence = tuple(evidence)
        super().__init__(text)


class CampaignCancelled(BulkmailError):
    """Nobody is ever to be sent to any more under this name (exit code 8)."""


# --- the disk refused ---------------------------------------------------------------------------------


class StoreError(BulkmailError):
    """The journal cannot be read or written; nothing more may be sent."""


class DiskRefused(StoreError):
    """The disk is full, or fails: once that is mended the same command goes on (exit code 5)."""


def refusal(error: OSError, text: str) -> StoreError:
    """What `error` means for a file of ours; `text` says which, and what was to be done with it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskRefused(f"{text}: the disk is full. Make room and run again.")
    if error.errno == errno.EIO:
        return DiskRefused(f"{text}: the disk fails ({error.strerror}). Mend that and run again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(
            f"{text}: {error.strerror}. Give this user the right to it, or name another `state`."
        )
    return StoreError(f"{text}: {error.strerror}")


class CampaignLocked(StoreError):
    """Another run holds this campaign (exit code 6). The message names it."""
