"""By whom a site is run. All sites of one provider share its limits, and belong to the same workers.

A provider is the name of a profile one of whose suffixes the exchanger's name ends in (`google`), else the
end of that name (`example.com` of `mx1.eu.example.com`). A site is told by its name, which begins with that
of its first exchanger; so the name alone decides, and every process agrees.
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


class Providers:
    """Who is who. A host belongs to the profile with the longest suffix that its name ends in."""

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        self.profiles: Mapping[str, Profile] = {one.name: one for one in profiles}
        self._by_suffix = {suffix: one for one in self.profiles.values() for suffix in one.suffixes}

    def of(self, host: str) -> Provider:
        """`host`: the name of an exchanger or of a site, lower-case."""
        if self._by_suffix:
            rest = host.partition("~")[0]
            while rest:
                if (profile := self._by_suffix.get(rest)) is not None:
                    return Provider(profile.name, profile.shape)
                rest = rest.partition(".")[2]
        return Provider(suffix_of(host), {})
