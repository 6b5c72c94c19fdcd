"""The fluent vocabulary shared by hosts and domains: what is said at which stage, what is announced, limits.

A host changes its own manner. A domain speaks through its hosts: what is said of the domain is said of each
of them, also of those it names later. Every method returns its object, so that a world reads as a sentence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Self

from bulkmail.sandbox.behaviour import TLS_KINDS, Manner, Said, line, stage_of


class Speaker(ABC):
    """Everything that can be said of how mail exchangers speak."""

    __slots__ = ()

    @abstractmethod
    def tell(self, change: Callable[[Manner], None]) -> Self:
        """Apply `change` to the manner of the host, or of every host of the domain."""

    def say(self, stage: object, **changes: Any) -> Self:
        """Merge fields of `Said` into what happens at `stage`."""
        name = stage_of(stage)

        def change(manner: Manner) -> None:
            manner.said[name] = replace(manner.said.get(name, Said()), **changes)

        return self.tell(change)

    def set(self, **fields: Any) -> Self:
        """Set fields of `Manner` directly; AttributeError for one that does not exist."""

        def change(manner: Manner) -> None:
            for name, value in fields.items():
                setattr(manner, name, value)

        return self.tell(change)

    # --- words ----------------------------------------------------------------------------------------

    def greeting(self, raw: bytes, *, times: int | None = None, close: bool = False) -> Self:
        """The greeting, verbatim: another code, `354`, HTTP or binary (G1, G3)."""
        return self.say("GREETING", raw=line(raw), times=times, close=close)

    def reply(
        self, stage: object, raw: bytes, *, times: int | None = None, after: int = 0, close: bool = False
    ) -> Self:
        """Other words at a stage, verbatim. Behind a malformed reply the host says nothing more."""
        return self.say(stage, raw=line(raw), times=times, after=after, close=close)

    def pretend(self, stage: object, raw: bytes, *, times: int | None = None, after: int = 0) -> Self:
        """Words that refuse, from a host that acts as if it had agreed (X3)."""
        return self.say(stage, raw=line(raw), times=times, after=after, acted=True)

    def silent(self, stage: object, *, times: int | None = None, after: int = 0) -> Self:
        """One reply too few: the command is acted on and not answered (G8)."""
        return self.say(stage, raw=b"", times=times, after=after)

    def extra(
        self,
        stage: object,
        raw: bytes = b"250 2.0.0 one more\r\n",
        *,
        times: int | None = None,
        after: int = 0,
    ) -> Self:
        """One reply too many, behind the usual one (G8)."""
        return self.say(stage, extra=line(raw), times=times, after=after)

    def endless(self, stage: object, kind: str = "lines") -> Self:
        """A reply without end: "lines" (continuation lines) or "line" (one line that never ends) (G5)."""
        return self.say(stage, endless=kind)

    # --- time -----------------------------------------------------------------------------------------

    def slow(self, seconds_per_byte: float = 10.0) -> Self:
        """One octet every so many seconds (T4)."""
        return self.set(seconds_per_byte=seconds_per_byte)

    def tarpit(self, seconds: float = 60.0) -> Self:
        """Every reply late by so many seconds."""
        for stage in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END_OF_DATA"):
            self.say(stage, delay_s=seconds)
        return self

    def delay(self, stage: object, seconds: float) -> Self:
        return self.say(stage, delay_s=seconds)

    def stall(self, stage: object, *, times: int | None = None, after: int = 0) -> Self:
        """Never answered from here on, the connection stays open (T3 at GREETING)."""
        return self.say(stage, stall=True, times=times, after=after)

    def stop_reading(self, stage: object = "DATA") -> Self:
        """The usual reply, then nothing is read any more: the window closes (T5)."""
        return self.say(stage, deaf=True)

    # --- ends -----------------------------------------------------------------------------------------

    def drop(
        self,
        stage: object,
        *,
        reply: bytes | None = None,
        times: int | None = None,
        after: int = 0,
        accepted: bool = False,
        reset: bool = False,
    ) -> Self:
        """The connection is closed where the reply of `stage` was due, or after `reply`.

        `accepted`: at END_OF_DATA, the message was taken all the same (X8).
        """
        raw = None if reply is None else line(reply)
        return self.say(
            stage,
            raw=raw or b"",
            close=True,
            times=times,
            after=after,
            accepted=accepted,
            reset=reset,
        )

    def refuse_connections(self) -> Self:
        """Nobody listens (T1)."""
        return self.set(listening="refuse")

    def black_hole(self) -> Self:
        """SYNs are not answered, on IPv4."""
        return self.set(listening="black hole")

    def ipv6(self, kind: str = "accept") -> Self:
        """An AAAA record as well: ::1 that accepts, refuses, or is a black hole (T2)."""
        return self.set(ipv6=kind)

    # --- announcements and limits -----------------------------------------------------------------------

    def extensions(self, *, without: Collection[str] = (), with_: Sequence[str] = ()) -> Self:
        """EHLO keywords left out, and added or replaced ("SIZE 1000", "LIMITS RCPTMAX=50")."""
        left_out = {keyword.upper() for keyword in without}

        def change(manner: Manner) -> None:
            manner.without |= left_out
            manner.with_ += with_

        return self.tell(change)

    def tls(self, kind: str) -> Self:
        """One of `behaviour.TLS_KINDS` (S1 none, refused; S2 extra; S4 broken; S5 untrusted, wrong-name…)."""
        if kind not in TLS_KINDS:
            raise ValueError(f"tls is one of {', '.join(TLS_KINDS)}, not {kind!r}")
        return self.set(tls=kind)

    def rcpt_limit(self, n: int, reply: bytes = b"452 4.5.3 Too many recipients") -> Self:
        return self.set(rcpt_limit=n, rcpt_limit_reply=line(reply))

    def close_after(
        self, messages: int, reply: bytes = b"421 4.7.0 Too many messages on this connection"
    ) -> Self:
        """The MAIL after so many messages on one connection is answered with `reply`; a 421 closes (X10)."""
        return self.set(close_after=messages, close_after_reply=line(reply))

    def quota(
        self,
        messages: int,
        reply: bytes = b"450 4.2.1 Quota exceeded, try again in 2 seconds",
        *,
        refusals: int | None = None,
    ) -> Self:
        """So many messages in all; then MAIL is refused, for good or `refusals` times."""
        return self.set(quota=messages, quota_reply=line(reply), quota_refusals=refusals)

    def leave_idle(self, seconds: float, reply: bytes = b"421 4.4.2 Idle for too long") -> Self:
        """A connection without a transaction is closed after so long, with `reply` if there is one (G9)."""
        return self.set(idle_s=seconds, idle_reply=line(reply))

    def max_connections(
        self, n: int, reply: bytes = b"421 4.7.0 Too many connections from your address"
    ) -> Self:
        return self.set(max_connections=n, max_connections_reply=line(reply))

    def users(self, users: dict[str, str], *, without_tls: bool = False) -> Self:
        """Who may log in (AUTH); MAIL needs it. Offered only over TLS unless `without_tls`."""
        return self.set(users=dict(users), auth_without_tls=without_tls)

    def withhold(self, n: int) -> Self:
        """RCPT replies wait for n RCPTs or another command: only a pipelining client gets on."""
        return self.set(withhold=n)
