"""From pydantic's errors to what a user reads: which file, line and column, which key, what to do.

Pure: an error and the tree of the file go in, a Problem comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from bulkmail.campaign.config_model import NOT_BUILT, Campaign
from bulkmail.campaign.config_values import VIA_CHOICES
from bulkmail.campaign.yaml_marks import Node
from bulkmail.errors import Problem

Path = tuple[str | int, ...]

MISSING = {
    "campaign": "is missing: write a name, which is the identity of this mailing",
    "from": 'is missing: write who it is from, as "Acme News <news@acme.example>"',
    "recipients": "is missing: write the path of a list, as people.csv",
    "recipients.source": "is missing: write the path of a list, as people.csv",
    "content": "is missing: write the path of a template, as hello.md",
    "content.template": "is missing: write the path of a template, as hello.md",
    "content.attachments.file": "is missing: write the path of the file to attach",
    "delivery.dkim.domain": "is missing: write who signs, as mail.acme.example",
    "delivery.dkim.selector": "is missing: write which key of the domain it is, as s1",
    "delivery.dkim.key": "is missing: write {file: PATH} or {env: NAME} of the private key",
    "shaping.warmup.start": "is missing: write the quota of the first day, as 2000/day",
    "shaping.warmup.until": "is missing: write the quota that is none any more, as 500000/day",
    "delivery.sources.address": "is missing: write an IP address of this machine, as 192.0.2.10",
    "delivery.via": f"is missing, and has no default: write {VIA_CHOICES}",
}
WANTED = {
    "model_type": "a mapping is wanted here (key: value)",
    "model_attributes_type": "a mapping is wanted here (key: value)",
    "dict_type": "a mapping is wanted here (key: value)",
    "tuple_type": "a list is wanted here: [one, another]",
    "list_type": "a list is wanted here: [one, another]",
}
# Sections whose keys are names that the user gives; what stands beneath a name is the same for all of them.
NAMED = (("shaping", "providers"), ("shaping", "domains"))
# Steps of pydantic's `loc` that are not keys of the file: the form of a union, or "the key, not its value".
_FORMS = ("<file>", "<sql>", "<path>", "<mapping>")
_KEY = "[key]"


def problem_of(error: ErrorDetails, tree: Node) -> Problem:
    """The problem that `error` is, at the place in the file where it stands."""
    path: Path = tuple(step for step in error["loc"] if step not in _FORMS and step != _KEY)
    where = dotted(path)
    node, exact = tree.find(path)
    kind = error["type"]
    if kind == "missing":
        return node.key.problem(where, MISSING.get(dotted(_keys_of(path)), "is missing"))
    if kind == "extra_forbidden":
        return node.key.problem(where, unknown_key(path))
    mark = node.key if not exact or _KEY in error["loc"] else node.mark
    if kind == "value_error":
        text = str(error["ctx"]["error"])
    else:
        text = WANTED.get(kind, error["msg"])
    if exact and node.value is None and node.cut:
        text += "; what follows a # is a comment: put it in quotes if it is meant as text"
    return mark.problem(where, text)


def unknown_key(path: Path) -> str:
    """What to say of a key that no section knows: a near miss here, or the right word in the wrong place."""
    name, section = str(path[-1]), _keys_of(path[:-1])
    keys = [str(known[-1]) for known in known_keys() if known[:-1] == section]
    close = get_close_matches(name.lower(), keys, 1)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    elsewhere = [dotted(known) for known in known_keys() if known[-1] == name and known[:2] not in NAMED]
    if elsewhere:
        return f"unknown key here; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key; known here: {', '.join(sorted(keys))}" if keys else "unknown key"


def known_keys() -> list[Path]:
    """The path of every key of INTERFACE.md, built or not."""
    return [*_keys(Campaign, ()), *NOT_BUILT]


def sections(model: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Every section beneath `model`, itself included, with its path."""
    yield path, model
    for name, annotation in _annotations(model):
        for inner in sections_in(annotation):
            yield from sections(inner, (*path, name))


def sections_in(annotation: Any) -> set[type[BaseModel]]:
    """The sections in a key's type, whether it is one, a tuple of one, or one of several forms."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set[type[BaseModel]]().union(*map(sections_in, get_args(annotation)))


def dotted(path: Path) -> str:
    """`recipients.exclude[0]`"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _keys_of(path: Path) -> Path:
    """Without the numbers of the items of lists, and the names that the user gives."""
    keys = tuple(step for step in path if isinstance(step, str))
    return (*keys[:2], *keys[3:]) if keys[:2] in NAMED else keys


def _keys(model: type[BaseModel], path: Path) -> Iterator[Path]:
    for section, kind in sections(model, path):
        yield from ((*section, name) for name, _ in _annotations(kind))


def _annotations(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field.annotation
