"""By whom a site is run. All sites of one provider share its limits, and belong to the same workers.

A provider is the name of a profile one of whose suffixes the exchanger's name ends in (`google`), else the
end of that name (`example.com` of `mx1.eu.example.com`). A site is told by its name, which begins with that
of its first exchanger; so the name alone decides, and every process agrees.

A campaign may call a provider what it likes. What the world sees (`seen_as`) is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bulkmail.delivery.limits import Shape


def suffix_of(host: str) -> str:
    """By whom a host is run, as its name tells: `example.com` of `mx1.eu.example.com`.

    Also of the name of a site, which begins with that of a host. Where a registry sells names below two
    labels (`example.co.uk`) three are kept; to take some for one would only load the workers unevenly.
    """
    name = host.partition("~")[0]
    labels = name.split(".")
    if ":" in name or labels[-1].isdecimal():
        return name  # an address
    few = 3 if len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 2
    return ".".join(labels[-few:])


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a provider: ends of its exchangers' names, and limits."""

    name: str
    suffixes: tuple[str, ...]  # lower-case, without a leading dot
    shape: Shape = field(default_factory=dict)


class Provider(NamedTuple):
    """`shape` is empty where nobody has said anything of it: then only the limits of its sites hold."""

    name: str
    shape: Shape


ASKED = 1024  # names that are remembered with their provider: a host is asked for ten times


class Providers:
    """Who is who. A host belongs to the profile with the longest suffix that its name ends in.

    `known`: those whom everybody knows, whatever a campaign says of them.
    """

    def __init__(self, profiles: Iterable[Profile] = (), known: Iterable[Profile] = ()) -> None:
        self.profiles: Mapping[str, Profile] = {one.name: one for one in profiles}
        self._known = {suffix: one for one in known for suffix in one.suffixes}
        self._by_suffix = {suffix: one for one in self.profiles.values() for suffix in one.suffixes}
        self._asked: dict[str, Provider] = {}

    def of(self, host: str) -> Provider:
        """`host`: the name of an exchanger or of a site, lower-case."""
        provider = self._asked.get(host)
        if provider is None:
            if len(self._asked) >= ASKED:
                self._asked.clear()
            provider = self._asked[host] = self._find(host)
        return provider

    def _find(self, host: str) -> Provider:
        if self._by_suffix and (profile := _longest(self._by_suffix, host)) is not None:
            return Provider(profile.name, profile.shape)
        return Provider(suffix_of(host), {})

    def seen_as(self, host: str) -> str:
        """The same in every campaign."""
        profile = _longest(self._known, host)
        return suffix_of(host) if profile is None else profile.name

    def reaches(self, host: str) -> tuple[str, ...]:
        """All for whom the limits of a host's provider hold together, as they are seen; first its own."""
        profile = _longest(self._by_suffix, host)
        suffixes = profile.suffixes if profile is not None and profile.shape else ()
        return tuple(dict.fromkeys(map(self.seen_as, (host, *suffixes))))


def _longest(profiles: Mapping[str, Profile], host: str) -> Profile | None:
    rest = host.partition("~")[0]
    while rest:
        if (profile := profiles.get(rest)) is not None:
            return profile
        rest = rest.partition(".")[2]
    return None
