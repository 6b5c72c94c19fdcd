"""Hosts and domains: the names of the world, what DNS says of them and how recipients fare there."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from bulkmail.sandbox.behaviour import Manner, Said, line
from bulkmail.sandbox.speaker import Speaker

if TYPE_CHECKING:
    from bulkmail.sandbox.provider import Provider
    from bulkmail.sandbox.world import World

Failure = Literal["SERVFAIL", "NXDOMAIN", "REFUSED", "TIMEOUT", "NODATA"]

UNKNOWN_USER = b"550 5.1.1 No such user here"
GREYLISTED = b"450 4.7.1 Greylisted, try again in 2 seconds"
MAILBOX_FULL = b"452 4.2.2 Mailbox full"


@dataclass(slots=True)
class Zone:
    """What DNS says of one name beyond the ordinary. Failures by query type; "*" is every type."""

    failures: dict[str, Failure] = field(default_factory=dict)
    failing_times: int | None = None  # then the truth; counted over all queries that failed
    failed: int = 0
    cname: str | None = None
    addresses: tuple[str, ...] | None = None  # A and AAAA verbatim, instead of the host's own
    malformed: int = 0  # so many unreadable records before the good ones (D9)
    truncated: bool = False  # over UDP; TCP has the whole (RFC 1035 §4.2.1)
    ttl: int = 300


class Named:
    """The fluent vocabulary of DNS, shared by hosts and domains."""

    __slots__ = ()
    zone: Zone

    def fail(self, how: Failure, *types: str, times: int | None = None) -> Self:
        self.zone.failures |= dict.fromkeys(types or ("*",), how)
        self.zone.failing_times = times
        return self

    def servfail(self, *types: str, times: int | None = None) -> Self:
        """SERVFAIL for these query types, or for all (D1)."""
        return self.fail("SERVFAIL", *types, times=times)

    def nxdomain(self) -> Self:
        """The name does not exist (D2)."""
        return self.fail("NXDOMAIN")

    def dns_timeout(self, *types: str, times: int | None = None) -> Self:
        """Queries are not answered at all (D1)."""
        return self.fail("TIMEOUT", *types, times=times)

    def no_address(self) -> Self:
        """The name exists and has neither A nor AAAA."""
        return self.fail("NODATA", "A", "AAAA")

    def cname(self, to: str) -> Self:
        """The name is an alias of `to`."""
        self.zone.cname = to.lower().rstrip(".")
        return self

    def at(self, *addresses: str) -> Self:
        """A and AAAA records verbatim; nobody of ours need listen there."""
        self.zone.addresses = addresses
        return self

    def malformed(self, records: int = 1) -> Self:
        """Unreadable records stand before the good ones (D9)."""
        self.zone.malformed = records
        return self

    def truncated(self) -> Self:
        """UDP answers are truncated, so that TCP is needed."""
        self.zone.truncated = True
        return self

    def ttl(self, seconds: int) -> Self:
        self.zone.ttl = seconds
        return self


class Host(Speaker, Named):
    """One mail exchanger (or relay) with its own manner, and its own address where the system allows."""

    __slots__ = ("_world", "manner", "messages", "name", "refused", "zone")

    def __init__(self, name: str, world: World | None = None) -> None:
        self._world = world
        self.name = name
        self.zone = Zone()
        self.manner = Manner()
        self.messages = 0  # accepted, for the quota
        self.refused = 0  # MAILs refused by the quota since it was used up

    def __repr__(self) -> str:
        return f"Host({self.name!r})"

    @property
    def provider(self) -> Provider:
        """The one it stands under; one of its own, if there was none."""
        if self.manner.provider is None:
            assert self._world is not None, "a host of no world"
            self._world.provider(self.name, hosts=[self.name])
        assert self.manner.provider is not None
        return self.manner.provider

    def tell(self, change: Callable[[Manner], None]) -> Self:
        change(self.manner)
        return self


class Domain(Speaker, Named):
    """One mail domain: its MX records, and a verdict for each of its recipients.

    Until a host is named it has one of its own, `mx.<domain>` at preference 10.
    """

    __slots__ = ("_explicit", "_provider", "_told", "_verdicts", "_world", "mx", "name", "zone")

    def __init__(self, world: World, name: str, *, hosts: tuple[tuple[int, str], ...] | None = None) -> None:
        self._world = world
        self.name = name
        self.zone = Zone()
        self.mx: list[tuple[int, str]] = list(hosts) if hosts else [(10, f"mx.{name}")]
        self._explicit = hosts is not None
        for _, exchanger in self.mx:
            world.host(exchanger)
        self._told: list[Callable[[Manner], None]] = []
        self._verdicts: dict[str, Said] = {}
        self._provider: Provider | None = None  # of its own

    def __repr__(self) -> str:
        return f"Domain({self.name!r})"

    @property
    def hosts(self) -> list[Host]:
        """The hosts of ours among its exchangers; of a domain without MX, the domain itself."""
        names = [name for _, name in self.mx] if self.mx else [self.name]
        hosts = [self._world.host(name) for name in dict.fromkeys(names) if name]
        return hosts + [self._world.host(host.zone.cname) for host in hosts if host.zone.cname]

    @property
    def site(self) -> str:
        """The roll-up of its exchangers: the same for all domains that have the same ones."""
        return " ".join(sorted({name for _, name in self.mx} or {self.name}))

    def tell(self, change: Callable[[Manner], None]) -> Self:
        self._told.append(change)
        for host in self.hosts:
            change(host.manner)
        return self

    @property
    def provider(self) -> Provider:
        """The one that its hosts stand under; one of its own, if there was none."""
        for host in self.hosts:
            if host.manner.provider is not None:
                return host.manner.provider
        provider = self._world.provider(self.name, hosts=[host.name for host in self.hosts])
        self._provider = provider
        return provider

    # --- exchangers -------------------------------------------------------------------------------------

    def host(self, name: str, preference: int = 10) -> Self:
        """One more exchanger; the first named one replaces the default `mx.<domain>`."""
        if not self._explicit:
            self.mx, self._explicit = [], True
        name = name.lower().rstrip(".")
        self.mx.append((preference, name))
        if name:
            host = self._world.host(name)
            for change in self._told:
                change(host.manner)
            if self._provider is not None:
                self._provider.add(host)
        return self

    def many_hosts(self, n: int = 300) -> Self:
        """Hundreds of exchangers, all of which answer (D8)."""
        for i in range(n):
            self.host(f"mx{i}.{self.name}", 10 + i)
        return self

    def mx_alias(self) -> Self:
        """Its exchanger is a CNAME of another host (D6)."""
        self.host(f"alias.{self.name}")
        self._world.host(f"alias.{self.name}").cname(f"real.{self.name}")
        real = self._world.host(f"real.{self.name}")
        for change in self._told:
            change(real.manner)
        return self

    def null_mx(self) -> Self:
        """`0 .`: takes no mail (D5, RFC 7505)."""
        self.mx, self._explicit = [(0, "")], True
        return self

    def no_mx(self) -> Self:
        """No MX; the domain itself has the address (D3)."""
        self.mx, self._explicit = [], True
        host = self._world.host(self.name)
        for change in self._told:
            change(host.manner)
        return self

    # --- recipients -------------------------------------------------------------------------------------

    def recipient(self, local: str, said: Said) -> Self:
        """What RCPT says to a local part, or to a pattern of them (`*`, `?`); the first match counts."""
        self._verdicts[local.lower()] = said
        return self

    def refuse(
        self, local: str = "*", reply: bytes = UNKNOWN_USER, *, times: int | None = None, close: bool = False
    ) -> Self:
        return self.recipient(local, Said(raw=line(reply), times=times, close=close))

    def greylist(self, local: str = "*", *, times: int = 1, reply: bytes = GREYLISTED) -> Self:
        """Refused the first time (each recipient by itself), then accepted (X13)."""
        return self.recipient(local, Said(raw=line(reply), times=times))

    def mailbox_full(self, local: str = "*") -> Self:
        return self.recipient(local, Said(raw=line(MAILBOX_FULL)))

    def verdict(self, local: str) -> Said | None:
        """What was laid down for this local part, or None: accepted."""
        if not self._verdicts:
            return None
        local = local.lower()
        found = self._verdicts.get(local)
        if found is None:
            for pattern, said in self._verdicts.items():
                if ("*" in pattern or "?" in pattern) and fnmatch.fnmatchcase(local, pattern):
                    return said
        return found
