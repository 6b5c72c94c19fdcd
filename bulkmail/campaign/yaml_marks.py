"""YAML that remembers where everything stood, and that guesses nothing.

A campaign file is read as *text with positions*: every scalar stays the text it was (`no`, `12:30`, `007`,
`9.90`), and the model decides what a key's text means. PyYAML's C parser gives nodes with marks; they become
Nodes here, which can be merged (defaults beneath a campaign) and still know the file each value came from.
Problems are collected, not raised, so that a user sees all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bulkmail.errors import Problem

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: slower, otherwise the same
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

DEEPEST = 200  # collections in one another; libyaml composes by recursion, and a C stack ends without a word
MAX_NODES = 100_000  # aliases may repeat each other a billion times; no campaign file has this many values
TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "null", "bool", "int", "float")}
NULL = re.compile(r"^(~|null|Null|NULL|)$")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1. `folder` is what paths written there start from."""

    file: str
    line: int
    column: int
    folder: Path

    def problem(self, where: str, text: str) -> Problem:
        return Problem(self.file, self.line, self.column, where, text)


class Scalar(str):
    """The text of a value, and where it was written."""

    mark: Mark

    def __new__(cls, text: str, mark: Mark) -> Scalar:
        self = super().__new__(cls, text)
        self.mark = mark
        return self


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its position; `key` is the position of the key it stands under, where there is one.

    `cut` is what ` #` cut off the end of an unquoted text, if anything.
    """

    value: Scalar | dict[str, Node] | list[Node] | None
    mark: Mark
    key: Mark
    cut: str = ""

    def plain(self) -> Any:
        """Without positions, but for those the Scalars carry."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def find(self, path: Sequence[str | int]) -> tuple[Node, bool]:
        """The node at `path`, or the deepest one above it; and whether it is the one asked for."""
        node = self
        for step in path:
            value = node.value
            if isinstance(value, dict) and step in value:
                node = value[str(step)]
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                node = value[step]
            else:
                return node, False
        return node, True


def merge(over: Node, under: Node) -> Node:
    """Mappings merge, everything else of `over` replaces what is beneath. Positions stay with the values.

    A reference to a secret, `{env: …}` or `{file: …}`, is one value and no mapping to merge into.
    """
    if not (isinstance(over.value, dict) and isinstance(under.value, dict)):
        return over
    if over.value.keys() in ({"env"}, {"file"}):
        return over
    merged = dict(under.value)
    for name, node in over.value.items():
        merged[name] = merge(node, merged[name]) if name in merged else node
    return Node(merged, over.mark, over.key)


class TextLoader(_Loader):
    """Every plain scalar is text, but for null: a key with nothing behind it."""

    yaml_implicit_resolvers: dict[Any, Any] = {}


TextLoader.add_implicit_resolver("tag:yaml.org,2002:null", NULL, ["~", "n", "N", ""])


def read_yaml(
    text: str, *, file: str, folder: Path, environ: Mapping[str, str] | None, problems: list[Problem]
) -> Node | None:
    """The document in `text`; None where it cannot be parsed. What is wrong is added to `problems`.

    `environ` resolves `${VAR}` and `${VAR:-default}` in values; None leaves them alone.
    """
    root = compose(text, TextLoader, file, problems)
    if root is None:
        return None
    return Reader(text, file, folder, environ, problems).read(root)


def compose(text: str, loader: type[Any], file: str, problems: list[Problem]) -> yaml.Node | None:
    """PyYAML's nodes; an empty mapping for an empty document, None (and a problem) for what is not YAML."""
    try:
        deep = too_deep(text, loader)
        root = None if deep else yaml.compose(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        problems.append(Problem(file, line, column, "", f"not YAML: {_explained(error, text, line)}"))
        return None
    except yaml.YAMLError as error:  # characters that YAML does not allow: no mark but an offset
        offset = getattr(error, "position", 0)
        before = text[:offset]
        column = offset - (before.rfind("\n") + 1) + 1
        problems.append(
            Problem(file, before.count("\n") + 1, column, "", "a control character is not allowed")
        )
        return None
    if deep:
        problems.append(Problem(file, deep, 0, "", "nested too deeply"))
        return None
    return root if root is not None else yaml.MappingNode("tag:yaml.org,2002:map", [])


def too_deep(text: str, loader: type[Any]) -> int:
    """The line on which more than DEEPEST collections are open, or 0. Raises YAMLError."""
    depth = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                return event.start_mark.line + 1 if event.start_mark is not None else 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return 0


def _explained(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    problem = error.problem or "cannot be parsed"
    if "flow mapping" in str(error.context) and "${" in "".join(text.splitlines()[line - 1 : line]):
        return "within { } a ${VARIABLE} needs quotes around it"
    if "unexpected end of stream" in problem and error.context_mark is not None:
        return f"what begins at line {error.context_mark.line + 1} has no end: a quote is missing"
    if "expected a single document" in str(error.context or "") + problem:
        return "one document is wanted: remove what follows ---"
    if "cannot start any token" in problem and text.splitlines()[line - 1 : line][0].lstrip(" ")[:1] == "\t":
        return "a tab: YAML is indented with spaces"
    if "cannot start any token" in problem:
        return f"{problem}: put the value in quotes"
    if "mapping values are not allowed" in problem:
        return f"{problem}: a value that contains ': ' needs quotes, or the indentation is off"
    return f"{error.context}: {problem}" if error.context else problem


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Why a file cannot be read, for people."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: the byte at offset {error.start} fits no character"
    return "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror or error)


class Reader:
    """From PyYAML's nodes to ours, in one walk that collects every problem."""

    def __init__(
        self,
        text: str,
        file: str,
        folder: Path,
        environ: Mapping[str, str] | None,
        problems: list[Problem],
    ) -> None:
        self.lines = text.splitlines()
        self.file = file
        self.folder = folder
        self.environ = environ
        self.problems = problems
        self.open: list[yaml.Node] = []  # the way down to here: a node that is in it contains itself
        self.nodes = 0

    def read(self, node: yaml.Node, path: str = "", key: Mark | None = None) -> Node:
        mark = self.mark(node)
        key = key or mark
        self.nodes += 1
        if node in self.open or len(self.open) > 50 or self.nodes > MAX_NODES:
            if self.nodes <= MAX_NODES + 1:
                self.problems.append(mark.problem(path, "nested too deeply, or in itself"))
            return Node(None, mark, key)
        if node.tag not in TAGS:
            shown = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problems.append(mark.problem(path, f"tags are not used here: remove {shown}"))
        self.open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return Node(self.mapping(node, path), mark, key)
            if isinstance(node, yaml.SequenceNode):
                items = [self.read(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
                return Node(items, mark, key)
            assert isinstance(node, yaml.ScalarNode)
            if node.tag.endswith(":null") and not node.style:
                return Node(None, mark, key, self.cut(node))
            return Node(Scalar(self.expand(node.value, mark, path), mark), mark, key, self.cut(node))
        finally:
            self.open.pop()

    def mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Node]:
        values: dict[str, Node] = {}
        for key, value in node.value:
            mark = self.mark(key)
            if not isinstance(key, yaml.ScalarNode):
                text = "a key must be text (a value that begins with {{ needs quotes around it)"
                self.problems.append(mark.problem(path, text))
                continue
            where = f"{path}.{key.value}" if path else key.value
            if key.value == "<<" and not key.style:
                text = "merge keys are not used here: what campaigns share goes into bulkmail.yaml"
                self.problems.append(mark.problem(path, text))
            elif key.value in values:
                first = values[key.value].key
                self.problems.append(mark.problem(where, f"written twice, first on line {first.line}"))
            else:
                values[key.value] = self.read(value, where, mark)
        return values

    def mark(self, node: yaml.Node) -> Mark:
        start = node.start_mark
        if start is None:
            return Mark(self.file, 1, 1, self.folder)
        return Mark(self.file, start.line + 1, start.column + 1, self.folder)

    def cut(self, node: yaml.ScalarNode) -> str:
        """The comment behind an unquoted value, or "": a `#` in a subject is rarely meant as one."""
        end = node.end_mark
        if node.style or end is None or end.line >= len(self.lines):
            return ""
        rest = self.lines[end.line][end.column :]
        return rest.strip() if re.match(r"[ \t]+#", rest) else ""

    def expand(self, text: str, mark: Mark, path: str) -> str:
        if self.environ is None or "$" not in text:
            return text
        environ = self.environ

        def value(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match["dollar"]:
                return "$"
            if name is None:
                self.problems.append(
                    mark.problem(path, "after ${ a variable's name and } are wanted; $$ is a dollar")
                )
                return match[0]
            found = environ.get(name)
            if default is not None:
                return found or default
            if found is None:
                hint = f"write ${{{name}:-…}} for a default"
                self.problems.append(
                    mark.problem(path, f"the environment variable {name} is not set ({hint})")
                )
                return match[0]
            return found

        return _VARIABLE.sub(value, text)


_VARIABLE = re.compile(
    r"(?P<dollar>\$\$)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{", re.ASCII
)
