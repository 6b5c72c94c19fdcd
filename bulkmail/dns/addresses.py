"""IP addresses as text: which of them the public internet can mean, and in which order to try them."""

from __future__ import annotations

import ipaddress
import itertools
import socket
from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(text: str) -> bool:
    """Can a mail exchanger that anybody may use have this address? Raises ValueError if it is none.

    Not loopback, private, link-local, documentation, multicast or unassigned (RFC 6890), also not when
    wrapped into IPv6.
    """
    address: IPAddress = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return address.is_global and not address.is_multicast


def is_local_name(host: str) -> bool:
    """`localhost` and what is below it never leave the machine (RFC 6761 section 6.3)."""
    return host == "localhost" or host.endswith((".localhost", ".localdomain"))


def canonical_address(text: str) -> str:
    """The one way to write this address (RFC 5952). Raises ValueError if it is none."""
    return str(ipaddress.ip_address(text))


def destination(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """As the kernel wants it: the zone of a link-local address as a number (RFC 4007). Raises OSError."""
    address, _, zone = address.partition("%")
    return (address, port, 0, socket.if_nametoindex(zone)) if zone else (address, port)


def is_address(text: str) -> bool:
    """Is this an IP address, not a name? Told by its end mostly: no top-level domain is a number."""
    if ":" not in text and not text[-1:].isdigit():
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def reaches_ipv6(*, private: bool) -> bool:
    """Has this machine a way to IPv6 addresses, be it only to private ones? Nothing is sent to find out."""
    for address in ("2001:7fd::1", "fd00::1") if private else ("2001:7fd::1",):
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.connect((address, 53))
                return True
        except OSError:
            continue
    return False


def interleave(addresses: Iterable[str]) -> list[str]:
    """IPv6 and IPv4 in turn, IPv6 first, so that a black hole in one family costs one attempt (RFC 8305)."""
    addresses = list(addresses)
    six = [address for address in addresses if ":" in address]
    four = [address for address in addresses if ":" not in address]
    pairs = itertools.zip_longest(six, four)
    return [address for pair in pairs for address in pair if address is not None]
