"""The sandbox file: YAML → World, every mistake at once with line and column.

unknown_domains: accept            # accept (default): any other domain exists | nxdomain
domains:
  a.test: greylist                 # one behaviour by name, or a mapping of several
  b.test:
    hosts: { mx1.b.test: 10, mx2.b.test: 20 }
    recipients: { bob: unknown, "full*": full, carol: "550 5.7.1 not you" }
    rcpt-limit: 5
  "*.slow.test": { slow: 200ms }   # a pattern: every domain that matches
hosts:
  mx2.b.test: { tls: broken }
providers:
  big.test: { hosts: [mx1.big.test, mx2.big.test], domains: [d.test, "*.e.test"], message-rate: 20/s }
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bulkmail.errors import ConfigError, Problem
from bulkmail.sandbox.catalogue import CATALOGUE, DOMAIN, HOST, PROVIDER, Both, Row
from bulkmail.sandbox.ledger import Keep
from bulkmail.sandbox.names import Domain
from bulkmail.sandbox.values import MISSING, did_you_mean, recipient
from bulkmail.sandbox.world import World, ascii_name

_DEEPEST = (
    50  # collections in one another: composed by recursion, more of them end the process without a word
)
_TOP = ("unknown_domains", "providers", "domains", "hosts")
_OWN = {DOMAIN: ("hosts", "recipients"), PROVIDER: ("hosts", "domains"), HOST: ()}
_UNKNOWN = ("accept", "nxdomain")


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML without surprises: `no`, `off` and `12:30` stay text, as in campaign files."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in known if tag.rsplit(":", 1)[1] in ("int", "float", "null", "bool")
    ]
    for first, known in _Loader.yaml_implicit_resolvers.items()
    if not first or first not in "yYnNoO"  # nothing at all is null
}


def read(source: Path | str, *, keep: Keep = "memory") -> World:
    """The world a file or a text describes. Raises ConfigError with every problem, OSError for the file."""
    name = str(source) if isinstance(source, Path) else "<sandbox>"
    content = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    reading = _Reading(name)
    world = reading.world(_composed(content, name), keep)
    reading.done()
    return world


def add(world: World, text: str) -> None:
    """One more entry of `domains`, as it stands in a file: "a.test: greylist".

    Behaviours without a domain ("greylist", "slow: 200ms") are those of every domain that is not mentioned.
    Raises ConfigError with every problem.
    """
    reading = _Reading(f"--behaviour {text!r}")
    root = _composed(text, reading.name)
    keys = [str(key.value) for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    if any(set(key) & set(".*?") for key in keys):
        reading.domains(world, root)
    elif root is None or root.tag.endswith(":null"):
        raise ConfigError(Problem(reading.name, 1, 1, "", "the name of a behaviour is wanted"))
    else:
        reading.pattern(world, "*", root, "")
    reading.done()


def _composed(content: str, name: str) -> yaml.Node | None:
    """Raises ConfigError."""
    try:
        depth = 0
        for event in yaml.parse(content, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark is not None else 0
                raise ConfigError(Problem(name, line, 0, "", "nested too deeply"))
        root: yaml.Node | None = yaml.compose(content, Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise ConfigError(Problem(name, *place, "", f"not YAML: {problem.problem}")) from None
    except yaml.YAMLError as problem:  # a character that YAML does not allow, told without a mark
        line = content.count("\n", 0, getattr(problem, "position", 0)) + 1
        raise ConfigError(Problem(name, line, 0, "", "a control character is not allowed")) from None
    return root


class _Reading:
    """One pass over the composed nodes; problems gather on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []

    def wrong(self, node: yaml.Node, where: str, text: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(self.name, mark.line + 1, mark.column + 1, where.lstrip("."), text))

    def done(self) -> None:
        """Raises ConfigError if there were problems."""
        if self.problems:
            raise ConfigError(sorted(self.problems, key=lambda p: (p.line, p.column)))

    def items(self, node: yaml.Node | None, where: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """(key, key node, value node) of a mapping; an empty value is an empty mapping."""
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
            return
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, where, "a mapping is wanted here")
            return
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(key, where, "a key is plain text")
            elif key.value in seen:
                self.wrong(key, f"{where}.{key.value}".lstrip("."), "stands here twice")
            else:
                seen.add(key.value)
                yield key.value, key, value

    def value(self, node: yaml.Node, where: str) -> Any:
        """Plain Python of a node, duplicate keys reported."""
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(value, f"{where}.{key}") for key, _, value in self.items(node, where)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, where) for item in node.value]
        known, _, kind = node.tag.rpartition(":")
        if not known:
            self.wrong(node, where, f"the tag {node.tag} is not known here")
        if kind == "bool":
            return node.value.lower() == "true"
        if kind == "null":
            return None
        if kind in ("int", "float"):
            try:
                return int(node.value) if kind == "int" else float(node.value)
            except ValueError:  # 0x10, 1_000, .inf: the text it was
                return node.value
        return node.value

    # --- the file ---------------------------------------------------------------------------------------

    def world(self, root: yaml.Node | None, keep: Keep) -> World:
        parts = {}
        for key, key_node, value in self.items(root, ""):
            if key in _TOP:
                parts[key] = value
            else:
                self.wrong(key_node, key, "unknown key" + did_you_mean(key, _TOP))
        unknown = "accept"
        if "unknown_domains" in parts:
            node = parts["unknown_domains"]
            unknown = str(self.value(node, "unknown_domains"))
            if unknown not in _UNKNOWN:
                self.wrong(node, "unknown_domains", f"one of {', '.join(_UNKNOWN)}, not {unknown!r}")
        world = World(keep=keep) if unknown == "nxdomain" else World.default(keep=keep)
        for name, node in self.names(parts.get("providers"), "providers"):
            self.provider(world, name, node, f"providers.{name}")
        self.domains(world, parts.get("domains"))
        for name, node in self.names(parts.get("hosts"), "hosts"):
            self.behaviours(world.host(name), node, f"hosts.{name}", HOST)
        return world

    def domains(self, world: World, root: yaml.Node | None) -> None:
        for name, node in self.names(root, "domains"):
            if "*" in name or "?" in name:
                self.pattern(world, name, node, f"domains.{name}")
            else:
                self.domain(world.domain(name), node, f"domains.{name}")

    def names(self, node: yaml.Node | None, where: str) -> Iterator[tuple[str, yaml.Node]]:
        """Those of domains or hosts, and what is said of each."""
        for name, key_node, value in self.items(node, where):
            if self.possible(name, key_node, f"{where}.{name}"):
                yield name, value

    def possible(self, name: str, node: yaml.Node, where: str) -> bool:
        try:
            ascii_name(name)
        except UnicodeError as error:
            self.wrong(node, where, f"not a name that the DNS can have: {error}")
            return False
        return True

    def pattern(self, world: World, name: str, node: yaml.Node, where: str) -> None:
        self.domain(World().domain("pattern.invalid"), node, where)  # its mistakes are told now, not later

        def apply(domain: Domain) -> None:
            _Reading(self.name).domain(domain, node, where)

        world.pattern(name, apply)

    def domain(self, domain: Domain, node: yaml.Node, where: str) -> None:
        for key, _, value in self.items(node, where) if isinstance(node, yaml.MappingNode) else ():
            if key == "hosts":
                self.exchangers(domain, value, f"{where}.hosts")
            elif key == "recipients":
                for local, _, said in self.items(value, f"{where}.recipients"):
                    place = f"{where}.recipients.{local}"
                    try:
                        domain.recipient(local, recipient(self.value(said, place)))
                    except ValueError as problem:
                        self.wrong(said, place, str(problem))
        self.behaviours(domain, node, where, DOMAIN)

    def provider(self, world: World, name: str, node: yaml.Node, where: str) -> None:
        listed: dict[str, list[str]] = {"hosts": [], "domains": []}
        for key, _, value in self.items(node, where) if isinstance(node, yaml.MappingNode) else ():
            if key in listed:
                given = self.value(value, f"{where}.{key}")
                for one in given if isinstance(given, list) else [given]:
                    if not isinstance(one, str):
                        self.wrong(value, f"{where}.{key}", f"names are wanted, not {one!r}")
                    elif self.possible(one, value, f"{where}.{key}"):
                        listed[key].append(one)
        provider = world.provider(name, hosts=listed["hosts"], domains=listed["domains"])
        self.behaviours(provider, node, where, PROVIDER)

    def exchangers(self, domain: Domain, node: yaml.Node, where: str) -> None:
        """A mapping of names to preferences, or a list in order of preference."""
        given = self.value(node, where)
        if isinstance(given, list):
            given = {str(name): 10 * (i + 1) for i, name in enumerate(given)}
        if not isinstance(given, dict) or not given:
            self.wrong(node, where, "names with their preference are wanted: {mx1.a.test: 10}")
            return
        for name, preference in given.items():
            if isinstance(preference, bool) or not isinstance(preference, int) or not 0 <= preference < 65536:
                self.wrong(node, f"{where}.{name}", f"a preference is a number to 65535, not {preference!r}")
            elif self.possible(name, node, f"{where}.{name}"):
                domain.host(name, preference)

    def behaviours(self, target: Both, node: yaml.Node, where: str, place: str) -> None:
        """A lone name, a list of names, or a mapping of names to values."""
        if isinstance(node, yaml.MappingNode):
            own = _OWN[place]
            for key, key_node, value in self.items(node, where):
                if key not in own:
                    row = self.row(key, key_node, where, place, own)
                    if row is not None:
                        self.say(row, target, value, f"{where}.{key}")
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self.behaviours(target, item, where, place)
        elif not node.tag.endswith(":null") and node.value != "accept":
            row = self.row(node.value, node, where, place, ())
            if row is not None and row.default is MISSING:
                self.wrong(node, where, f"{row.name} needs a value: {row.help}")
            elif row is not None:
                row.apply(target)

    def row(self, key: str, node: yaml.Node, where: str, place: str, own: tuple[str, ...]) -> Row | None:
        row, at = CATALOGUE.get(key.replace("_", "-")), f"{where}.{key}"
        if row is None:
            known = [name for name, one in CATALOGUE.items() if place in one.where]
            self.wrong(node, at, "unknown behaviour" + did_you_mean(key, [*known, *own]))
        elif place not in row.where:
            self.wrong(node, at, f"stands only at a {row.where}")
            return None
        return row

    def say(self, row: Row, target: Both, node: yaml.Node, where: str) -> None:
        value = self.value(node, where)
        try:
            if value is False:
                return
            if value is True and row.default is not MISSING:
                row.apply(target)
            else:
                row.apply(target, row.reads(value))
        except ValueError as problem:
            self.wrong(node, where, str(problem))
