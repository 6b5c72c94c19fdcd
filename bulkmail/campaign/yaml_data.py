"""The values of a template (`content.data`), where types matter and text must not suffer.

`false` is false and `48` is a number, because templates compare and count; but nothing prints otherwise than
it was written: `9.90` is a number that shows as `9.90`, `007`, `1e5`, `no` and `12:30` are text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bulkmail.campaign.yaml_marks import Reader, TextLoader, compose, reason
from bulkmail.errors import ConfigError, Problem

BOOL = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")
INT = re.compile(r"^(0|-?[1-9][0-9]*)$")  # not 007, which is a name
FLOAT = re.compile(r"^-?(0|[1-9][0-9]*)\.[0-9]+$")


class DataLoader(TextLoader):
    """Null, true and false, decimal numbers; the rest is text (YAML 1.2 without its surprises)."""


DataLoader.add_implicit_resolver("tag:yaml.org,2002:bool", BOOL, list("tTfF"))
DataLoader.add_implicit_resolver("tag:yaml.org,2002:int", INT, list("-0123456789"))
DataLoader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-0123456789"))


def load_data(path: Path) -> dict[str, object]:
    """The values of `content.data`: a mapping. Raises ConfigError with every problem."""
    problems: list[Problem] = []
    file = str(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Problem(file, 0, 0, "", reason(error))) from None
    root = compose(text, DataLoader, file, problems)
    node = Reader(text, file, path.parent, None, problems).read(root) if root is not None else None
    if node is not None and node.value is not None and not isinstance(node.value, dict):
        problems.append(node.mark.problem("", "a mapping (name: value) is wanted at the top"))
    if problems or root is None or node is None:
        raise ConfigError(problems)
    return _typed(root) or {}


class Written(float):
    """A number that prints as it was written: a price of 9.90 is not 9.9."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Written:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __reduce__(self) -> tuple[type[Written], tuple[str]]:
        return Written, (self.text,)


def _typed(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _typed(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_typed(value) for value in node.value]
    kind = node.tag.rpartition(":")[2]
    if kind == "bool":
        return node.value.lower() == "true"
    if kind == "int" and len(node.value) <= 18:
        return int(node.value)
    return None if kind == "null" else Written(node.value) if kind == "float" else node.value
