"""A provider: several hosts, and what is said at each of them, under one policy for all their clients.

world.provider("big.test", hosts=["mx1.big.test", "mx2.big.test"], domains=["a.test", "b.test"])
     .message_rate("20/s", burst=40).connections(5).greylisting(300)
     .after(60, lambda provider: provider.message_rate("10/s"))

Every method may also be called while the sandbox runs. A client is an address that connects. Nothing here
waits or looks at a clock: each question comes with its `now`, in seconds on trio's clock, real or virtual.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from bulkmail.sandbox.account import Account, Kind
from bulkmail.sandbox.behaviour import Manner, Said, line
from bulkmail.sandbox.policy import (
    BLOCKED_BY_NAME,
    GREYLISTED,
    TOO_FAST_CONNECTIONS,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_MESSAGES,
    TOO_MANY_RECIPIENTS,
    Bucket,
    Greylist,
    Greylisted,
    Policy,
    Rate,
    Reputation,
    Standing,
    filled,
)
from bulkmail.sandbox.speaker import Speaker

if TYPE_CHECKING:
    from bulkmail.sandbox.names import Host

_TOGETHER = "all clients"


class Admission:
    """One connection that was let in. `is_open`: whether the client still holds its end."""

    __slots__ = ("among", "client", "is_open")

    def __init__(self, client: str, is_open: Callable[[], bool], among: set[Admission]) -> None:
        self.client, self.is_open, self.among = client, is_open, among

    def end(self) -> None:
        """The connection is over. Twice does no harm."""
        self.among.discard(self)


class Provider(Speaker):
    """The hosts, the policy, the account, and what the clients have used up."""

    def __init__(self, name: str, *, exact: bool = True) -> None:
        """`exact`: the account keeps moments, not only counts."""
        self.name = name
        self.policy = Policy()
        self.account = Account(exact=exact)
        self.hosts: list[Host] = []
        self._told: list[Callable[[Manner], None]] = []
        self._changes: list[tuple[float, Callable[[Provider], object]]] = []  # the next one last
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._standings: dict[str, Standing] = {}
        self._greylisted = Greylisted()
        self._present: defaultdict[str, set[Admission]] = defaultdict(set)

    def __repr__(self) -> str:
        return f"Provider({self.name!r})"

    @property
    def provider(self) -> Self:
        """Itself. What is said of a provider may stand at a domain or a host: its provider is meant then."""
        return self

    # --- building, at any time --------------------------------------------------------------------------

    def tell(self, change: Callable[[Manner], None]) -> Self:
        self._told.append(change)
        for host in self.hosts:
            change(host.manner)
        return self

    def add(self, host: Host) -> None:
        """One more host of it; what was said of the provider is said of this one, too."""
        if host.manner.provider is not self:
            host.manner.provider = self
            self.hosts.append(host)
            for change in self._told:
                change(host.manner)

    def allow(self, **fields: Any) -> Self:
        """Set fields of `Policy`; TypeError for one that does not exist."""
        self.policy = replace(self.policy, **fields)
        return self

    def message_rate(
        self, rate: Rate | str | float | None, *, burst: float | None = None, reply: bytes | None = None
    ) -> Self:
        """So many MAILs, "20/s" or "1200/min"; then they are refused. A 421 closes the connection."""
        return self.allow(message_rate=None if rate is None else Rate.of(rate, burst, reply))

    def recipient_rate(
        self, rate: Rate | str | float | None, *, burst: float | None = None, reply: bytes | None = None
    ) -> Self:
        return self.allow(recipient_rate=None if rate is None else Rate.of(rate, burst, reply))

    def connection_rate(
        self, rate: Rate | str | float | None, *, burst: float | None = None, reply: bytes | None = None
    ) -> Self:
        """So many new connections; others are greeted with 421."""
        return self.allow(connection_rate=None if rate is None else Rate.of(rate, burst, reply))

    def connections(self, most: int | None, reply: bytes = TOO_MANY_CONNECTIONS) -> Self:
        """So many at once from one client to all hosts together; others are greeted with 421."""
        return self.allow(connections=most, connections_reply=reply)

    def greylisting(self, wait_s: float | None = 300.0, *, reply: bytes = GREYLISTED, **fields: Any) -> Self:
        """For others than `wait_s` and `reply` see Greylist; None: no longer."""
        return self.allow(greylist=None if wait_s is None else Greylist(wait_s, reply, **fields))

    def reputation(self, **fields: Any) -> Self:
        """See Reputation."""
        return self.allow(reputation=Reputation(**fields))

    def block(self, client: str, reply: bytes = BLOCKED_BY_NAME) -> Self:
        """MAIL from this address is refused."""
        return self.allow(blocks={**self.policy.blocks, client: reply})

    def unblock(self, client: str) -> Self:
        return self.allow(blocks={k: v for k, v in self.policy.blocks.items() if k != client})

    def after(self, seconds: float, change: Callable[[Provider], object]) -> Self:
        """`change` is said so long after the first connection, when next somebody wants something."""
        self._changes = sorted([*self._changes, (seconds, change)], key=lambda pair: -pair[0])
        return self

    # --- what is asked of it ----------------------------------------------------------------------------

    def admit(self, client: str, is_open: Callable[[], bool], now: float) -> Admission | Said:
        """A new connection: let in until it ends, or the greeting that refuses it."""
        self._advance(now)
        policy = self.policy
        self.account.note("commands", client, now)
        here = self._present[self._whom(client)]
        if policy.connections is not None and len(here) >= policy.connections:
            # We may not have read yet that a client has closed one before it opened this.
            here -= {one for one in here if not one.is_open()}
            if len(here) >= policy.connections:
                return self._refuse("throttled", policy.connections_reply, client, now)
        wait_s = self._used_up("connections", policy.connection_rate, client, now)
        if wait_s and policy.connection_rate is not None:
            words = policy.connection_rate.reply or TOO_FAST_CONNECTIONS
            return self._refuse("throttled", words, client, now, wait_s)
        admission = Admission(client, is_open, here)
        here.add(admission)
        self.account.note("connections", client, now)
        self._count(client, here)
        return admission

    def heard(self, client: str, now: float) -> None:
        """Some command."""
        self.account.note("commands", client, now)

    def mail(self, client: str, now: float) -> Said | None:
        """A MAIL; None: let in."""
        self._advance(now)
        policy = self.policy
        by_name = policy.blocks.get(client)
        if by_name is not None:
            return self._refuse("blocked", by_name, client, now)
        rate, words = policy.message_rate, TOO_MANY_MESSAGES
        if policy.reputation is not None:
            share = self.bad_share(client, now)
            if share > policy.reputation.block:
                self._note(client, now, bad=True)
                return self._refuse("blocked", policy.reputation.block_reply, client, now)
            if share > policy.reputation.throttle:
                rate, words = policy.reputation.rate, policy.reputation.throttle_reply
        if rate is not None and (wait_s := self._used_up("messages", rate, client, now)):
            return self._refuse("throttled", rate.reply or words, client, now, wait_s)
        self.account.note("messages", client, now)
        return None

    def rcpt(self, client: str, sender: str, recipient: str, now: float) -> Said | None:
        """A RCPT for somebody who exists; None: let in."""
        policy = self.policy
        if policy.greylist is not None:
            wait_s = self._greylisted.wait(policy.greylist, client, sender, recipient, now)
            if wait_s:
                return self._refuse("greylisted", policy.greylist.reply, client, now, wait_s)
        rate = policy.recipient_rate
        if rate is not None and (wait_s := self._used_up("recipients", rate, client, now)):
            return self._refuse("throttled", rate.reply or TOO_MANY_RECIPIENTS, client, now, wait_s)
        self.account.note("recipients", client, now)
        self._note(client, now, bad=False)
        return None

    def unknown(self, client: str, now: float) -> None:
        """A RCPT for nobody."""
        self.account.note("unknown", client, now)
        self._note(client, now, bad=True)

    def accepted(self, client: str, now: float) -> None:
        """A message was taken."""
        self.account.note("accepted", client, now)

    def bad_share(self, client: str, now: float) -> float:
        """Of what a client has asked for lately, as its reputation counts it; 0 where nobody counts."""
        standing = self._standings.get(client)
        reputation = self.policy.reputation
        return standing.share(reputation, now) if standing is not None and reputation is not None else 0.0

    # --- within -----------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        since = self.account.since_start(now)
        while self._changes and self._changes[-1][0] <= since:
            self._changes.pop()[1](self)

    def _whom(self, client: str) -> str:
        return _TOGETHER if self.policy.together else client

    def _used_up(self, what: str, rate: Rate | None, client: str, now: float) -> float:
        """0: one was taken, or there is no limit. Else the seconds until there is one again."""
        if rate is None:
            return 0.0
        key = what, self._whom(client)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket()
        return bucket.take(rate, now)

    def _refuse(self, kind: Kind, reply: bytes, client: str, now: float, wait_s: float = 0.0) -> Said:
        self.account.note(kind, client, now)
        return Said(raw=line(filled(reply, client, wait_s)))

    def _note(self, client: str, now: float, *, bad: bool) -> None:
        reputation = self.policy.reputation
        if reputation is not None:
            standing = self._standings.get(client)
            if standing is None:
                standing = self._standings[client] = Standing(now)
            standing.note(reputation, now, bad=bad)

    def _count(self, client: str, here: set[Admission]) -> None:
        """The peaks are the client's: only connections whose other end is still held count."""
        everybody = [one for present in self._present.values() for one in present]
        account = self.account
        if len(here) > account.peak.get(client, 0) or len(everybody) > account.peak_together:
            mine = sum(one.client == client and one.is_open() for one in here)
            account.entered(client, mine, sum(one.is_open() for one in everybody))
