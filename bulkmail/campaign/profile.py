"""The profile of the large providers: ours, or the user's own file. Read only where limits are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bulkmail.campaign.config_section import Section
from bulkmail.campaign.config_shaping import ProfileEntry, ProfileFile
from bulkmail.campaign.units import Rate, duration
from bulkmail.campaign.yaml_marks import Node, read_yaml, reason
from bulkmail.delivery.limits import BUILT_IN, DURATIONS, KINDS, Limit, Origin, Shape
from bulkmail.delivery.provider import Profile
from bulkmail.errors import ConfigError, Problem


def built_in() -> dict[str, Profile]:
    """What comes with us."""
    text = files("bulkmail.campaign").joinpath("providers.yaml").read_text("utf-8")
    return _read(text, "providers.yaml", Path(), ours=True)


def profile_of(path: Path) -> dict[str, Profile]:
    """A user's file. Raises ConfigError with every problem."""
    shown = os.path.relpath(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Problem(str(path), 0, 0, "", reason(error))) from None
    return _read(text, str(path) if shown.startswith("..") else shown, path.parent)


def shape_of(given: Section, scope: str, whence: Callable[[str], str]) -> Shape:
    """The limits that a section names, each with its origin. `whence` is asked with `retry.first`, too."""
    shape: dict[str, Limit] = {}
    for kind in KINDS:
        section, _, part = kind.rpartition(".")
        value = getattr(getattr(given, section, None) if section else given, part, None)
        if value is None:
            continue
        origin = Origin(scope, whence(kind))
        if isinstance(value, Rate):
            shape[kind] = Limit(value.per_second, origin, str(value))
        else:
            shape[kind] = Limit(value, origin, duration(value) if kind in DURATIONS else str(value))
    return shape


def _read(text: str, file: str, folder: Path, *, ours: bool = False) -> dict[str, Profile]:
    problems: list[Problem] = []
    tree = read_yaml(text, file=file, folder=folder, environ={}, problems=problems)
    if problems or tree is None or not isinstance(tree.value, dict):
        raise ConfigError(problems or [Problem(file, 1, 1, "", "a mapping is wanted here (providers: …)")])
    try:
        profile = ProfileFile.model_validate(tree.plain())
    except ValidationError as error:
        raise ConfigError(list(_problems(error, tree))) from None
    beneath: Mapping[str, Profile] = built_in() if profile.extends == "built-in" else {}
    found = dict(beneath)
    for name, entry in profile.providers.items():
        found[name] = _entry(name, entry, tree, profile.edition if ours else "", beneath.get(name))
    if lacking := [name for name, one in found.items() if not one.suffixes]:
        node, _ = tree.find(["providers", lacking[0]])
        text = "mx is missing: write the ends of its exchangers' names, as mx: [example.net]"
        raise ConfigError(node.key.problem(f"providers.{lacking[0]}", text))
    return found


def _entry(name: str, entry: ProfileEntry, tree: Node, edition: str, beneath: Profile | None) -> Profile:
    def whence(kind: str) -> str:
        if edition:
            return f"{BUILT_IN} profile {edition}"
        node, _ = tree.find(["providers", name, *kind.split(".")])
        return f"{node.mark.file}:{node.mark.line}"

    shape = shape_of(entry, f"provider {name}", whence)
    if beneath is None:
        return Profile(name, entry.mx, shape)
    return Profile(name, entry.mx or beneath.suffixes, {**beneath.shape, **shape})


def _problems(error: ValidationError, tree: Node) -> Iterator[Problem]:
    for each in error.errors(include_url=False, include_input=False):
        path: list[Any] = [step for step in each["loc"] if step != "[key]"]
        node, exact = tree.find(path)
        text = str(each["ctx"]["error"]) if each["type"] == "value_error" else each["msg"]
        where = ".".join(map(str, path))
        yield (node.mark if exact else node.key).problem(where, text)
