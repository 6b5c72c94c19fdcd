"""What arrived, kept as much as was asked for.

`keep` decides the memory: "memory" keeps every message and every command (tests); "maildir" and "ledger"
write messages, or one JSON line per transaction, below a directory before the 250 is written; "counts" keeps
one counter of copies per recipient and nothing else that grows. Peaks and totals are always known.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from bulkmail.sandbox.account import Account

Keep = Literal["memory", "maildir", "ledger", "counts"]
KEEPS: tuple[Keep, ...] = ("memory", "maildir", "ledger", "counts")


@dataclass(frozen=True, slots=True)
class Received:
    """One accepted transaction."""

    domain: str  # of its first recipient
    host: str
    helo: str
    tls: bool
    reverse_path: str  # "" is the null reverse-path
    recipients: tuple[str, ...]
    content: bytes  # as sent, dot-stuffing removed
    session: int
    user: str = ""  # who had logged in


@dataclass(slots=True)
class Session:
    """One connection. A flight is what was read before the first reply to any of it was sent (RFC 2920)."""

    id: int
    host: str
    client: str = ""  # the address that connected
    helo: str = ""
    tls: bool = False
    sni: str | None = None
    user: str = ""
    flights: list[list[str]] = field(default_factory=list)
    ended: bool = False

    @property
    def commands(self) -> list[str]:
        """ "EHLO out.test", "MAIL a@b.test", "RCPT …", "DATA", "END_OF_DATA", … in order."""
        return [command for flight in self.flights for command in flight]

    def flight_sizes(self, verb: str) -> list[int]:
        """How many commands of this verb stood in each flight that has any."""
        sizes = (sum(c.split(" ", 1)[0] == verb for c in flight) for flight in self.flights)
        return [size for size in sizes if size]


class Ledger:
    """Counts and keeps. One per world; `open` before the first session, `close` after the last."""

    def __init__(self, keep: Keep = "memory") -> None:
        if keep not in KEEPS:
            raise ValueError(f"keep is one of {', '.join(KEEPS)}, not {keep!r}")
        self.keep: Keep = keep
        self.copies: Counter[str] = Counter()  # accepted copies per recipient
        self.messages: list[Received] = []
        self.sessions: list[Session] = []
        self.queries: Counter[tuple[str, str]] = Counter()  # (name, type) asked of the DNS server
        self.queried = 0
        self.connections = 0
        self.transactions = 0
        self.recipients = 0
        self.octets = 0
        self.peak_by_host: dict[str, int] = {}
        self.peak_by_site: dict[str, int] = {}
        self.accounts: Callable[[], Mapping[str, Account]] = dict  # of the providers, by name
        self._open_by_host: dict[str, set[Presence]] = {}
        self._open_by_site: dict[str, set[Presence]] = {}
        self._file: IO[str] | None = None
        self._directory: Path | None = None
        self.most_files: int | None = None  # in keep="maildir": the first so many messages become files
        self._unique = f"{os.getpid()}.{socket.gethostname()}"

    # --- life -------------------------------------------------------------------------------------------

    def open(self, directory: Path | None) -> None:
        """Make ready what `keep` needs. ValueError where it needs a directory and there is none."""
        if self.keep in ("memory", "counts"):
            return
        if directory is None:
            raise ValueError(f"keep={self.keep!r} needs a directory")
        self._directory = directory
        if self.keep == "maildir":
            for part in ("tmp", "new", "cur"):
                (directory / "maildir" / part).mkdir(parents=True, exist_ok=True)
        else:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = (directory / "ledger.jsonl").open("a", encoding="utf-8")

    def close(self) -> None:
        """In keep="ledger" the last line is the summary: counts and peaks."""
        if self._file is not None:
            self._line({"event": "summary", **self.summary()})
            self._file.close()
            self._file = None

    def summary(self) -> dict[str, object]:
        accounts = {name: account.summary() for name, account in self.accounts().items()}
        return {
            "connections": self.connections,
            "transactions": self.transactions,
            "recipients": self.recipients,
            "octets": self.octets,
            "queries": self.queried,
            "peak_by_host": self.peak_by_host,
            "peak_by_site": self.peak_by_site,
            **({"providers": accounts} if accounts else {}),
        }

    # --- what happens -----------------------------------------------------------------------------------

    def connected(
        self, host: str, sites: Iterable[str], is_open: Callable[[], bool], client: str = ""
    ) -> tuple[Session, Presence]:
        """A connection was accepted. `is_open` tells whether the peer still holds its end."""
        self.connections += 1
        session = Session(self.connections, host, client)
        if self.keep == "memory":
            self.sessions.append(session)
        presence = Presence(host, tuple(sites), is_open)
        _enter(self._open_by_host, self.peak_by_host, host, presence)
        for site in presence.sites:
            _enter(self._open_by_site, self.peak_by_site, site, presence)
        return session, presence

    def left(self, session: Session, presence: Presence) -> None:
        """The connection is over, or its QUIT is about to be answered. Twice does no harm."""
        session.ended = True
        self._open_by_host[presence.host].discard(presence)
        for site in presence.sites:
            self._open_by_site[site].discard(presence)

    def open_at(self, host: str) -> int:
        """Connections to a host that are open now."""
        return sum(presence.is_open() for presence in self._open_by_host.get(host, ()))

    def accept(self, received: Received) -> None:
        """A message was taken; what is kept on disk has been handed to the kernel when this returns."""
        self.transactions += 1
        self.recipients += len(received.recipients)
        self.octets += len(received.content)
        self.copies.update(received.recipients)
        if self.keep == "memory":
            self.messages.append(received)
        elif self.keep == "ledger":
            self._line(
                {
                    "event": "accepted",
                    "at": time.time(),
                    "session": received.session,
                    "host": received.host,
                    "domain": received.domain,
                    "helo": received.helo,
                    "tls": received.tls,
                    "user": received.user,
                    "from": received.reverse_path,
                    "to": received.recipients,
                    "octets": len(received.content),
                    "sha256": hashlib.sha256(received.content).hexdigest(),
                }
            )
        elif self.keep == "maildir" and (self.most_files is None or self.transactions <= self.most_files):
            self._deliver(received)

    def _line(self, value: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(value, separators=(",", ":")) + "\n")
            self._file.flush()

    def _deliver(self, received: Received) -> None:
        """One file per transaction, the envelope in front as Return-Path and Delivered-To lines."""
        assert self._directory is not None
        maildir = self._directory / "maildir"
        name = f"{time.time_ns()}.{self.transactions}.{self._unique}"
        envelope = [f"Return-Path: <{received.reverse_path}>"]
        envelope += [f"Delivered-To: {recipient}" for recipient in received.recipients]
        with (maildir / "tmp" / name).open("wb") as file:
            file.write("".join(f"{header}\r\n" for header in envelope).encode() + received.content)
        (maildir / "tmp" / name).rename(maildir / "new" / name)

    # --- questions --------------------------------------------------------------------------------------

    def duplicates(self) -> dict[str, int]:
        """Recipients of whom more than one copy was accepted."""
        return {recipient: count for recipient, count in self.copies.items() if count > 1}

    def sessions_at(self, host: str) -> list[Session]:
        return [session for session in self.sessions if session.host == host]


class Presence:
    """One open connection, as the peaks count it."""

    __slots__ = ("host", "is_open", "sites")

    def __init__(self, host: str, sites: tuple[str, ...], is_open: Callable[[], bool]) -> None:
        self.host, self.sites, self.is_open = host, sites, is_open


def _enter(held: dict[str, set[Presence]], peaks: dict[str, int], key: str, presence: Presence) -> None:
    here = held.setdefault(key, set())
    here.add(presence)
    peak = peaks.get(key, 0)
    if len(here) > peak:
        # We may not yet have read the end of a connection that its client has closed before it opened this
        # one. A peak is the client's: only those whose other end is still held count.
        peaks[key] = max(peak, sum(other.is_open() for other in here))
