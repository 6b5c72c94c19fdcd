"""Which addresses of a host a source reaches, and by which name each is remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bulkmail.dns.routes import Host
from bulkmail.transport.approach import Source
from bulkmail.transport.dead import Remembered

BELIEVED_S = 86_400.0  # of a site: the name that our address of IPv6 lacks may be given it tomorrow


class Ipv4Only:
    """Sites that want nothing over IPv6: where a host of one has IPv4 as well, that is what is used."""

    def __init__(self) -> None:
        self._sites: Remembered[str] = Remembered(BELIEVED_S)
        self._any = False
        self.on_site: Callable[[str], None] = lambda site: None  # one has just said so

    def add(self, site: str, now: float) -> None:
        """It is known to be one."""
        self._any = True
        self._sites.add(site, now)

    def met(self, site: str, now: float) -> None:
        """It has just said so."""
        self.add(site, now)
        self.on_site(site)

    def holds(self, site: str, now: float) -> bool:
        """It is one."""
        return self._any and self._sites.holds(site, now)

    def among(self, addresses: Sequence[str], site: str, now: float) -> Sequence[str]:
        """Those to be tried."""
        if not self.holds(site, now):
            return addresses
        return [address for address in addresses if ":" not in address] or addresses


def within_reach(host: Host, source: Source | None) -> Sequence[str]:
    """Its addresses of the family of `source`."""
    if source is None:
        return host.addresses
    return [address for address in host.addresses if source.fits(address)]


def out_of_reach(host: Host, source: Source | None) -> str:
    theirs, ours = ("IPv6", "IPv4") if any(":" in address for address in host.addresses) else ("IPv4", "IPv6")
    return f"has {theirs} addresses only, and the source {source} is of {ours}"


def known_as(address: str, source: Source | None) -> str:
    """In the memory of addresses that did not answer."""
    return address if source is None else f"{address} from {source.address}"
