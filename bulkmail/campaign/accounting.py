"""The accounting log: one JSON line per recipient and attempt, written once the journal has it.

The journal is the truth; this is its retelling for other programs, so a line is written after the commit and
a crash in between costs lines, never mail. Reply text is escaped before it gets here (FAULTS.md G6).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bulkmail.delivery.work import Recipient, Verdict
from bulkmail.errors import StoreError

STATE_OF_EXPIRED = "expired"


class AccountingLog:
    """Appends to `path`, mode 0600; a campaign that is resumed goes on in the same file.

    Raises StoreError when the file cannot be opened or written.
    """

    def __init__(self, path: Path, campaign: str) -> None:
        self._campaign = campaign
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the accounting log {path} cannot be opened: {error.strerror}") from error
        self._file = open(descriptor, "ab", buffering=1 << 16)  # noqa: SIM115  # closed by close()

    def write(self, verdicts: Sequence[Verdict], recipients: Iterable[Recipient]) -> None:
        """The lines of those of `recipients` who were attempted."""
        people = {recipient.id: recipient for recipient in recipients}
        lines: list[str] = []
        for verdict in verdicts:
            if not verdict.attempted:
                continue
            disposition, where = verdict.disposition, verdict.where
            common = {
                "tls": where.tls,
                "stage": disposition.stage.value,
                "disposition": STATE_OF_EXPIRED if verdict.expired else disposition.fate.value,
                "scope": disposition.scope.value,
                "code": disposition.code,
                "enhanced": disposition.status or None,
                "reply": disposition.text,
                "next_attempt": _utc(verdict.due) if verdict.due is not None else None,
            }
            at = _utc(verdict.at)
            for number in range(verdict.first, verdict.last + 1):
                if (one := people.get(number)) is None:
                    continue
                line = {
                    "at": at,
                    "campaign": self._campaign,
                    "recipient": one.address,
                    "attempt": one.attempts + 1,
                    "mx": where.host,
                    "address": where.address,
                    "source": where.source,
                    **common,
                }
                lines.append(json.dumps(line, ensure_ascii=False))
        if lines:
            try:
                self._file.write("\n".join([*lines, ""]).encode())
                self._file.flush()
            except OSError as error:
                raise StoreError(
                    f"the accounting log {self._path} cannot be written: {error.strerror}"
                ) from error

    def close(self) -> None:
        self._file.close()


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
