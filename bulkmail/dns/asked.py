"""What people type where a domain or a host is wanted: addresses, final dots, IDN, ports, brackets."""

from __future__ import annotations

import re

from bulkmail.dns.addresses import canonical_address, is_address
from bulkmail.dns.wire import HOST
from bulkmail.smtp.address import AddressError, Mailbox, domain_to_ascii

_BRACKETS = re.compile(r"\[(?:IPv6:)?([^\[\]]+)\](?::([0-9]+))?", re.IGNORECASE)
_WITH_PORT = re.compile(r"([^:\s]+):([0-9]+)")


def domain_of(text: str) -> str:
    """The domain (A-labels, or an address literal) of a domain or of an address. Raises AddressError."""
    domain = text.strip().rpartition("@")[2].rstrip(">").strip()
    if not domain.strip("."):
        raise AddressError("a domain is wanted, such as example.com")
    if domain.startswith("["):
        return Mailbox.parse(f"x@{domain}").domain.decode()
    if is_address(domain):
        raise AddressError("an IP address has no MX; `bulkmail probe` takes one")
    return _name(domain)


def host_of(text: str) -> tuple[str, int | None]:
    """The host (A-labels, or an IP address) and the port, where one was typed. Raises AddressError."""
    host, port = text.strip(), None
    if "@" in host:
        raise AddressError(
            "a host is wanted, not an address; `bulkmail mx` says which hosts take a domain's mail"
        )
    if "://" in host:
        raise AddressError("only the host, without what stands before ://")
    if not host.strip("."):
        raise AddressError("a host is wanted, such as mx1.example.com")
    if (typed := _BRACKETS.fullmatch(host) or _WITH_PORT.fullmatch(host)) is not None:
        host, port = typed[1], int(typed[2]) if typed[2] else None
    if port is not None and not 0 < port < 65536:
        raise AddressError(f"{port} is not a port: 1 to 65535")
    return (canonical_address(host) if is_address(host) else _name(host)), port


def _name(text: str) -> str:
    name = text.removesuffix(".")
    # Not a legal host name, and a working one all the same: `routes` takes such an MX too.
    if "_" in name and HOST.match(name.lower()):
        return name.lower()
    return domain_to_ascii(name).decode()
