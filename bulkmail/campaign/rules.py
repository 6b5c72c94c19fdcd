"""From the campaign file and the profile of providers to the rules that every destination keeps to."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.profile import built_in, profile_of, shape_of
from bulkmail.delivery.limits import BUILT_IN, DEFAULT, Shape, overlaid
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.rules import Rules
from bulkmail.errors import ConfigError, Problem


def rules_of(campaign: Campaign) -> Rules:
    """Raises ConfigError, where a profile cannot be read or nobody is called so."""
    shaping = campaign.shaping
    retry = retry_of(campaign)
    profiles = _profiles(campaign)
    taken = {suffix: name for name, one in profiles.items() for suffix in one.suffixes}
    problems: list[Problem] = []
    for name, scope in shaping.providers.items():
        problem = _unknown(name, profiles, taken)
        if problem:
            problems.append(campaign.problem_of_key(("shaping", "providers", name), problem))
            continue
        known = profiles.get(name, Profile(name, (name,)))
        users = shape_of(scope, f"provider {name}", _place(campaign, "providers", name), retry)
        profiles[name] = Profile(name, known.suffixes, overlaid(known.shape, users))
    if problems:
        raise ConfigError(problems)
    domains = {
        name: shape_of(scope, f"domain {name}", _place(campaign, "domains", name), retry)
        for name, scope in shaping.domains.items()
    }
    return Rules(default_shape(campaign), Providers(profiles.values()), domains)


def default_shape(campaign: Campaign) -> Shape:
    """Of a site that has no others."""
    given = campaign.shaping.default
    place = _place(campaign, "default")
    return shape_of(given, DEFAULT, lambda kind: place(kind) if kind in given.model_fields_set else BUILT_IN)


def retry_of(campaign: Campaign) -> Retry:
    """The schedule of whoever has no other."""
    retry = campaign.delivery.retry
    return Retry(retry.first, retry.factor, retry.max, retry.give_up)


def _profiles(campaign: Campaign) -> dict[str, Profile]:
    """By name. A relay is no mailbox provider, whatever it is called: what is built in is not of relays."""
    chosen = campaign.shaping.profile
    if isinstance(chosen, Path):
        return profile_of(chosen)
    found = built_in() if chosen == BUILT_IN else {}
    if campaign.delivery.via.kind != "relay":
        return found
    return {name: Profile(name, one.suffixes) for name, one in found.items()}


def _unknown(name: str, profiles: dict[str, Profile], taken: dict[str, str]) -> str:
    """What is wrong with a name, or ""."""
    if name in profiles:
        return ""
    if name in taken:
        return f"{name} is the provider {taken[name]} in the profile: write {taken[name]}"
    if "." in name:
        return ""
    close = get_close_matches(name, profiles, 1)
    hint = f"did you mean {close[0]}?" if close else "known are " + (", ".join(sorted(profiles)) or "none")
    return f"no provider of the profile is called {name}: {hint} Or write the end of its MX, as example.net"


class _place:
    """Where a key of a scope was written, as `campaign.yaml:12`."""

    def __init__(self, campaign: Campaign, *scope: str) -> None:
        self._campaign, self._scope = campaign, scope

    def __call__(self, kind: str) -> str:
        problem = self._campaign.problem_of_key(("shaping", *self._scope, kind), "")
        return f"{problem.file}:{problem.line}" if problem.line else problem.file


def problems_of(campaign: Campaign) -> Iterator[Problem]:
    """What is wrong with `shaping` that only the profile tells."""
    try:
        rules_of(campaign)
    except ConfigError as error:
        yield from error.problems
