"""The whole pretended internet: which names exist, who serves them, what was counted.

A `World` is built before (or while) it is served and knows nothing of sockets. Tests start from an empty one,
where a name that was not mentioned does not exist; `World.default()` is for people: there any domain exists
and takes mail, spread over three large providers and a farm of small hosts, and a domain whose first label
is the name of a behaviour (`greylist.example`, `servfail.example`, `bulkmail sandbox --list`) has it.
"""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from bulkmail.sandbox.behaviour import Said, line
from bulkmail.sandbox.ledger import Keep, Ledger
from bulkmail.sandbox.names import GREYLISTED, MAILBOX_FULL, UNKNOWN_USER, Domain, Host, Zone
from bulkmail.sandbox.provider import Provider

GOOGLE = ((5, "gmail-smtp-in.google.example"), (10, "alt1.gmail-smtp-in.google.example"))
MICROSOFT = ((10, "mail.protection.outlook.example"),)
YAHOO = ((1, "mta5.yahoo.example"), (1, "mta6.yahoo.example"), (1, "mta7.yahoo.example"))
FARM = 40  # hosts of everybody else: mx0.farm.example …
WELL_KNOWN = {
    **dict.fromkeys(("gmail.com", "googlemail.com"), GOOGLE),
    **dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com"), MICROSOFT),
    **dict.fromkeys(("yahoo.com", "ymail.com", "aol.com"), YAHOO),
}
RELAY = "relay.example"  # a submission relay of the default world …
RELAY_USERS = {"user": "password"}  # … and who may log in there
_SHARES = (
    (25, GOOGLE),
    (40, MICROSOFT),
    (50, YAHOO),
)  # percent of the domains, cumulated; the rest: the farm

# Recipients of the default world that do as they are called: unknown@, full17@, greylist+x@
_TELLING = re.compile(r"(unknown|full|greylist|blocked)(?:\d+|\+.*)?", re.IGNORECASE)
_TOLD = {
    "unknown": Said(raw=line(UNKNOWN_USER)),
    "full": Said(raw=line(MAILBOX_FULL)),
    "greylist": Said(raw=line(GREYLISTED), times=1),
    "blocked": Said(raw=line(b"550 5.7.1 Message rejected by policy")),
}
_CACHED_DOMAINS = 20_000
_IP = re.compile(r"[0-9.]+|.*:.*")


class World:
    """Names, hosts, domains and their ledger.

    `unknown`: whether a domain that nobody mentioned exists. `keep`: what the ledger keeps (see `Ledger`).
    """

    def __init__(self, *, keep: Keep = "memory", unknown: Literal["nxdomain", "accept"] = "nxdomain") -> None:
        self.unknown = unknown
        self.providers: dict[str, Provider] = {}
        self.ledger = Ledger(keep)
        self.ledger.accounts = lambda: {name: one.account for name, one in self.providers.items()}
        self.tally: Counter[tuple[str, ...]] = Counter()  # how often a departure that counts was met
        self.domains: dict[str, Domain] = {}
        self.hosts: dict[str, Host] = {}
        self.patterns: list[tuple[str, Callable[[Domain], object]]] = []
        self._unmentioned: dict[str, Domain] = {}
        self._sites: dict[str, tuple[int, tuple[str, ...]]] = {}

    @classmethod
    def default(cls, *, keep: Keep = "memory") -> World:
        """The internet of `run --via sandbox` (module docstring)."""
        world = cls(keep=keep, unknown="accept")
        for _, name in GOOGLE:
            world.host(name).set(one_domain=True)
        world.host(RELAY).set(relay=True).users(RELAY_USERS)
        return world

    @classmethod
    def from_yaml(cls, source: Path | str, *, keep: Keep = "memory") -> World:
        """A world from a file (`Path`) or from YAML text; everything that is wrong at once as ConfigError."""
        from bulkmail.sandbox.file import (
            read,  # lazily: YAML and the catalogue are not needed by those who build in code
        )

        return read(source, keep=keep)

    def add(self, behaviour: str) -> None:
        """An entry of `domains` of a file; behaviours alone are for every domain. Raises ConfigError.

        It is what `bulkmail sandbox --behaviour` does.
        """
        from bulkmail.sandbox.file import add

        add(self, behaviour)

    # --- building ---------------------------------------------------------------------------------------

    def domain(self, name: str) -> Domain:
        """The domain of this name, made to exist if it did not."""
        name = ascii_name(name)
        if name not in self.domains:
            self._unmentioned.pop(name, None)
            self.domains[name] = Domain(self, name)
        return self.domains[name]

    def host(self, name: str) -> Host:
        """The host of this name, made to exist if it did not."""
        name = ascii_name(name)
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(name, self)
            if name == "localhost":
                host.at("127.0.0.1", "::1")
            elif _IP.fullmatch(name):
                host.nxdomain()  # an address is not a name; DNS does not know it
        return host

    def provider(self, name: str, *, hosts: Iterable[str] = (), domains: Iterable[str] = ()) -> Provider:
        """The provider of this name, made to exist if it did not, with these hosts and domains besides.

        One that has no host gets `mx.<name>`. Domains may be patterns; each is served by all hosts there are.
        """
        provider = self.providers.get(name)
        if provider is None:
            provider = self.providers[name] = Provider(name, exact=self.ledger.keep == "memory")
        for host in hosts:
            provider.add(self.host(host))
        if not provider.hosts:
            provider.add(self.host(f"mx.{name}"))
        names = [host.name for host in provider.hosts]

        def served(domain: Domain) -> None:
            for host in names:
                domain.host(host)

        for domain in domains:
            if set(domain) & set("*?"):
                self.pattern(domain, served)
            else:
                served(self.domain(domain))
        return provider

    def pattern(self, pattern: str, apply: Callable[[Domain], object]) -> None:
        """`apply` is said of every domain that matches (`*.slow.test`) when it is first asked for."""
        self.patterns.append((pattern.lower(), apply))

    # --- looking up -------------------------------------------------------------------------------------

    def find(self, name: str) -> Domain | None:
        """The domain as the internet sees it, or None: it does not exist. `name` in lower case."""
        domain = self.domains.get(name) or self._unmentioned.get(name)
        if domain is not None:
            return domain
        for pattern, apply in self.patterns:
            if name not in self.hosts and fnmatch.fnmatchcase(name, pattern):
                domain = self.domain(name)
                apply(domain)
                return domain
        if self.unknown == "nxdomain" or name in self.hosts:
            return None
        return self._invent(name)

    def _invent(self, name: str) -> Domain:
        from bulkmail.sandbox.catalogue import by_label

        told = by_label(name.partition(".")[0])
        if told is not None:
            domain = self.domain(name)
            told.apply(domain)
            return domain
        if len(self._unmentioned) >= _CACHED_DOMAINS:
            self._unmentioned.clear()
        domain = self._unmentioned[name] = Domain(self, name, hosts=_hosting(name))
        return domain

    def verdict(self, domain: Domain, local: str) -> Said | None:
        """What RCPT says to a recipient; None: the usual 250."""
        said = domain.verdict(local)
        if said is None and self.unknown == "accept":
            match = _TELLING.fullmatch(local)
            if match is not None:
                return _TOLD[match[1].lower()]
        return said

    def serves(self, host: Host, domain: Domain) -> bool:
        """Whether `host` is an exchanger of `domain`, itself or as the target of an alias."""
        if not domain.mx:
            return host.name == domain.name
        for _, name in domain.mx:
            if name == host.name:
                return True
            other = self.hosts.get(name)
            if other is not None and other.zone.cname == host.name:
                return True
        return domain.zone.cname is not None and self._alias_serves(host, domain.zone.cname)

    def _alias_serves(self, host: Host, target: str) -> bool:
        domain = self.domains.get(target)
        return domain is not None and domain.zone.cname is None and self.serves(host, domain)

    def zone(self, name: str, *, of_host: bool) -> Zone | None:
        """What DNS says of a name beyond the ordinary; a name may be a host and a domain at once."""
        host, domain = self.hosts.get(name), self.find(name)
        if host is not None and (of_host or domain is None):
            return host.zone
        return domain.zone if domain is not None else None

    def sites_of(self, host: Host) -> tuple[str, ...]:
        """The sites that count a connection to this host as theirs. Known until a domain is added."""
        known = self._sites.get(host.name)
        if known is not None and known[0] == len(self.domains):
            return known[1]
        sites = {domain.site for domain in self.domains.values() if self.serves(host, domain)}
        sites |= {
            " ".join(sorted({name for _, name in provider}))
            for provider in (GOOGLE, MICROSOFT, YAHOO)
            if any(name == host.name for _, name in provider)
        }
        found = tuple(sorted(sites)) or (host.name,)
        self._sites[host.name] = (len(self.domains), found)
        return found

    # --- counting ---------------------------------------------------------------------------------------

    def holds(self, said: Said, *key: str) -> bool:
        """Whether a departure applies this time; only those that end or begin are counted."""
        if said.times is None and not said.after:
            return True
        self.tally[key] += 1
        return said.holds(self.tally[key])


def _hosting(name: str) -> tuple[tuple[int, str], ...]:
    """Who serves a domain that nobody mentioned; always the same for the same name."""
    if name in WELL_KNOWN:
        return WELL_KNOWN[name]
    digest = zlib.crc32(name.encode())
    for share, provider in _SHARES:
        if digest % 100 < share:
            return provider
    return ((10, f"mx{digest // 100 % FARM}.farm.example"),)


def ascii_name(name: str) -> str:
    """As the DNS has it. Raises UnicodeError where it can have no such name."""
    name = name.lower().rstrip(".")
    return name if name.isascii() else name.encode("idna").decode()
