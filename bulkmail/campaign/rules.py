"""From the campaign file and the profile of providers to the rules that every destination keeps to."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.profile import built_in, profile_of, shape_of
from bulkmail.campaign.units import duration
from bulkmail.delivery.limits import BUILT_IN, CAMPAIGN, DEFAULT, Shape, overlaid
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.rules import Rules
from bulkmail.errors import ConfigError, Problem


def rules_of(campaign: Campaign) -> Rules:
    """Raises ConfigError, where a profile cannot be read or nobody is called so."""
    shaping = campaign.shaping
    known = built_in()
    profiles = _profiles(campaign, known)
    taken = {suffix: name for name, one in profiles.items() for suffix in one.suffixes}
    problems: list[Problem] = []
    for name, scope in shaping.providers.items():
        problem = _unknown(name, profiles, taken)
        if problem:
            problems.append(campaign.problem_of_key(("shaping", "providers", name), problem))
            continue
        profile = profiles.get(name, Profile(name, (name,)))
        users = shape_of(scope, f"provider {name}", _place(campaign, "providers", name))
        profiles[name] = Profile(name, profile.suffixes, overlaid(profile.shape, users))
    domains = {
        name: shape_of(scope, f"domain {name}", _place(campaign, "domains", name))
        for name, scope in shaping.domains.items()
    }
    providers = Providers(profiles.values(), known.values())
    rules = Rules(default_shape(campaign), providers, domains, _campaign_shape(campaign))
    problems += _schedules(campaign, rules)
    if problems:
        raise ConfigError(problems)
    return rules


def default_shape(campaign: Campaign) -> Shape:
    """Of a site that has no others."""
    given = campaign.shaping.default
    place = _place(campaign, "default")
    return shape_of(given, DEFAULT, lambda kind: place(kind) if kind in given.model_fields_set else BUILT_IN)


def _campaign_shape(campaign: Campaign) -> Shape:
    """What the section `delivery` says for everybody."""
    given, place = campaign.delivery, _place(campaign, section="delivery")

    def whence(kind: str) -> str:
        section, _, part = kind.rpartition(".")
        said = getattr(given, section).model_fields_set if section else given.model_fields_set
        return place(kind) if part in said else BUILT_IN

    return shape_of(given, CAMPAIGN, whence)


def _schedules(campaign: Campaign, rules: Rules) -> Iterator[Problem]:
    """Of a provider or a domain, laid over the campaign's: what cannot be meant."""
    shaping = campaign.shaping
    for section, scopes in (("providers", shaping.providers), ("domains", shaping.domains)):
        for name, scope in scopes.items():
            if scope.retry is None:
                continue
            known = rules.providers.profiles.get(name) if section == "providers" else None
            found = rules.retry("" if known is None else known.suffixes[0], name)
            if found is None or not (found.max < found.first or found.give_up < found.first):
                continue
            what = "max" if found.max < found.first else "give_up"
            text = f"with delivery.retry beneath it, first is {duration(found.first)} and {what} "
            text += f"{duration(getattr(found, what))}: write a longer {what} here, too"
            yield campaign.problem_of_key(("shaping", section, name, "retry"), text)


def retry_of(campaign: Campaign) -> Retry:
    """The schedule of whoever has no other."""
    retry = campaign.delivery.retry
    return Retry(retry.first, retry.factor, retry.max, retry.give_up)


def _profiles(campaign: Campaign, known: dict[str, Profile]) -> dict[str, Profile]:
    """By name. A relay is no mailbox provider, whatever it is called: what is built in is not of relays."""
    chosen = campaign.shaping.profile
    if isinstance(chosen, Path):
        return profile_of(chosen)
    found = dict(known) if chosen == BUILT_IN else {}
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
        within = next((taken[end] for end in _ends(name) if end in taken), None)
        if within is None:
            return ""
        return (
            f"{name} is of the provider {within} in the profile, whose sites share its limits: write {within}"
        )
    close = get_close_matches(name, profiles, 1)
    hint = f"did you mean {close[0]}?" if close else "known are " + (", ".join(sorted(profiles)) or "none")
    return f"no provider of the profile is called {name}: {hint} Or write the end of its MX, as example.net"


def _ends(name: str) -> Iterator[str]:
    """Of a host name, the longest first."""
    while name:
        yield name
        name = name.partition(".")[2]


class _place:
    """Where a key of a scope was written, as `campaign.yaml:12`."""

    def __init__(self, campaign: Campaign, *scope: str, section: str = "shaping") -> None:
        self._campaign, self._scope = campaign, (section, *scope)

    def __call__(self, kind: str) -> str:
        problem = self._campaign.problem_of_key((*self._scope, *kind.split(".")), "")
        return f"{problem.file}:{problem.line}" if problem.line else problem.file


def problems_of(campaign: Campaign) -> Iterator[Problem]:
    """What is wrong with `shaping` that only the profile tells."""
    try:
        rules_of(campaign)
    except ConfigError as error:
        yield from error.problems
