"""What a provider allows, as plain values, and the arithmetic of it: pure functions of a given `now`.

`Policy` is everything that one provider holds its clients to. It is frozen, so that a change while the
sandbox runs is a new one put in its place; what has been used up so far is not forgotten by that.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

HOUR = 3600.0
DAY = 24 * HOUR
PERIODS = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), HOUR),
    **dict.fromkeys(("d", "day"), DAY),
}
_ALMOST = 1e-9  # a token that a rounding error is missing from is a whole one

TOO_MANY_MESSAGES = b"451 4.7.1 Too many messages from {client}, try again later"
TOO_MANY_RECIPIENTS = b"452 4.7.1 Too many recipients lately, try again later"
TOO_MANY_CONNECTIONS = b"421 4.7.0 Too many connections from {client}"
TOO_FAST_CONNECTIONS = b"421 4.7.0 Connecting too fast, try again later"
GREYLISTED = b"451 4.7.1 Greylisted, try again in {seconds} seconds"
POOR_REPUTATION = b"451 4.7.1 Mail from {client} is deferred because of its poor reputation"
BLOCKED = b"550 5.7.1 Mail from {client} is blocked because of its poor reputation"
BLOCKED_BY_NAME = b"550 5.7.1 Service unavailable, {client} is blocked"


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` in each `per_s` seconds as a token bucket; `burst` (default: `count`) is how deep it is."""

    count: float
    per_s: float = 1.0
    burst: float | None = None
    reply: bytes | None = None  # the words of refusal, where they are not the usual ones

    @property
    def per_second(self) -> float:
        return self.count / self.per_s

    @property
    def depth(self) -> float:
        return max(1.0, self.count if self.burst is None else self.burst)

    @classmethod
    def of(cls, rate: Rate | str | float, burst: float | None = None, reply: bytes | None = None) -> Rate:
        """From "20/s", "1200/min", "50000/day", or a number a second. Raises ValueError."""
        if isinstance(rate, Rate):
            return rate
        if isinstance(rate, int | float):
            return cls(rate, 1.0, burst, reply)
        number, _, unit = rate.replace(" ", "").partition("/")
        try:
            count, per_s = float(number), PERIODS[unit]
        except (ValueError, KeyError):
            raise ValueError(f"a rate is written as 20/s, 1200/min or 50000/day, not {rate!r}") from None
        if not count > 0:
            raise ValueError("a rate of nothing lets nobody in: write more than 0")
        return cls(count, per_s, burst, reply)


@dataclass(frozen=True, slots=True)
class Greylist:
    """Who is unknown as (client network, reverse-path, forward-path) is told to come back after `wait_s`.

    Sooner he is refused again, with what is left to wait. Later than `expires_s` he is unknown once more.
    """

    wait_s: float = 300.0
    reply: bytes = GREYLISTED
    network: int = 24  # bits of an IPv4 address that make one client; of IPv6 it is 64
    expires_s: float = 2 * DAY


@dataclass(frozen=True, slots=True)
class Reputation:
    """What clients earn by unknown users and by calling on while they are blocked.

    The share of these among all that a client asked for, `after` good ones assumed beforehand, both fading
    with `half_life_s`: above `throttle` the client has no more than `rate`, above `block` nothing.
    """

    throttle: float = 0.05
    block: float = 0.15
    rate: Rate = Rate(1.0)
    half_life_s: float = HOUR
    after: float = 100.0
    throttle_reply: bytes = POOR_REPUTATION
    block_reply: bytes = BLOCKED


@dataclass(frozen=True, slots=True)
class Policy:
    """What one provider holds each of its clients to; None is no limit. The replies may say {client},
    {seconds} and {minutes} (to wait). `together`: rates and connections are of all clients, not of each."""

    message_rate: Rate | None = None
    recipient_rate: Rate | None = None
    connection_rate: Rate | None = None
    connections: int | None = None  # at once, at all hosts
    connections_reply: bytes = TOO_MANY_CONNECTIONS
    greylist: Greylist | None = None
    reputation: Reputation | None = None
    blocks: Mapping[str, bytes] = field(default_factory=dict)  # the reply, by client address
    together: bool = False


class Bucket:
    """The tokens of one rate for one client. The rate is given each time: it may change."""

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._tokens, self._at = float("inf"), 0.0  # full, whatever full will be

    def take(self, rate: Rate, now: float) -> float:
        """0: one was taken. Else none was, and so many seconds are to be waited until there is one."""
        tokens = min(rate.depth, self._tokens + (now - self._at) * rate.per_second)
        self._at = now
        if tokens >= 1 - _ALMOST:
            self._tokens = tokens - 1
            return 0.0
        self._tokens = tokens
        return (1 - tokens) / rate.per_second


class Standing:
    """What one client has done lately, fading with the half-life of the reputation asked for."""

    __slots__ = ("_at", "_bad", "_total")

    def __init__(self, now: float) -> None:
        self._bad, self._total, self._at = 0.0, 0.0, now

    def note(self, reputation: Reputation, now: float, *, bad: bool) -> None:
        self._fade(reputation, now)
        self._bad += bad
        self._total += 1

    def share(self, reputation: Reputation, now: float) -> float:
        """Of what was bad, from 0 to 1."""
        self._fade(reputation, now)
        return self._bad / (self._total + reputation.after) if self._bad else 0.0

    def _fade(self, reputation: Reputation, now: float) -> None:
        left = 0.5 ** ((now - self._at) / reputation.half_life_s)
        self._bad, self._total, self._at = self._bad * left, self._total * left, now


class Greylisted:
    """Whom a greylist has seen, and when first. `network`, reverse-path and forward-path are one key."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, str], float] = {}
        self._networks: dict[tuple[str, int], str] = {}  # of clients, which are few

    def wait(self, greylist: Greylist, client: str, sender: str, recipient: str, now: float) -> float:
        """Seconds that are left to wait; 0: may come in."""
        network = self._networks.get((client, greylist.network))
        if network is None:
            network = network_of(client, greylist.network)
            self._networks[client, greylist.network] = network
        key = network, sender, recipient
        first = self._first.setdefault(key, now)
        if now - first > greylist.expires_s:
            first = self._first[key] = now
        return max(0.0, first + greylist.wait_s - now)


def network_of(client: str, bits: int) -> str:
    """The network that a client's address is in; what is no address is a network of its own."""
    try:
        return str(ipaddress.ip_network(f"{client}/{64 if ':' in client else bits}", strict=False))
    except ValueError:
        return client


def filled(reply: bytes, client: str, wait_s: float = 0.0) -> bytes:
    """The words with what they speak of; the time is never less than what is really to be waited."""
    seconds, minutes = max(1, -int(-wait_s // 1)), max(1, -int(-wait_s // 60))
    for name, value in (("client", client), ("seconds", seconds), ("minutes", minutes)):
        reply = reply.replace(b"{%b}" % name.encode(), str(value).encode())
    return reply
